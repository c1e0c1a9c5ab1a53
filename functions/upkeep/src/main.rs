//! upkeep: resumes what died, repairs gates, lets go of what nobody keeps, and measures. A schedule → a round.

use std::sync::Arc;

use teal::domain::QueueName;
use teal::pipeline::upkeep::Upkeep;
use teal::ports::EmptySecrets;
use teal_aws::host::{self, Error, Function, measures};
use teal_connect::ManifestConnectors;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await;
    let (ledger, entities, blobs) = (function.ledger()?, function.entities()?, function.blobs()?);
    let queue = function.queue(&QueueName::ALL)?;
    let systems = function.systems(ledger.clone(), blobs.clone(), Arc::new(EmptySecrets), ManifestConnectors);
    let upkeep = &Upkeep {
        switch: function.switch(ledger.clone(), entities.clone(), blobs.clone(), queue.clone(), systems.clone()),
        ledger,
        entities,
        blobs: blobs.clone(),
        blob_admin: blobs,
        queue,
        systems,
        clock: function.clock(),
    };
    let deployment = &function.deployment()?;
    host::run(|_, call| async move {
        let upkept = upkeep.round(false, &call.budget()).await?;
        measures::tell(upkeep.clock.now(), deployment, &upkeep.health().await?, &upkept);
        Ok(upkept)
    })
    .await
}
