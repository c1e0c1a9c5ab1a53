//! upkeep: resumes what died, repairs gates, lets go of what nobody keeps, backs up, and measures. A schedule → a round.

use std::sync::Arc;

use serde_json::json;
use teal::domain::QueueName;
use teal::metrics::{Meter, RUNS_RESUMED};
use teal::pipeline::gauges::Gauges;
use teal::pipeline::upkeep::Upkeep;
use teal::ports::EmptySecrets;
use teal_aws::host::{self, Error, Function};
use teal_connect::ManifestConnectors;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await;
    let (ledger, entities, blobs) = (function.ledger()?, function.entities()?, function.blobs()?);
    let queue = function.queue(&QueueName::ALL)?;
    let systems = function.systems(ledger.clone(), blobs.clone(), Arc::new(EmptySecrets), ManifestConnectors);
    let shelf = function.shelf(blobs.clone(), systems.clone());
    let backups = &function.backups(ledger.clone(), entities.clone(), blobs.clone(), shelf);
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
    let meter: &dyn Meter = function.meter.as_ref();
    host::run(&function.meter, |_, call| async move {
        let upkept = upkeep.round(false, &call.budget()).await?;
        let made = backups.round(&call.budget()).await;
        meter.count(&RUNS_RESUMED, &[], upkept.resumed.len() as u64);
        let gauges =
            Gauges { ledger: upkeep.ledger.as_ref(), systems: &upkeep.systems, backups, clock: upkeep.clock.as_ref() };
        gauges.record(meter).await?;
        Ok(json!({ "upkept": upkept, "backups": made? }))
    })
    .await
}
