//! Gaps: deliveries that never came, and sources that have gone silent.
//!
//! Owns the item that says when it was last looked, what was found, and how long a silence is.

use serde::{Deserialize, Serialize};

use super::error::StageError;
use super::inbox::{self, Wanted};
use crate::domain::{Millis, SourceId};
use crate::ports::LedgerReader;

/// Deliveries that say what a usual gap is.
const SAMPLE: usize = 200;
/// Fewer say nothing.
const FEWEST: usize = 6;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps {
    /// When it was last looked for them to the end.
    pub at: Millis,
    pub found: u64,
    pub closed: u64,
    /// Ids that were fetched lately: what failed then is not found once more.
    pub lately: Vec<String>,
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Silence {
    pub last: Millis,
    pub usual: std::time::Duration,
    /// Time since the last delivery, in gaps that are called silence.
    pub ratio: f64,
}

/// How silent a source is, of which so many times its usual gap is called silence; `None` while too few came.
pub async fn silence(
    ledger: &dyn LedgerReader,
    source: &SourceId,
    times: f64,
    now: Millis,
) -> Result<Option<Silence>, StageError> {
    let entries = inbox::list(ledger, source, &Wanted::default(), None, SAMPLE).await?;
    let came = entries.into_iter().map(|(_, entry)| entry);
    // What we fetched ourselves and events of one request are no deliveries of their own.
    let came: Vec<Millis> = came
        .filter(|entry| entry.of.is_none() && !entry.id.starts_with("fetch-") && !entry.id.starts_with("page-"))
        .map(|entry| entry.received)
        .collect();
    let mut gaps: Vec<_> = came.windows(2).map(|pair| pair[0].since(pair[1])).collect();
    gaps.sort_unstable();
    if came.len() < FEWEST {
        return Ok(None);
    }
    let usual = gaps[gaps.len() / 2].max(std::time::Duration::from_secs(1));
    let ratio = now.since(came[0]).as_secs_f64() / (usual.as_secs_f64() * times);
    Ok(Some(Silence { last: came[0], usual, ratio }))
}
