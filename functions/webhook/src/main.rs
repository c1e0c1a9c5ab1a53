//! webhook: takes deliveries in. /hooks/… of an HTTP API or a function URL → a raw object → a message.

use std::sync::Arc;

use teal::domain::QueueName;
use teal::pipeline::Systems;
use teal::pipeline::webhook::{Memory, Webhook};
use teal::ports::InTurn;
use teal::trigger::callers::Nobody;
use teal::trigger::http::{CurrentHooks, Http};
use teal_aws::host::{self, Error, Function};
use teal_aws::upstream::PublicUpstream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await;
    let blobs = function.blobs()?;
    let ledger = function.ledger()?;
    let systems = Arc::new(Systems::without_connectors(ledger.clone(), blobs.clone()));
    let webhook = Webhook {
        intake: Arc::new(InTurn { blobs: blobs.clone(), queue: function.queue(&[QueueName::Transform])? }),
        blobs,
        secrets: function.secrets(),
        ledger,
        upstream: Arc::new(PublicUpstream::default()),
        memory: Memory::default(),
        clock: function.clock(),
        entropy: function.entropy(),
        meter: function.meter.clone(),
    };
    let hooks = Arc::new(CurrentHooks { webhook, systems });
    host::http(
        &function.meter,
        Http {
            hooks: Some(hooks),
            serve: None,
            admin: None,
            callers: Arc::new(Nobody),
            open: false,
            meter: function.meter.clone(),
            metrics: None,
        },
    )
    .await
}
