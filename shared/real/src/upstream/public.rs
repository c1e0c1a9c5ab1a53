//! Which addresses are public: the guard of requests whose address somebody else wrote.
//!
//! Always holds: an address is judged after its name was resolved, by the very address that is then connected to;
//! whatever carries another address inside it is judged by that one, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use teal::ports::Fault;
use teal::ports::fault::FaultKind;

/// Resolves names, and leaves out what is not public.
pub(super) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("the name leads to no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// A literal address is never resolved, so it is judged here.
pub(super) fn may_be(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse::<IpAddr>().map_or(!host.is_empty(), is_public)
}

pub(super) fn refused(host: &str) -> Fault {
    Fault::new(FaultKind::Permanent, format!("{host} is no public address, and is not asked for somebody else"))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)))
}

/// Of what is global unicast, without the ranges that tunnel or translate to another address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [a, b, ..] = address.segments();
    let documentation = a == 0x2001 && b == 0xdb8;
    let teredo_or_special = a == 0x2001 && b < 0x200;
    let six_to_four = a == 0x2002;
    a & 0xe000 == 0x2000 && !documentation && !teredo_or_special && !six_to_four
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_places_are_not_public_however_they_are_written() {
        for inner in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(inner.parse().unwrap()), "{inner}");
        }
        for public in ["1.1.1.1", "54.239.28.85", "2606:4700::1111", "2a00:1450::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn addresses_in_urls_are_judged_as_they_will_be_connected_to() {
        // URLs write an address in many ways, and are read in one.
        for inner in ["http://127.1/", "http://0x7f.0.0.1/", "http://2130706433/", "http://[::ffff:127.0.0.1]/"] {
            assert!(!may_be(&Url::parse(inner).unwrap()), "{inner}");
        }
        assert!(may_be(&Url::parse("https://sns.eu-west-1.amazonaws.com/a.pem").unwrap()));
    }
}
