//! poll: brings pages in. A message of its queue, or a schedule's `{source, mode}` → raw objects → messages.

use std::sync::Arc;

use serde_json::json;
use teal::domain::QueueName;
use teal::pipeline::poll::Poll;
use teal::trigger::events::PollEvent;
use teal::trigger::queues;
use teal_aws::host::{self, Error, Function};
use teal_connect::ManifestConnectors;
use teal_real::upstream::HttpUpstream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await;
    let (ledger, blobs) = (function.ledger()?, function.blobs()?);
    let queue = function.queue(&QueueName::ALL)?;
    let rests = function.rests(QueueName::Poll)?;
    let systems = function.systems(ledger.clone(), blobs.clone(), function.secrets(), ManifestConnectors);
    let poll = Arc::new(Poll {
        shelf: function.shelf(blobs.clone(), systems.clone()),
        systems,
        ledger,
        entities: function.entities()?,
        blobs: blobs.clone(),
        raws: blobs,
        queue: queue.clone(),
        upstream: Arc::new(HttpUpstream::new()?),
        clock: function.clock(),
        entropy: function.entropy(),
        meter: function.meter.clone(),
    });
    let (poll, queue, rests) = (&poll, &queue, &rests);
    host::run(&function.meter, |event, call| async move {
        match PollEvent::read(event)? {
            PollEvent::Batch(batch) => {
                let budget = call.budget();
                Ok(json!(rests.after(batch, |batch| queues::poll(poll.clone(), batch, &budget)).await))
            }
            PollEvent::Due(due) => {
                due.ask(queue.as_ref()).await?;
                Ok(json!({}))
            }
        }
    })
    .await
}
