//! What a source's webhook declares of what comes after a delivery was let in: what is the same delivery, what is
//! hidden of it, what it consists of, what is asked for because of it, and what keeps deliveries coming.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use super::jq::Program;
use super::model::SecretName;
use super::path::Path;
use crate::domain::StreamName;

/// How long deliveries are remembered: longer than any known sender repeats one.
pub const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug)]
pub struct After {
    /// Which deliveries are one. `None`: those of the same name and the same bytes.
    pub dedupe: Option<Vec<Place>>,
    /// How long deliveries are remembered, and shown.
    pub keep: Duration,
    /// Where in the body the events are that become deliveries of their own.
    pub split: Option<Path>,
    /// What is hidden before a delivery is stored; each as paths from list to list.
    pub mask: Vec<Vec<Path>>,
    pub lease: Option<Lease>,
    pub gaps: Option<Gaps>,
    /// After so many times the usual gap without a delivery the source is called silent.
    pub silence: Option<f64>,
}

impl Default for After {
    fn default() -> Self {
        Self { dedupe: None, keep: KEEP, split: None, mask: Vec::new(), lease: None, gaps: None, silence: None }
    }
}

/// Where a sender names a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Header(String),
    Body(Path),
    /// The whole body's hash.
    Hash,
}

/// A request to somebody else's API. Programs choose path and body, never the host.
#[derive(Debug)]
pub struct Template {
    pub method: http::Method,
    /// `https://host`, maybe with the beginning of a path.
    pub base: String,
    /// Gives what follows `base`, from `/` on.
    pub path: Program,
    pub body: Option<Program>,
    /// The body is sent as a form, else as JSON.
    pub form: bool,
    pub headers: BTreeMap<String, Value>,
    /// `Authorization: Bearer …`
    pub bearer: Option<SecretName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Plain(String),
    Secret(SecretName),
}

/// `do: fetch`: the object that an event is about, which then is a record of a stream.
#[derive(Debug)]
pub struct Fetch {
    pub stream: StreamName,
    pub request: Template,
    /// Where in the answer the record is.
    pub record: Path,
    /// Where in the event the record's key is: an object that the source does not have is deleted.
    pub key: Option<Path>,
    /// How long is waited for more events about the same object.
    pub wait: Duration,
}

/// `do: page`: everything behind a cursor, a page after the other, each of which is a delivery of this webhook.
#[derive(Debug)]
pub struct Paging {
    /// Its programs see `{event, cursor}`.
    pub request: Template,
    /// From an answer to `{cursor, more}`.
    pub next: Program,
    pub wait: Duration,
}

/// What keeps a subscription alive that ends by itself.
#[derive(Debug)]
pub struct Lease {
    /// Asks for a new channel. `None`: somebody made one by hand, and only its life is prolonged.
    pub create: Option<Template>,
    /// Prolongs a channel. `None`: a new one takes its place.
    pub refresh: Option<Template>,
    pub stop: Option<Template>,
    /// From an answer to `{until, id, resource}`, each of which may be missing.
    pub read: Option<Program>,
    /// A channel is valid only once the sender has asked whether it is wanted.
    pub confirm: bool,
    /// What programs see as `.with`.
    pub with: Json,
    /// What programs see as `.secret`.
    pub secrets: BTreeMap<String, SecretName>,
    /// Where the sender reaches us.
    pub address: String,
    pub life: Duration,
    /// How often the source is polled while there is no valid lease.
    pub cover: Duration,
}

/// How what was never delivered is found.
#[derive(Debug)]
pub struct Gaps {
    pub every: Duration,
    pub how: Closing,
}

#[derive(Debug)]
pub enum Closing {
    /// As if this event had come: for rules that fetch or page.
    Event(Json),
    Sent(Box<Sent>),
}

/// How a sender is asked that lists what it sent.
#[derive(Debug)]
pub struct Sent {
    /// Programs see `{cursor}`.
    pub list: Template,
    /// From its answer to `{missed: [{id, …}], cursor}`.
    pub missed: Program,
    /// Programs see one of these.
    pub get: Template,
    /// From that answer to `{headers, body}`.
    pub delivery: Program,
}
