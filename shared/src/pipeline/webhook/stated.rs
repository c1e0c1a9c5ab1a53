//! When a delivery says that it was sent. A sender that states no time, or none that can be read, is
//! taken at the time of receipt and may only trigger a fetch.

use serde_json::Value as Json;

use super::verify::{Delivery, Verified};
use crate::config::path::{Path, Scope};
use crate::config::{Stated, TimeFormat};
use crate::domain::Millis;
use crate::pipeline::normalize::read_time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub stated: Millis,
    /// Whether `stated` is the sender's word.
    pub timed: bool,
}

pub(super) fn read(delivery: &Delivery<Verified>, stated: Option<&Stated>, received: Millis) -> Times {
    let found = match stated {
        None => None,
        Some(Stated::Header { name, format }) => delivery.header(name).and_then(|text| in_header(text.trim(), format)),
        Some(Stated::Body { path, format }) => in_body(delivery.body(), path, format),
    };
    Times { stated: found.unwrap_or(received), timed: found.is_some() }
}

fn in_header(text: &str, format: &TimeFormat) -> Option<Millis> {
    read_time(&Json::from(text), format).ok()
}

fn in_body(body: &[u8], path: &Path, format: &TimeFormat) -> Option<Millis> {
    let body: Json = serde_json::from_slice(body).ok()?;
    read_time(path.get(&Scope::record(&body))?, format).ok()
}
