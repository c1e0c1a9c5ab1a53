//! Runs a stage over a batch of queue messages, the same in every host.
//!
//! Always holds: each message stands for itself. One that can't be read, is refused or panics fails alone
//! and comes again, until the queue gives it to the dead letters; the others of its batch are done. No
//! payload is ever logged, only the message's id and its kind of trouble.

use std::panic::AssertUnwindSafe;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;
use tracing::Instrument as _;

use crate::domain::{Message, TraceParent};
use crate::pipeline::disposition::Disposition;

/// What the queue knows of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// 1 for the first time.
    pub attempt: u32,
    pub message_id: String,
}

/// Hands the messages to `handle` one after the other and returns those that have to come again.
///
/// A rejected message is returned as well: only so does it reach the dead letters.
pub async fn run_batch<H, F, E>(event: SqsEvent, handle: H) -> SqsBatchResponse
where
    H: Fn(Message, Received) -> F,
    F: Future<Output = Result<(), E>>,
    E: Into<Disposition>,
{
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        let received = received(&message);
        let id = received.message_id.clone();
        if !is_settled(message, received, &handle).await {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            response.batch_item_failures.push(failure);
        }
    }
    response
}

async fn is_settled<H, F, E>(sqs: SqsMessage, received: Received, handle: &H) -> bool
where
    H: Fn(Message, Received) -> F,
    F: Future<Output = Result<(), E>>,
    E: Into<Disposition>,
{
    let Received { message_id, attempt } = received.clone();
    let message = match Message::decode(sqs.body.as_deref().unwrap_or_default()) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(message_id, attempt, error = %safe(&error), "a message can't be read");
            return false;
        }
    };
    // Of the level of what it must never be missing from; stages add what they find out.
    let span = tracing::error_span!(
        "message",
        message_id,
        attempt,
        queue = message.queue().as_str(),
        run = message.run().map(|run| run.as_str()),
        source = message.source().map(|source| source.name.as_str()),
        stream = message.stream().map(|stream| stream.as_str()),
        version = tracing::field::Empty,
        trace = message.trace().map(TraceParent::trace_id),
    );
    let handled = AssertUnwindSafe(async { handle(message, received).await })
        .catch_unwind()
        .instrument(span.clone())
        .await
        .map(|result| result.map_err(Into::into));
    let _on_what_follows = span.entered();
    match handled {
        Ok(Ok(()) | Err(Disposition::Done)) => true,
        Ok(Err(Disposition::Retry { why, after })) => {
            tracing::warn!(?after, why, "a message will be tried again");
            false
        }
        Ok(Err(Disposition::Reject { why })) => {
            tracing::error!(why, "a message is rejected and goes to the dead letters");
            false
        }
        Err(_) => {
            tracing::error!("handling a message panicked; it will be tried again");
            false
        }
    }
}

/// A parser's message may quote what it read; its category and place do not.
fn safe(error: &crate::domain::message::BadMessage) -> String {
    use crate::domain::message::BadMessage;
    match error {
        BadMessage::Format(_) => format!("TEAL-E003: {error}"),
        BadMessage::Unreadable(json) => {
            format!("TEAL-E002: {:?} error at line {}, column {}", json.classify(), json.line(), json.column())
        }
    }
}

fn received(message: &SqsMessage) -> Received {
    Received {
        attempt: message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1),
        message_id: message.message_id.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::pipeline::fakes::ready;
    use crate::ports::fault::FaultKind;
    use crate::ports::{Fault, LedgerError};

    fn settle(run: &str) -> String {
        Message::Settle { run: run.into() }.encode()
    }

    fn batch(bodies: &[(&str, &str)]) -> SqsEvent {
        let mut event = SqsEvent::default();
        for (id, body) in bodies {
            let mut message = SqsMessage::default();
            message.message_id = Some((*id).to_owned());
            message.body = Some((*body).to_owned());
            message.attributes.insert("ApproximateReceiveCount".to_owned(), "3".to_owned());
            event.records.push(message);
        }
        event
    }

    fn failed(response: &SqsBatchResponse) -> Vec<&str> {
        response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
    }

    fn run_of(message: &Message) -> String {
        match message {
            Message::Settle { run } => run.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_poison_message_never_fails_its_batch() {
        let event = batch(&[
            ("a", &settle("good")),
            ("b", "not json"),
            ("c", &settle("panics")),
            ("d", r#"{"v":99,"kind":"settle","run":"x"}"#),
            ("e", &settle("busy")),
            ("f", &settle("rejected")),
            ("g", &settle("stale")),
            ("h", &settle("last")),
        ]);
        let handled = Mutex::new(Vec::new());
        let handled = &handled;
        let response = ready(run_batch(event, |message, received| async move {
            assert_eq!(received.attempt, 3);
            let run = run_of(&message);
            handled.lock().unwrap().push(run.clone());
            match run.as_str() {
                "panics" => panic!("on purpose"),
                "busy" => Err(Disposition::retry("busy")),
                "rejected" => Err(Disposition::reject("wrong for ever")),
                "stale" => Err(Disposition::Done),
                _ => Ok(()),
            }
        }));
        assert_eq!(failed(&response), ["b", "c", "d", "e", "f"]);
        assert_eq!(*handled.lock().unwrap(), ["good", "panics", "busy", "rejected", "stale", "last"]);
    }

    #[test]
    fn a_stage_may_return_a_ports_error_as_it_is() {
        let response = ready(run_batch(batch(&[("a", &settle("r"))]), |_, _| async {
            Err::<(), _>(LedgerError::from(Fault::new(FaultKind::Transient, "ledger")))
        }));
        assert_eq!(failed(&response), ["a"]);
    }

    #[test]
    fn a_message_without_body_fails_and_an_empty_batch_is_fine() {
        let mut event = batch(&[("a", "")]);
        event.records[0].body = None;
        let handle = |_: Message, _: Received| async { Ok::<(), Disposition>(()) };
        assert_eq!(failed(&ready(run_batch(event, handle))), ["a"]);
        assert!(failed(&ready(run_batch(batch(&[]), handle))).is_empty());
    }

    #[test]
    fn hosts_may_run_a_batch_on_any_thread() {
        struct Stage(Mutex<Vec<Message>>);
        impl Stage {
            async fn handle(&self, message: Message, _received: Received) -> Result<(), Disposition> {
                self.0.lock().unwrap().push(message);
                Ok(())
            }
        }
        fn sendable<T: Send>(value: T) -> T {
            value
        }
        let stage = Stage(Mutex::default());
        let handle = |message, received| stage.handle(message, received);
        ready(sendable(run_batch(batch(&[("a", &settle("r"))]), handle)));
        assert_eq!(stage.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_is_logged_of_an_unreadable_message_quotes_nothing_of_it() {
        let error = Message::decode(r#"{"v":1,"kind":"hunter2"}"#).unwrap_err();
        assert!(!safe(&error).contains("hunter2"), "{}", safe(&error));
    }
}
