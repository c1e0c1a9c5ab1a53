//! The compiled system: what is left of `teal.yaml` once everything in it was found to be right.
//!
//! Always holds, because the loader checked it: every name that refers to something finds it, entities
//! stand in dependency order (a relation's target before the entity that has it), keys are required fields
//! of type integer or string, paths and jq programs are compiled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use teal_gate::{Gate, Lifetime, Preset};

use super::after::{After, Fetch, Paging};
use super::jq::{Input, Program};
use super::path::Path;
use super::schedule::Schedule;
use crate::domain::{ConfigHash, EntityName, FieldType, Mode, Schema, SourceName, StreamName};

#[derive(Debug)]
pub struct System {
    pub hash: ConfigHash,
    pub name: String,
    pub sources: BTreeMap<SourceName, Source>,
    /// In dependency order.
    pub entities: Vec<Entity>,
    pub versions: Versions,
    pub guard: Guard,
    /// `None`: backups are made on demand only.
    pub backups: Option<Backups>,
    /// Requests a second to all webhooks together. `None`: no limit.
    pub hooks_per_second: Option<f64>,
}

#[derive(Debug)]
pub struct Source {
    pub name: SourceName,
    /// Text of the connector manifest.
    pub manifest: String,
    /// The `config` block; `${secret:name}` values stand in `secrets`, by member, and not here.
    pub config: Json,
    pub secrets: BTreeMap<String, SecretName>,
    pub full: Option<Schedule>,
    pub incremental: Option<Schedule>,
    pub webhook: Option<Webhook>,
    pub limits: Limits,
}

/// Refers to a secret that the `Secrets` port knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName(pub String);

#[derive(Debug)]
pub struct Webhook {
    /// `POST /hooks/{path}`. The source's name when not given.
    pub path: String,
    pub verify: Verify,
    /// Header in which the sender names a delivery. Without one each request is a delivery of its own.
    pub id_header: Option<String>,
    /// Where a delivery says when it was sent; without it rules may only trigger a sync.
    pub stated: Option<Stated>,
    /// Every rule that applies is followed, in order.
    pub on: Vec<Rule>,
    pub max_body: usize,
    /// Requests a second that are looked at. `None`: no limit.
    pub per_second: Option<f64>,
    pub after: After,
}

/// How a request proves where it comes from.
#[derive(Debug)]
pub struct Verify {
    pub preset: Preset,
    pub gate: Gate,
    /// Any one that is valid proves it. Empty where the sender's certificates do.
    pub keys: Vec<KeyName>,
}

#[derive(Clone, Debug)]
pub struct KeyName {
    pub secret: SecretName,
    pub lifetime: Lifetime,
}

#[derive(Debug)]
pub enum Stated {
    Header { name: String, format: TimeFormat },
    Body { path: Path, format: TimeFormat },
}

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339, with any offset.
    Rfc3339,
    UnixSeconds,
    UnixMillis,
    /// `strptime`. Without an offset in it, UTC.
    Pattern(String),
}

#[derive(Debug)]
pub struct Rule {
    /// A jq program over the body; the rule applies when it gives `true`. Always, without one.
    pub when: Option<Program>,
    pub action: Action,
}

impl Rule {
    /// A program that fails, or gives anything but `true`, says no.
    #[must_use]
    pub fn applies(&self, body: &Input) -> bool {
        self.when.as_ref().is_none_or(|when| when.run_on(body, 1).is_ok_and(|out| out == [Json::Bool(true)]))
    }
}

impl Webhook {
    /// The rules that apply to a body, in their order, with their numbers.
    #[must_use]
    pub fn rules(&self, body: &Json) -> Vec<(usize, &Rule)> {
        let body = Input::new(body);
        self.on.iter().enumerate().filter(|(_, rule)| rule.applies(&body)).collect()
    }
}

#[derive(Debug)]
pub enum Action {
    Sync {
        mode: Mode,
    },
    /// The body holds the record (or, where the path ends in a list, records) of a stream.
    Upsert {
        stream: StreamName,
        record: Path,
    },
    /// The body names the key of a record that is gone.
    Delete {
        stream: StreamName,
        key: Path,
        provider: Option<ProviderOrder>,
    },
    Fetch(Fetch),
    Page(Paging),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Requests a second, over all functions together. `None`: no limit.
    pub per_second: Option<f64>,
    /// Streams that are read at the same time, at most. `None`: what the connector says.
    pub concurrency: Option<usize>,
    /// Attempts a request, the first included.
    pub attempts: u32,
    pub timeout: Duration,
    /// Longest time that a run waits for a quota before it ends as `partial-quota`.
    pub max_wait: Duration,
    /// Largest answer.
    pub max_body: usize,
    /// Whether pages that are known are asked for only if they changed.
    pub conditional: bool,
}

