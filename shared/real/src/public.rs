//! Which addresses are public: the guard of requests whose address somebody else wrote.
//!
//! Always holds: an address is judged after its name was resolved, by the very address that is then connected to;
//! whatever carries another address inside it is judged by that one, too.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use teal::ports::Fault;
use teal::ports::fault::FaultKind;

/// The public addresses of a name; an error where there is none.
pub async fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip());
    let public: Vec<IpAddr> = found.filter(|address| is_public(*address)).collect();
    if public.is_empty() { Err(io::Error::other("the name leads to no public address")) } else { Ok(public) }
}

/// A literal address is never resolved, so it is judged here.
#[must_use]
pub fn may_be(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.parse::<IpAddr>().map_or(!host.is_empty(), is_public)
}

#[must_use]
pub fn refused(host: &str) -> Fault {
    Fault::new(FaultKind::Permanent, format!("{host} is no public address, and is not asked for somebody else"))
}

#[must_use]
pub fn is_public(address: IpAddr) -> bool {
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
}
