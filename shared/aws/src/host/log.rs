//! The log of a function: a JSON object a line on stdout, which Lambda takes as it is.
//!
//! What a line says about a message (run, source, stream, attempt) is in its span; what it says about the
//! call (request id, trace) in the span around.

use lambda_runtime::Context;
use serde_json::Value as Json;
use teal::domain::Millis;
use teal::ports::Clock as _;
use teal_real::clock::SystemClock;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// As in `warn,teal=info`; what is not understood leaves it at that.
pub fn start(wanted: Option<&str>) {
    let usual = Targets::new().with_default(Level::WARN).with_target("teal", Level::INFO);
    let targets = wanted.and_then(|text| text.parse().ok()).unwrap_or(usual);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
    // A process has one log. In tests somebody may have started it before us.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}

/// The trace is W3C's where what came brings one, else X-Ray's.
pub fn span(traceparent: Option<&str>, context: &Context) -> tracing::Span {
    let request_id = context.request_id.as_str();
    let trace = traceparent.filter(|text| is_traceparent(text)).or(context.xray_trace_id.as_deref());
    tracing::info_span!("call", request_id, trace)
}

/// Of the request, or of the first message that has one.
pub fn traceparent<'a>(event: &'a Json) -> Option<&'a str> {
    let header = event["headers"]["traceparent"].as_str();
    let messages = event["Records"].as_array().into_iter().flatten();
    let of_message = |message: &'a Json| &message["messageAttributes"]["traceparent"]["stringValue"];
    header.or_else(|| messages.map(of_message).find_map(Json::as_str))
}

/// Version, trace, parent, flags. Anything else is not logged: it came from outside.
fn is_traceparent(text: &str) -> bool {
    text.len() == 55 && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

pub fn now() -> Millis {
    SystemClock.now()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trace_is_taken_from_a_header_or_a_message_and_logged_only_if_it_is_one() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(&json!({ "headers": { "traceparent": trace } })), Some(trace));
        let message = json!({ "messageAttributes": { "traceparent": { "stringValue": trace } } });
        assert_eq!(traceparent(&json!({ "Records": [{}, message] })), Some(trace));
        assert_eq!(traceparent(&json!(null)), None);
        assert!(is_traceparent(trace));
        assert!(!is_traceparent("a\nb") && !is_traceparent(&trace.replace('-', "\n")));
    }
}