#[derive(Debug)]
pub struct Entity {
    pub name: EntityName,
    pub source: SourceName,
    pub stream: StreamName,
    pub schema: Arc<Schema>,
    /// Path of the record's own key in the record; what rows belong to. Values integer or string.
    pub owner: Vec<Path>,
    /// Every row's key is its record's key.
    pub owner_is_key: bool,
    /// Where in the record the items are that make a row each; the record itself when empty.
    /// Each step leads from an item to its children.
    pub each: Vec<Path>,
    /// Items for which this is not true make no row.
    pub only: Option<Program>,
    /// From an item to the object (or objects) that `fields` are read from.
    pub map: Option<Program>,
    /// In the order of the schema's fields.
    pub fields: Vec<FieldRule>,
    /// The provider's own order, read from the record.
    pub order: Option<ProviderOrder>,
    pub guard: Guard,
}

/// Where the provider states which of two states is newer.
#[derive(Clone, Debug)]
pub struct ProviderOrder {
    pub path: Path,
    pub kind: OrderKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderKind {
    Sequence,
    Time(TimeFormat),
}

/// How one field of a row is made: read, looked up, converted, checked.
#[derive(Debug)]
pub struct FieldRule {
    pub name: String,
    pub kind: FieldType,
    pub from: FieldSource,
    pub required: bool,
    /// Used where the path gives nothing or null.
    pub default: Option<Json>,
    /// Replaces a value (as text) by another, before conversion.
    pub lookup: Option<Lookup>,
    /// For `date` and `timestamp`: how the source writes it.
    pub format: Option<TimeFormat>,
    pub bounds: Bounds,
}

#[derive(Debug)]
pub enum FieldSource {
    Path(Path),
    /// Position of the item among its siblings, from 0.
    Position,
}

#[derive(Debug)]
pub struct Lookup {
    pub table: BTreeMap<String, Json>,
    pub missing: LookupMissing,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LookupMissing {
    Reject,
    Keep,
    Use(Json),
}

#[derive(Debug, Default)]
pub struct Bounds {
    /// In characters.
    pub min_length: Option<usize>,
    pub max_length: Option<usize>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub one_of: Option<Vec<Json>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Versions kept readable, the active one included. At least 2, so that there is one to roll back to. A full run
    /// that confirmed the active one counts as one.
    pub keep: u32,
    /// Versions whose raw is kept, so that they can be rebuilt.
    pub raw: u32,
    /// How long a version that is not kept any more stays readable for cursors that began in it.
    pub grace: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Backups {
    pub full: Option<Schedule>,
    pub increment: Option<Schedule>,
    pub keep: Duration,
    /// Where each is copied to, as the host understands it.
    pub second: Option<String>,
}

/// When a build is too different to become visible by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// Largest part of the active rows that may be missing, 0 to 1.
    pub max_shrink: f64,
    /// Largest part of mapped rows that may be rejected, 0 to 1.
    pub max_rejected: f64,
    /// Whether rows whose relations lead nowhere stop a switch, or are only reported.
    pub relations: RelationsGuard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationsGuard {
    Report,
    Block,
}

impl System {
    #[must_use]
    pub fn entity(&self, name: &EntityName) -> Option<&Entity> {
        self.entities.iter().find(|e| e.name == *name)
    }

    /// What a source feeds, in dependency order.
    pub fn fed_by<'a>(&'a self, source: &'a SourceName) -> impl Iterator<Item = &'a Entity> + 'a {
        self.entities.iter().filter(move |e| e.source == *source)
    }

    /// The streams of a source that entities are made from, each once, in dependency order.
    #[must_use]
    pub fn streams(&self, source: &SourceName) -> Vec<StreamName> {
        let mut out: Vec<StreamName> = Vec::new();
        for entity in self.fed_by(source) {
            if !out.contains(&entity.stream) {
                out.push(entity.stream.clone());
            }
        }
        out
    }
}
