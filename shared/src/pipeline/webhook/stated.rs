//! When a delivery says that it was sent. A sender that states no time, or none that can be read, is
//! taken at the time of receipt and may only trigger a fetch.

use serde_json::Value as Json;

use super::lookup;
use crate::config::path::Scope;
use crate::config::{Stated, TimeFormat};
use crate::domain::Millis;
use crate::pipeline::normalize::read_time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) struct Times {
    pub stated: Millis,
    /// Whether `stated` is the sender's word.
    pub timed: bool,
}

/// `body` is what the delivery, or the event of it, says; read only if it is wanted.
pub(in crate::pipeline) fn read<'a>(
    headers: &[(String, String)],
    body: impl FnOnce() -> Option<&'a Json>,
    stated: Option<&Stated>,
    received: Millis,
) -> Times {
    let found = match stated {
        None => None,
        Some(Stated::Header { name, format }) => lookup(headers, name).and_then(|text| in_header(text.trim(), format)),
        Some(Stated::Body { path, format }) => {
            body().and_then(|body| path.get(&Scope::record(body))).and_then(|value| read_time(value, format).ok())
        }
    };
    Times { stated: found.unwrap_or(received), timed: found.is_some() }
}

fn in_header(text: &str, format: &TimeFormat) -> Option<Millis> {
    read_time(&Json::from(text), format).ok()
}
