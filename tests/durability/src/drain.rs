//! Lets an open Teal do all that is queued, one message after the other and without waiting: the stages are
//! called as the host calls them, by nobody else at the same time.

use std::path::Path;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use rusqlite::Connection;
use teal::domain::QueueName;
use teal::pipeline::poll::Budget;
use teal::trigger::queues;
use teal_local::Local;
use teal_local::inbox::Received;

/// Enough for everything that a test queues, with every message tried as often as it may be.
const ROUNDS: usize = 2_000;

/// Returns once nothing is queued. Says what went wrong if that does not come to be.
pub async fn drain(local: &Local, dir: &Path) -> Result<(), String> {
    let budget = Budget::default();
    for _ in 0..ROUNDS {
        let mut received_any = false;
        for name in QueueName::ALL {
            let fault = |fault| format!("the queue '{}' is ill: {fault}", name.as_str());
            let batch = local.queue.receive(name, 10, Duration::from_secs(180)).await.map_err(fault)?;
            if batch.is_empty() {
                continue;
            }
            received_any = true;
            let event = event(&batch);
            let response = match name {
                QueueName::Poll => queues::poll(local.poll.clone(), event, &budget).await,
                QueueName::Transform => queues::transform(local.transform.clone(), event).await,
                QueueName::Switch => queues::switch(local.switch.clone(), event, &budget).await,
            };
            let failed: Vec<_> = response.batch_item_failures.into_iter().map(|f| f.item_identifier).collect();
            let (failed, done): (Vec<_>, Vec<_>) = batch.into_iter().partition(|r| failed.contains(&r.id));
            local.queue.delete(done.iter().map(|r| r.receipt).collect()).await.map_err(fault)?;
            let failed = failed.iter().map(|r| (r.receipt, Duration::ZERO)).collect();
            local.queue.release(name, failed).await.map_err(fault)?;
        }
        if !received_any {
            if is_drained(local).await? {
                return Ok(());
            }
            time_passes(dir)?;
        }
    }
    Err("the queues don't become empty".to_owned())
}

/// Makes every message visible: the time for which it was held back is over.
pub fn time_passes(dir: &Path) -> Result<(), String> {
    let passes = || -> rusqlite::Result<()> {
        let inbox = Connection::open(dir.join("inbox.db"))?;
        inbox.busy_timeout(Duration::from_secs(5))?;
        if inbox
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'message'", [], |row| row.get::<_, i64>(0))?
            > 0
        {
            inbox.execute("UPDATE message SET visible_at = 0", [])?;
        }
        Ok(())
    };
    passes().map_err(|error| format!("inbox.db can't be written: {error}"))
}

/// Whether nothing waits in any queue. Dead letters are nothing here: whoever cares asks for them.
pub async fn is_drained(local: &Local) -> Result<bool, String> {
    for name in QueueName::ALL {
        if !local.queue.depth(name).await.map_err(|fault| fault.to_string())?.is_drained() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn event(batch: &[Received]) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = batch
        .iter()
        .map(|received| {
            let mut message = SqsMessage::default();
            message.message_id = Some(received.id.clone());
            message.body = Some(received.body.clone());
            message.attributes.insert("ApproximateReceiveCount".to_owned(), received.receive_count.to_string());
            message
        })
        .collect();
    event
}
