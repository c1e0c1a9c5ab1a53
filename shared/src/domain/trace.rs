//! Which story something is part of, as W3C Trace Context writes it: from the webhook that began it to the switch.
//!
//! Always holds: what is not exactly a `traceparent` of version 00 is none; it is carried and logged, and decides
//! nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `00-{32 hex digits of the trace}-{16 of the span}-{2 of flags}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceParent(String);

impl TraceParent {
    /// The name of its header.
    pub const HEADER: &str = "traceparent";

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |part: &str, digits: usize| {
            part.len() == digits && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let is_set = |part: &str| part.bytes().any(|b| b != b'0');
        let parts: Vec<&str> = text.trim().split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return None };
        let good = version == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2) && is_set(trace) && is_set(span);
        good.then(|| Self(text.trim().to_owned()))
    }

    /// A story that begins here. Randomness is the caller's.
    #[must_use]
    pub fn new(trace: [u64; 2], span: u64) -> Self {
        // All zeros would be none.
        Self(format!("00-{:016x}{:016x}-{:016x}-00", trace[0], trace[1] | 1, span | 1))
    }

    /// The same story, with a span of ours.
    #[must_use]
    pub fn child(&self, span: u64) -> Self {
        Self(format!("{}{:016x}{}", &self.0[..36], span | 1, &self.0[52..]))
    }

    /// What all of one story share.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on_under_a_span_of_ours() {
        let child = TraceParent::parse(GIVEN).unwrap().child(0x1000);
        assert_eq!(child.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000001001-01");
        assert_eq!(child.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(TraceParent::parse(&child.to_string()), Some(child));
        let new = TraceParent::new([0, 0], 0);
        assert_eq!(TraceParent::parse(&new.to_string()), Some(new));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            "",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }
}
