//! admin: what people do to a system. A request of an HTTP API or a function URL, or, from whoever may invoke it,
//! `{"do": …}` → an answer. A deployed configuration's schedules follow it.

use std::sync::Arc;

use serde_json::json;
use teal::domain::QueueName;
use teal::pipeline::admin::Admin;
use teal::pipeline::admin::console::Console;
use teal::pipeline::caller::{Caller, Role};
use teal::pipeline::poll::Poll;
use teal::trigger::callers::SecretTokens;
use teal::trigger::events::AdminEvent;
use teal::trigger::http::Http;
use teal_aws::host::admin::{NoUpstream, SqsDepths, WithSchedules};
use teal_aws::host::{self, Error, Function};
use teal_connect::ManifestConnectors;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await;
    let (ledger, entities, blobs) = (function.ledger()?, function.entities()?, function.blobs()?);
    let queue = function.queue(&QueueName::ALL)?;
    let secrets = function.secrets();
    let systems = function.systems(ledger.clone(), blobs.clone(), secrets.clone(), ManifestConnectors);
    let switch = function.switch(ledger.clone(), entities.clone(), blobs.clone(), queue.clone(), systems.clone());
    let shelf = function.shelf(blobs.clone(), systems.clone());
    let backups = function.backups(ledger.clone(), entities.clone(), blobs.clone(), shelf.clone());
    let poll = Arc::new(Poll {
        ledger: ledger.clone(),
        entities: entities.clone(),
        blobs: blobs.clone(),
        raws: blobs.clone(),
        queue: queue.clone(),
        upstream: Arc::new(NoUpstream),
        systems: systems.clone(),
        clock: function.clock(),
        entropy: function.entropy(),
        shelf,
        meter: function.meter.clone(),
    });
    let admin = Arc::new(Admin {
        ledger: ledger.clone(),
        entities: entities.clone(),
        reader: entities,
        blobs: blobs.clone(),
        queue: queue.clone(),
        systems: systems.clone(),
        switch: switch.clone(),
        clock: function.clock(),
    });
    let depths = SqsDepths::new(function.clients.clone(), function.settings.queues(&QueueName::ALL)?);
    let console = Console {
        admin,
        poll,
        switch,
        backups,
        ledger,
        blobs,
        queue,
        clock: function.clock(),
        depths: Some(Arc::new(depths)),
    };
    let api = Arc::new(WithSchedules { api: Arc::new(console), systems, schedules: function.schedules()? });
    let http = Http {
        hooks: None,
        serve: None,
        admin: Some(api.clone()),
        callers: Arc::new(SecretTokens(secrets)),
        open: false,
        meter: function.meter.clone(),
        metrics: None,
    };
    let (api, http, caller) = (&api, &http, &Caller::new("invoke", [Role::Admin]));
    host::run(&function.meter, |event, _| async move {
        match AdminEvent::read(event)? {
            AdminEvent::Request(request) => Ok(json!(http.handle(*request).await)),
            AdminEvent::Ask(ask) => host::invoked(&ask.put(api.as_ref(), caller).await),
        }
    })
    .await
}
