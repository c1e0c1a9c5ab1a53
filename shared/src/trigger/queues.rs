//! What each queue's messages set off: the same for every host, one batch event at a time.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};

use super::sqs::{Received, run_batch};
use crate::domain::{Message, QueueName, RunId};
use crate::metrics::{self, Meter};
use crate::pipeline::StageError;
use crate::pipeline::poll::{Asked, Budget, Poll, Started};
use crate::pipeline::switch::Switch;
use crate::pipeline::transform::Transform;

/// Handles a batch of the poll queue.
pub async fn poll(stage: Arc<Poll>, event: SqsEvent, budget: &Budget) -> SqsBatchResponse {
    let (stage, n) = (stage.as_ref(), event.records.len());
    let handle =
        |message, received: Received| async move { poll_message(stage, message, &received.message_id, budget).await };
    counted(stage.meter.as_ref(), QueueName::Poll, n, run_batch(event, handle).await)
}

/// Handles one message of the poll queue. `id` is the queue's own: the same for every delivery of the message,
/// so that a sync that is delivered twice starts one run.
pub async fn poll_message(stage: &Poll, message: Message, id: &str, budget: &Budget) -> Result<(), StageError> {
    let run = match message {
        Message::Sync { source, mode, cause, trace } => {
            match stage.start_once(Asked { source, mode, cause, switch: true, force: false, trace }, id).await? {
                Started::Run(run) | Started::Resumes(run) => run,
                Started::Waits(_) => return Ok(()),
            }
        }
        Message::Continue { run } => run,
        Message::Errand { source, errand } => return stage.errand(&source, &errand).await,
        Message::Keep { source, what } => return stage.keep(&source, what).await,
        other => return Err(misplaced(&other)),
    };
    proceed(stage, &run, budget).await
}

/// Goes on with a run. A fault that will not pass ends it with that reason: nobody would look for it in the
/// dead letters.
async fn proceed(stage: &Poll, run: &RunId, budget: &Budget) -> Result<(), StageError> {
    match stage.proceed(run, budget).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_final() => stage.give_up(run, &error).await,
        Err(error) => Err(error),
    }
}

/// Handles a batch of the transform queue.
pub async fn transform(stage: Arc<Transform>, event: SqsEvent) -> SqsBatchResponse {
    let n = event.records.len();
    counted(stage.meter.as_ref(), QueueName::Transform, n, run_batch(event, |message, _| stage.handle(message)).await)
}

/// Handles a batch of the switch queue.
pub async fn switch(stage: Arc<Switch>, event: SqsEvent, budget: &Budget) -> SqsBatchResponse {
    let n = event.records.len();
    let done = run_batch(event, |message, _| switch_message(&stage, message, budget)).await;
    counted(stage.meter.as_ref(), QueueName::Switch, n, done)
}

fn counted(meter: &dyn Meter, queue: QueueName, n: usize, done: SqsBatchResponse) -> SqsBatchResponse {
    let failed = done.batch_item_failures.len();
    meter.count(&metrics::MESSAGES, &[queue.as_str(), "failed"], failed as u64);
    meter.count(&metrics::MESSAGES, &[queue.as_str(), "done"], n.saturating_sub(failed) as u64);
    done
}

/// Handles one message of the switch queue.
pub async fn switch_message(stage: &Switch, message: Message, budget: &Budget) -> Result<(), StageError> {
    match message {
        Message::Settle { run } => match stage.settle(&run, budget).await {
            Err(error) if error.is_final() => stage.give_up(&run, &error).await,
            settled => settled,
        },
        other => Err(misplaced(&other)),
    }
}

fn misplaced(message: &Message) -> StageError {
    StageError::Impossible(format!("a message for the {} stage came to another one", message.queue().as_str()))
}
