//! switch: verifies what a run built and makes it the version that people read. Messages of its queue → a pointer.

use std::sync::Arc;

use teal::domain::QueueName;
use teal::ports::EmptySecrets;
use teal::trigger::{events, queues};
use teal_aws::host::{self, Error, Function};
use teal_connect::ManifestConnectors;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await;
    let (ledger, blobs) = (function.ledger()?, function.blobs()?);
    let rests = function.rests(QueueName::Switch)?;
    let systems = function.systems(ledger.clone(), blobs.clone(), Arc::new(EmptySecrets), ManifestConnectors);
    let switch = function.switch(ledger, function.entities()?, blobs, function.queue(&QueueName::ALL)?, systems);
    let (switch, rests) = (&switch, &rests);
    host::run(&function.meter, |event, call| async move {
        let budget = call.budget();
        Ok(rests.after(events::batch(event)?, |batch| queues::switch(switch.clone(), batch, &budget)).await)
    })
    .await
}
