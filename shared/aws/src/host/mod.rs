//! Runs one stage as a Lambda function: its events in, its answers out, one at a time.
//!
//! Owns the loop, the log, the deadline and how long a failed message rests. Knows the stages only as handlers
//! of the events that `teal::trigger` reads, the same ones that the local host makes.
//!
//! Always holds:
//!
//! - A panic is one failed call, never the end of the process.
//! - Every line of the log is JSON and carries the call's request id and trace.
//! - What a call measured is in the log when it is answered; CloudWatch reads it out of it.
//! - A handler's error reaches whoever invoked as its code and its text, which quote no event.

#[cfg(feature = "scheduler")]
pub mod admin;
mod log;
mod queue;
#[cfg(feature = "http")]
mod readers;
#[cfg(all(feature = "dynamodb", feature = "s3"))]
mod stages;
mod wiring;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use lambda_runtime::Error;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
pub use queue::Rests;
#[cfg(feature = "http")]
pub use readers::readers;
use serde::Serialize;
use serde_json::Value as Json;
use teal::domain::Millis;
use teal::metrics::Emf;
use teal::pipeline::StageError;
use teal::pipeline::api::{ApiResponse, Code};
use teal::pipeline::poll::Budget;
use teal::ports::Fault;
use teal::trigger::events::{self, BadEvent};
use teal::trigger::http::Http;
use tracing::Instrument as _;
pub use wiring::Function;

/// What is kept of the time for ending a call: the last request to a source and its page's writes.
const MARGIN: Duration = Duration::from_secs(45);

/// One call, as Lambda describes it.
pub struct Call {
    pub request_id: String,
    deadline: Millis,
    timeout: Duration,
}

impl Call {
    fn of(context: &Context, now: Millis) -> Self {
        let deadline = Millis(i64::try_from(context.deadline).unwrap_or(i64::MAX));
        Self { request_id: context.request_id.clone(), deadline, timeout: deadline.since(now) }
    }

    /// Ends early enough for what is at hand to end as well; of a short timeout, half is for work.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let margin = MARGIN.min(self.timeout / 2);
        Budget { deadline: Some(self.deadline.minus(margin)), stop: Arc::new(AtomicBool::new(false)) }
    }
}

/// Why a call has no answer. Whoever invoked sees the code as the error's type.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    code: &'static str,
    text: String,
}

impl Failure {
    fn new(code: &'static str, text: impl Display) -> Self {
        Self { code, text: text.to_string() }
    }
}

impl From<BadEvent> for Failure {
    fn from(error: BadEvent) -> Self {
        Self::new(BadEvent::CODE, error)
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        Self::new(error.code().as_str(), error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        StageError::from(fault).into()
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.code.to_owned(), error_message: failure.text }
    }
}

/// Hands every call's event to `handler` until Lambda ends the process.
pub async fn run<H, F, T>(meter: &Emf, handler: H) -> Result<(), Error>
where
    H: Fn(Json, Call) -> F,
    F: Future<Output = Result<T, Failure>>,
    T: Serialize,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(|LambdaEvent { payload, context }: LambdaEvent<Json>| async move {
        let span = log::span(log::traceparent(&payload), &context);
        let answer = handler(payload, Call::of(&context, log::now())).instrument(span.clone()).await;
        if let Err(failure) = &answer {
            tracing::error!(parent: &span, code = failure.code, "{failure}");
        }
        meter.lines(log::now()).iter().for_each(|line| println!("{line}"));
        answer
    }))
    .await
}

/// Answers requests of an HTTP API or a function URL.
pub async fn http(meter: &Emf, http: Http) -> Result<(), Error> {
    let http = &http;
    run(meter, |event, _| async move { Ok(http.handle(events::request(event)?).await) }).await
}

/// The answer to somebody who invoked admin: what it says, or its problem as an error.
pub fn invoked(answer: &ApiResponse) -> Result<Json, Failure> {
    let body: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status < 400 {
        return Ok(body);
    }
    let code = Code::ALL.into_iter().find(|code| body["code"] == code.as_str()).unwrap_or(Code::Internal);
    Err(Failure::new(code.as_str(), body["detail"].as_str().unwrap_or("the log says more")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use teal::pipeline::api::Problem;

    use super::*;

    fn call(deadline: u64, now: i64) -> Call {
        let mut context = Context::default();
        context.deadline = deadline;
        Call::of(&context, Millis(now))
    }

    #[test]
    fn a_call_stops_working_before_lambda_stops_it() {
        assert_eq!(call(300_000, 0).budget().deadline, Some(Millis(255_000)));
        assert_eq!(call(10_000, 0).budget().deadline, Some(Millis(5_000)));
        assert!(call(10_000, 20_000).budget().is_spent(Millis(20_000)), "a deadline in the past leaves no work");
    }

    #[test]
    fn a_problem_is_an_error_with_its_code_for_whoever_invoked() {
        let diagnostic = Diagnostic::from(invoked(&Problem::new(Code::NoVersion, "no v9").into()).unwrap_err());
        assert_eq!((diagnostic.error_type.as_str(), diagnostic.error_message.as_str()), ("TEAL-A008", "no v9"));
        assert_eq!(invoked(&ApiResponse::json(202, &json!({ "run": "r" }))).unwrap(), json!({ "run": "r" }));
    }

    #[test]
    fn an_event_of_another_form_is_an_error_with_its_code() {
        let diagnostic = Diagnostic::from(Failure::from(events::batch(json!({ "Records": 7 })).unwrap_err()));
        assert_eq!(diagnostic.error_type, "TEAL-E001");
        assert!(diagnostic.error_message.contains("SQS messages"), "{}", diagnostic.error_message);
    }
}
