//! One sync from trigger to outcome, and the counts that must add up (P7).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::{ConfigHash, EntityName, Fence, RunId, SourceId};
use super::time::Millis;
use super::trace::TraceParent;
use super::version::Version;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A complete listing into new generations, then a switch.
    Full,
    /// What changed since the cursor, applied to the active version.
    Incremental,
    /// New generations from kept raw, without a request to the source.
    Rebuild,
    /// New generations from a backup or an import, without a request to the source.
    Restore,
}

impl Mode {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Rebuild => "rebuild",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Pages are being fetched, or adopted from kept raw.
    Fetching,
    /// The source asked to wait. Costs nothing until then.
    WaitingQuota {
        until: Millis,
    },
    /// Every page is stored; some may not be applied yet.
    Fetched,
    /// Every page is applied; the new version is being verified and switched to.
    Settling,
    Ended,
}

impl RunState {
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::WaitingQuota { .. } => "waiting-quota",
            Self::Fetched => "fetched",
            Self::Settling => "settling",
            Self::Ended => "ended",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Complete,
    /// Complete, and the source had nothing.
    CompleteEmpty,
    PartialQuota,
    PartialError,
    Failed,
}

impl Outcome {
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Complete | Self::CompleteEmpty)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::CompleteEmpty => "complete-empty",
            Self::PartialQuota => "partial-quota",
            Self::PartialError => "partial-error",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub mode: Mode,
    /// One for a sync; every source of the rebuilt entities for a rebuild.
    pub sources: Vec<SourceId>,
    pub config: ConfigHash,
    pub fence: Fence,
    pub state: RunState,
    /// The version that it builds; `None` for an incremental run.
    pub builds: Option<Version>,
    /// Whether a build that verifies becomes active, or stays ready for `teal switch`.
    pub switch: bool,
    /// Lets the switch pass the guard, on somebody's explicit word.
    #[serde(default)]
    pub force: bool,
    /// Who or what asked for it: `schedule`, `cli`, `webhook <delivery>`.
    pub cause: String,
    /// The story that it is part of: that of the webhook that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    pub started: Millis,
    pub ended: Option<Millis>,
    /// Pages that the run will have in all; known once fetching is over.
    pub pages: Option<u64>,
    pub outcome: Option<Outcome>,
    /// For whoever reads the outcome: why, and what to do.
    #[serde(default)]
    pub reason: Option<String>,
    /// Its pages are deleted, and no more can come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tidied: bool,
}

impl Run {
    /// A run that has done nothing yet, builds nothing, and whose result is switched to unless the guard objects.
    #[must_use]
    pub fn begun(id: RunId, mode: Mode, sources: Vec<SourceId>, config: ConfigHash, started: Millis) -> Self {
        Self {
            id,
            mode,
            sources,
            config,
            fence: Fence::default(),
            state: RunState::Fetching,
            builds: None,
            switch: true,
            force: false,
            cause: String::new(),
            trace: None,
            started,
            ended: None,
            pages: None,
            outcome: None,
            reason: None,
            tidied: false,
        }
    }
}

/// What a run did. Two equations hold in every run that ended:
/// `fetched = mapped + filtered + rejected`, and per entity
/// `mapped rows = new + changed + unchanged + superseded + duplicate + rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub requests: u64,
    pub pages: u64,
    pub records: RecordCounts,
    pub entities: BTreeMap<EntityName, RowCounts>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    pub fetched: u64,
    /// Made at least one row, or a delete.
    pub mapped: u64,
    /// Made no row by the mapping's own word.
    pub filtered: u64,
    /// Made no row because every one that it should have made was rejected.
    pub rejected: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows that records should have made.
    pub mapped: u64,
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub superseded: u64,
    pub duplicate: u64,
    pub rejected: u64,
    /// Rows that went. Not part of the equation: no record maps to them.
    pub deleted: u64,
    /// New and changed ones of records that by their own cursor are older than what the listing before had come to.
    /// Not part of the equation either.
    #[serde(default)]
    pub late: u64,
}

