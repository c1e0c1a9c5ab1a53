//! transform: makes rows of pages and deliveries. Messages of its queue → rows, and a run that is sealed.

use std::sync::Arc;

use teal::domain::QueueName;
use teal::pipeline::transform::Transform;
use teal::ports::EmptySecrets;
use teal::trigger::{events, queues};
use teal_aws::host::{self, Error, Function};
use teal_connect::ManifestConnectors;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await;
    let (ledger, blobs) = (function.ledger()?, function.blobs()?);
    let rests = function.rests(QueueName::Transform)?;
    let transform = Arc::new(Transform {
        systems: function.systems(ledger.clone(), blobs.clone(), Arc::new(EmptySecrets), ManifestConnectors),
        ledger,
        entities: function.entities()?,
        blobs: blobs.clone(),
        raws: blobs,
        queue: function.queue(&QueueName::ALL)?,
        clock: function.clock(),
        meter: function.meter.clone(),
    });
    let (transform, rests) = (&transform, &rests);
    host::run(&function.meter, |event, _| async move {
        Ok(rests.after(events::batch(event)?, |batch| queues::transform(transform.clone(), batch)).await)
    })
    .await
}
