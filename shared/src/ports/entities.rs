//! Generations of entities: made, merged into by order, read, dropped.
//!
//! Always holds, in every adapter:
//!
//! - `merge` follows `domain::order` exactly: applying the same changes in any order, in any batches, any number of
//!   times leaves the same rows, visible rows, counts and sums (P5). A merge that was cut off may have been done in
//!   part; repeated, it is completed, and its rows are counted as if it had never been cut off.
//! - Two records that make the same row with an equal order are settled without asking who came first: the
//!   greater owner wins, by key order, then the greater row hash (unsigned). The state that
//!   loses is counted as a duplicate.
//! - The head of a generation (gate, sequence, visible rows, hash sum) is true after every write.
//! - A live merge goes through only while the gate is open; a build merge only while the generation is
//!   building or closed, and only under a fence no older than the gate's.
//! - A live merge that holds something stated before the generation was last confirmed goes through only if the
//!   writer knows of that.
//! - A reader sees each row whole, and everything of a merge that has returned. Of one that has not, it may see a
//!   part: an adapter may cut a merge into several transactions (docs/decisions/0009-entities-on-dynamodb.md).

use std::sync::Arc;

use async_trait::async_trait;

use super::fault::Fault;
use crate::domain::{Fence, GenerationId, Key, Millis, RecordChange, Row, RowHash, Schema, Value};
use crate::mutants::{self, Mutant};

/// Makes, gates and drops generations.
#[async_trait]
pub trait EntityAdmin: Send + Sync {
    /// Makes an empty generation with the given gate. One that is there already stays as it is.
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError>;

    /// Sets the gates of all these generations. Refused, whole, when any has seen a newer fence. When it has returned
    /// no writer passes an old gate; before, some may. What fails half-way is completed by being repeated.
    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError>;

    /// Says of generations that a listing confirmed them up to this time: it stated all that they hold and nothing else.
    /// The rows stay as they are, so they don't know how new they are; whoever has older changes is told. Refused as
    /// gates are, and complete when it has returned, as they are. A time that is earlier than the last one changes nothing.
    async fn confirm(&self, ids: &[GenerationId], until: Millis, fence: Fence) -> Result<(), EntitiesError>;

    /// Removes up to `limit` rows of a generation, and the generation itself with the last of them.
    /// From the first slice on the generation can't be read.
    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError>;

    /// Every generation that is stored, also half dropped ones.
    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError>;
}

#[async_trait]
pub trait EntityWriter: Send + Sync {
    /// Merges what records make of one entity. `slot` names where they come from (a raw key): when the same
    /// slot is merged again, its rows are counted as they were the first time, so that a redelivery changes
    /// no count.
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError>;

    /// Whether every row that these changes hold is visible as it is, made by the same record, and nothing else is
    /// in them.
    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError>;
}

#[async_trait]
pub trait EntityReader: Send + Sync {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError>;

    /// The visible row of this key.
    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError>;

    /// Visible rows in key order.
    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError>;

    /// Visible rows in key order after `after`, at most `limit`, keys and hashes only: for comparing.
    async fn hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError>;

    /// Looks at the next `limit` visible rows after `after` for values of `field` that are no key of a
    /// visible row of `to`. A slice, so that a check of any size can stop and go on.
    async fn dangling(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError>;
}

#[derive(Clone, Debug, PartialEq)]
pub struct GenerationSpec {
    pub id: GenerationId,
    pub schema: Arc<Schema>,
    /// Upserts stated before it count as superseded and leave no trace.
    pub floor: Millis,
    /// Every row's key is its owner's key: a record makes one row or none, and no other record makes it.
    pub owner_is_key: bool,
    /// The generation that readers have now. While this one builds, a row that it does not have yet is
    /// counted as new, changed or unchanged against that one. An adapter may ignore it and count new.
    pub base: Option<GenerationId>,
    pub gate: Gate,
    pub fence: Fence,
}

/// Who may write to a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Only the run that builds it.
    Building,
    /// Live changes: it is part of the active version.
    Open,
    /// Only a switch or a rollback that replays changes into it.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Live,
    /// A live change that may be older than what confirmed the generation up to this time: whoever writes it has seen to
    /// it that the rows know.
    Late(Millis),
    Build(Fence),
}

impl Writer {
    /// What is asked of a generation whose gate and confirmation are these.
    pub fn check(
        self,
        id: &GenerationId,
        (gate, fence): (Gate, Fence),
        confirmed: Millis,
        changes: impl IntoIterator<Item = Millis>,
    ) -> Result<(), EntitiesError> {
        let knows = match self {
            Self::Build(own) if gate == Gate::Open || own < fence => {
                return Err(EntitiesError::StaleBuilder { id: id.clone(), fence: own });
            }
            Self::Build(_) => return Ok(()),
            Self::Live | Self::Late(_) if gate != Gate::Open => return Err(EntitiesError::GateClosed(id.clone())),
            Self::Live => None,
            Self::Late(until) => Some(until),
        };
        let is_late = knows < Some(confirmed) && changes.into_iter().any(|stated| stated < confirmed);
        if is_late && !mutants::on(Mutant::ConfirmedOverrun) {
            return Err(EntitiesError::Confirmed { id: id.clone(), until: confirmed });
        }
        Ok(())
    }
}

/// The state of a generation as a whole, kept true with every write.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub gate: Gate,
    pub fence: Fence,
    /// Grows with every merge that changed something visible, by one for each transaction that it took.
    pub sequence: u64,
    /// Visible rows.
    pub rows: u64,
    /// Wrapping sum of the visible rows' hashes.
    pub sum: u64,
    pub schema: Arc<Schema>,
}

/// What a merge did, in rows. `new + changed + unchanged + superseded + duplicate` is the number of rows
/// that the changes held; `deleted` counts visible rows that went, `late` those of the new and changed ones whose
/// change is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub superseded: u64,
    pub duplicate: u64,
    pub deleted: u64,
    pub late: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListQuery {
    pub after: Option<Key>,
    pub limit: usize,
    /// All must hold. Only fields declared `index: true`.
    pub filters: Vec<Filter>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    pub field: String,
    pub compare: Compare,
    pub value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    /// Whether a value that compares so with the filter's fits.
    #[must_use]
    pub fn fits(self, found: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dangling {
    /// Rows looked at; fewer than asked for at the end.
    pub looked_at: usize,
    /// Where to go on; `None` at the end.
    pub next: Option<Key>,
    /// Rows whose value leads nowhere, with the value.
    pub found: Vec<(Key, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    More,
    Gone,
}

#[derive(Debug, thiserror::Error)]
pub enum EntitiesError {
    #[error("there is no generation {0}; it was dropped, or never made")]
    NoGeneration(GenerationId),
    /// The generation takes no live changes now: a switch is under way or has happened. Read the pointer again.
    #[error("generation {0} is closed for changes; the active version has moved or is about to")]
    GateClosed(GenerationId),
    /// The generation is not being built, or by somebody newer.
    #[error("generation {id} is not built under fence {fence} any more")]
    StaleBuilder { id: GenerationId, fence: Fence },
    /// Something older than what confirmed the generation: its rows have to be told first.
    #[error(
        "generation {id} was confirmed as of {until}, and this change is older; its rows have to be brought up to then first"
    )]
    Confirmed { id: GenerationId, until: Millis },
    #[error(transparent)]
    Fault(#[from] Fault),
}
