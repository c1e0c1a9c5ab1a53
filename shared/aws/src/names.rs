//! How names of hosts become addresses.

use std::net::IpAddr;

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use teal_real::public;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Those of services, which may be private.
    All,
    /// Those that somebody else wrote: what is not public is left out.
    Public,
}

impl ResolveDns for Names {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found: Vec<IpAddr> = match self {
                Self::All => {
                    let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
                    found.map(|address| address.ip()).collect()
                }
                Self::Public => public::lookup(name).await.map_err(ResolveDnsError::new)?,
            };
            Ok(found)
        })
    }
}
