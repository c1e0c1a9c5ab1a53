//! One story from the webhook that begins it to the switch that ends it.

use teal::domain::Run;
use teal_pipeline_tests::{Bench, Setup};

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The run that a webhook asks for, with these headers besides those that it needs.
async fn asked_for(headers: &[(&str, &str)]) -> Run {
    let bench = Bench::new(Setup::tiny()).await;
    let mut all = vec![("x-sync-secret-key", "sync-secret"), ("x-delivery-id", "one")];
    all.extend(headers);
    let body = r#"{"event":"sync","sentAt":"2030-01-01T00:00:00Z"}"#;
    assert_eq!(bench.runner.receive_webhook("blue", &all, body.into()).await.status, 202);
    bench.runner.drain().await;
    bench.last_run().await
}

#[tokio::test]
async fn the_trace_of_a_webhook_is_that_of_the_run_which_it_asks_for() {
    let trace = asked_for(&[("traceparent", GIVEN)]).await.trace.expect("it was given");
    assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(trace.to_string(), GIVEN, "under a span of ours");
}

#[tokio::test]
async fn where_none_is_given_or_none_that_can_be_read_one_begins() {
    for headers in [&[][..], &[("traceparent", "hello")][..]] {
        let run = asked_for(headers).await;
        assert!(run.cause.starts_with("webhook ") && run.trace.is_some(), "{run:?}");
    }
}