impl RowCounts {
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            mapped: self.mapped + other.mapped,
            new: self.new + other.new,
            changed: self.changed + other.changed,
            unchanged: self.unchanged + other.unchanged,
            superseded: self.superseded + other.superseded,
            duplicate: self.duplicate + other.duplicate,
            rejected: self.rejected + other.rejected,
            deleted: self.deleted + other.deleted,
            late: self.late + other.late,
        }
    }
}

impl Counts {
    #[must_use]
    pub fn rows(&self) -> RowCounts {
        self.entities.values().fold(RowCounts::default(), |sum, rows| sum.plus(*rows))
    }

    /// The equations of P7.
    #[must_use]
    pub fn add_up(&self) -> bool {
        let r = &self.records;
        r.fetched == r.mapped + r.filtered + r.rejected
            && self
                .entities
                .values()
                .all(|e| e.mapped == e.new + e.changed + e.unchanged + e.superseded + e.duplicate + e.rejected)
    }

    /// The counts as named numbers, the form in which the ledger adds them up.
    #[must_use]
    pub fn to_counters(&self) -> BTreeMap<String, i64> {
        let mut out = BTreeMap::new();
        let mut put = |name: String, value: u64| {
            if value > 0 {
                out.insert(name, i64::try_from(value).unwrap_or(i64::MAX));
            }
        };
        put("requests".into(), self.requests);
        put("pages".into(), self.pages);
        let r = &self.records;
        for (name, value) in
            [("fetched", r.fetched), ("mapped", r.mapped), ("filtered", r.filtered), ("rejected", r.rejected)]
        {
            put(format!("records.{name}"), value);
        }
        for (entity, rows) in &self.entities {
            for (name, value) in rows.named() {
                put(format!("rows.{entity}.{name}"), value);
            }
        }
        out
    }

    #[must_use]
    pub fn from_counters(counters: &BTreeMap<String, i64>) -> Self {
        let mut out = Self::default();
        for (name, value) in counters {
            let value = u64::try_from(*value).unwrap_or(0);
            match name.split('.').collect::<Vec<_>>()[..] {
                ["requests"] => out.requests = value,
                ["pages"] => out.pages = value,
                ["records", "fetched"] => out.records.fetched = value,
                ["records", "mapped"] => out.records.mapped = value,
                ["records", "filtered"] => out.records.filtered = value,
                ["records", "rejected"] => out.records.rejected = value,
                ["rows", entity, name] => {
                    if let Some(slot) = out.entities.entry(entity.into()).or_default().slot(name) {
                        *slot = value;
                    }
                }
                _ => {}
            }
        }
        out
    }
}

impl RowCounts {
    /// Each with its name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("mapped", self.mapped),
            ("new", self.new),
            ("changed", self.changed),
            ("unchanged", self.unchanged),
            ("superseded", self.superseded),
            ("duplicate", self.duplicate),
            ("rejected", self.rejected),
            ("deleted", self.deleted),
            ("late", self.late),
        ]
    }

    fn slot(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "mapped" => &mut self.mapped,
            "new" => &mut self.new,
            "changed" => &mut self.changed,
            "unchanged" => &mut self.unchanged,
            "superseded" => &mut self.superseded,
            "duplicate" => &mut self.duplicate,
            "rejected" => &mut self.rejected,
            "deleted" => &mut self.deleted,
            "late" => &mut self.late,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_the_ledger() {
        let mut counts = Counts { requests: 3, pages: 2, ..Counts::default() };
        counts.records = RecordCounts { fetched: 10, mapped: 7, filtered: 2, rejected: 1 };
        counts.entities.insert("talents".into(), RowCounts { mapped: 8, new: 7, rejected: 1, ..Default::default() });
        assert_eq!(Counts::from_counters(&counts.to_counters()), counts);
        assert!(counts.add_up());
        counts.records.mapped += 1;
        assert!(!counts.add_up());
    }
}
