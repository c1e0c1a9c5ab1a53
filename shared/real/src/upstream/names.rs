//! The guard of public addresses, as this client takes it.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::public;

/// Resolves names, and leaves out what is not public.
pub(super) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = public::lookup(name.as_str()).await?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use crate::public::may_be;

    #[test]
    fn addresses_in_urls_are_judged_as_they_will_be_connected_to() {
        // URLs write an address in many ways, and are read in one.
        for inner in ["http://127.1/", "http://0x7f.0.0.1/", "http://2130706433/", "http://[::ffff:127.0.0.1]/"] {
            assert!(!may_be(Url::parse(inner).unwrap().host_str().unwrap()), "{inner}");
        }
        assert!(may_be("sns.eu-west-1.amazonaws.com"));
    }
}
