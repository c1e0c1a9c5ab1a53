//! The SDK's clients: one configuration, one HTTP client and its pool of connections, a client a service, made
//! when it is first asked for.
//!
//! Owns timeouts and the SDK's own retries. Region, credentials and addresses are what `aws-config` finds
//! or, without the feature `config`, those of `surroundings`.
//!
//! Always holds: no call waits for ever, nor tries for ever.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[cfg(not(feature = "config"))]
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::Builder;
use teal::ports::{Clock, Entropy};
use teal_real::clock::SystemClock;
use teal_real::entropy::SystemEntropy;

use crate::names::Names;
use crate::patience::Patience;
use crate::requests::Requests;
#[cfg(not(feature = "config"))]
use crate::surroundings::{self, Surroundings};

const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);
/// Attempts of the SDK, the first included; it draws its waits with full jitter and keeps a budget of its own.
const ATTEMPTS: u32 = 5;

/// What every adapter works with. Cheap to share, made once a process.
pub struct AwsClients {
    config: SdkConfig,
    pub requests: Requests,
    pub patience: Patience,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    #[cfg(feature = "dynamodb")]
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    #[cfg(feature = "s3")]
    s3: OnceLock<aws_sdk_s3::Client>,
    #[cfg(feature = "sqs")]
    sqs: OnceLock<aws_sdk_sqs::Client>,
    #[cfg(feature = "secrets")]
    secrets_manager: OnceLock<aws_sdk_secretsmanager::Client>,
    #[cfg(feature = "secrets")]
    ssm: OnceLock<aws_sdk_ssm::Client>,
    #[cfg(feature = "scheduler")]
    scheduler: OnceLock<aws_sdk_scheduler::Client>,
}

pub(crate) fn tls() -> Provider {
    Provider::Rustls(CryptoMode::Ring)
}

fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

fn http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(tls()).build_with_resolver(Names::All)
}

/// No call waits for ever, nor tries for ever.
fn bounded(config: Builder) -> Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(WHOLE)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_secs(2));
    config.timeout_config(timeouts).retry_config(retries)
}

macro_rules! client {
    ($feature:literal, $name:ident, $sdk:ident) => {
        #[cfg(feature = $feature)]
        pub fn $name(&self) -> &$sdk::Client {
            self.$name.get_or_init(|| {
                let config = $sdk::config::Builder::from(&self.config).interceptor(self.requests.clone());
                $sdk::Client::from_conf(config.build())
            })
        }
    };
}

impl AwsClients {
    /// With region, credentials and addresses as `aws-config` finds them.
    #[cfg(feature = "config")]
    pub async fn load() -> Arc<Self> {
        let found = aws_config::defaults(behavior()).http_client(http()).load().await;
        Self::with(bounded(found.into_builder()).build())
    }

    /// With region, credentials and addresses as Lambda states them.
    #[cfg(not(feature = "config"))]
    pub async fn load() -> Arc<Self> {
        let settings = Self::settings().region(surroundings::region()).service_config(Surroundings);
        Self::with(settings.credentials_provider(SharedCredentialsProvider::new(Surroundings)).build())
    }

    /// What is the same everywhere: without a region and somebody to be.
    #[must_use]
    pub fn settings() -> Builder {
        bounded(SdkConfig::builder().behavior_version(behavior()).http_client(http()))
    }

    #[must_use]
    pub fn with(config: SdkConfig) -> Arc<Self> {
        Arc::new(Self::of(config, Patience::default()))
    }

    #[must_use]
    pub fn of(config: SdkConfig, patience: Patience) -> Self {
        Self {
            config,
            requests: Requests::default(),
            patience,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy::default()),
            #[cfg(feature = "dynamodb")]
            dynamodb: OnceLock::new(),
            #[cfg(feature = "s3")]
            s3: OnceLock::new(),
            #[cfg(feature = "sqs")]
            sqs: OnceLock::new(),
            #[cfg(feature = "secrets")]
            secrets_manager: OnceLock::new(),
            #[cfg(feature = "secrets")]
            ssm: OnceLock::new(),
            #[cfg(feature = "scheduler")]
            scheduler: OnceLock::new(),
        }
    }

    /// The same in another region, over the same connections' pool.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Arc<Self> {
        let config = self.config.to_builder().region(Region::new(region.to_owned())).build();
        Arc::new(Self { requests: self.requests.clone(), ..Self::of(config, self.patience) })
    }

    client!("dynamodb", dynamodb, aws_sdk_dynamodb);
    client!("s3", s3, aws_sdk_s3);
    client!("sqs", sqs, aws_sdk_sqs);
    client!("secrets", secrets_manager, aws_sdk_secretsmanager);
    client!("secrets", ssm, aws_sdk_ssm);
    client!("scheduler", scheduler, aws_sdk_scheduler);
}
