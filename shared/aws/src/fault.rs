//! What went wrong in a service, as a [`Fault`]: decided here, once, from codes and statuses.
//!
//! Always holds: throttling is retryable. So is what somebody has to mend outside of the message at hand (a
//! permission, a table, credentials): giving a run or a delivery up for it would lose what a deployment can
//! bring back; the queue's patience is theirs. What the request itself is guilty of is permanent.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use teal::ports::Fault;
use teal::ports::fault::FaultKind;

const THROTTLED: [&str; 15] = [
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];
/// Somebody else was at the same thing in the same moment.
const CONFLICT: [&str; 4] =
    ["TransactionConflict", "TransactionConflictException", "ConditionalRequestConflict", "ConflictException"];
const CREDENTIALS: [&str; 8] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
const DENIED: [&str; 4] =
    ["AccessDenied", "AccessDeniedException", "KmsAccessDeniedException", "UnauthorizedOperation"];
const MISSING: [&str; 4] =
    ["ResourceNotFoundException", "NoSuchBucket", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"];

/// Whether the same call can work in a moment, going by its code.
#[must_use]
pub fn passes(code: &str) -> bool {
    THROTTLED.contains(&code) || CONFLICT.contains(&code)
}

/// `action` is the IAM action, `object` names what it was done to: `table 'x'`, `s3://bucket/key`.
pub fn fault<E>(error: SdkError<E, HttpResponse>, action: &str, object: &str) -> Fault
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let (code, message) = match error.as_service_error() {
        Some(service) => (service.code().unwrap_or_default(), service.message().unwrap_or_default()),
        None => ("", ""),
    };
    let (kind, what) = match &error {
        _ if CREDENTIALS.contains(&code) || lacks_credentials(&error) => (
            FaultKind::Transient,
            format!(
                "{object}: the credentials are missing, wrong or expired {code}; renew them (`aws sso login`), or see \
                 whether the function has its role"
            ),
        ),
        _ if DENIED.contains(&code) => (
            FaultKind::Transient,
            format!("{object}: {action} is not allowed; grant it to the role that this runs under ({message})"),
        ),
        _ if MISSING.contains(&code) => (
            FaultKind::Transient,
            format!("{object} is not there ({code}); deploy the stack, or mend the name in the TEAL_… settings"),
        ),
        _ if passes(code) || status == 429 => {
            (FaultKind::Transient, format!("{object}: {action} is throttled or in somebody's way ({code})"))
        }
        SdkError::ServiceError(_) if status < 500 && status != 408 => {
            (FaultKind::Permanent, format!("{object}: {action} was refused: {code} {message}"))
        }
        SdkError::ConstructionFailure(_) => {
            (FaultKind::Permanent, format!("{object}: {action} could not be put into a request"))
        }
        SdkError::TimeoutError(_) => (FaultKind::Transient, format!("{object}: {action} took too long")),
        _ => (FaultKind::Transient, format!("{object}: {action} got no answer that can be used ({status} {code})")),
    };
    Fault::new(kind, what).because(error)
}

fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

pub(crate) fn permanent(what: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Permanent, what)
}
