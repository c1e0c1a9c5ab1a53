//! serve: answers readers from the active version. GET of an HTTP API or a function URL → rows.

use std::sync::Arc;

use teal::pipeline::serve::Serve;
use teal::trigger::callers::SecretTokens;
use teal::trigger::http::Http;
use teal_aws::host::{self, Error, Function};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::start().await;
    let serve = Serve { entities: function.entities()?, ledger: function.ledger()?, clock: function.clock() };
    let callers = Arc::new(SecretTokens(function.secrets()));
    host::readers(
        &function.meter,
        Http {
            hooks: None,
            serve: Some(Arc::new(serve)),
            admin: None,
            callers,
            open: false,
            meter: function.meter.clone(),
            metrics: None,
        },
    )
    .await
}
