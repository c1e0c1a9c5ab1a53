//! Replaying the change log into generations that lack its newest entries.
//!
//! Always holds: replaying an entry that a generation has already changes nothing, so a replay may start
//! too early but never too late, and may be cut off and begun again.

use std::collections::BTreeMap;

use super::{Switch, Target};
use crate::domain::{Fence, Generation, Raw, SourceId};
use crate::mutants::{self, Mutant};
use crate::pipeline::changelog;
use crate::pipeline::confirm::WriteDown;
use crate::pipeline::error::StageError;
use crate::pipeline::transform::apply::{Job, apply};
use crate::ports::entities::Writer;

/// Entries read at once.
const ENTRIES: usize = 100;
/// A backlog this small is left for when the gates are closed: each entry is a write that changes wait for.
const LITTLE: u64 = 1;
/// Rounds before the gates close however much arrives meanwhile.
const ROUNDS: usize = 10;

/// Where the replay of each source stands.
pub(super) type Positions = BTreeMap<SourceId, u64>;

impl Switch {
    /// Replays until little is left. Returns how many entries that were.
    pub(super) async fn catch_up(&self, target: &Target, at: &mut Positions, fence: Fence) -> Result<u64, StageError> {
        let mut total = 0;
        for _ in 0..ROUNDS {
            let replayed = self.replay_rest(target, at, fence).await?;
            total += replayed;
            if replayed <= LITTLE {
                break;
            }
        }
        Ok(total)
    }

    /// Replays everything that is in the log now.
    pub(super) async fn replay_rest(
        &self,
        target: &Target,
        at: &mut Positions,
        fence: Fence,
    ) -> Result<u64, StageError> {
        if mutants::on(Mutant::NoCatchUp) {
            return Ok(0);
        }
        let mut total = 0;
        for (source, position) in at.iter_mut() {
            let of_source: Vec<Generation> = target.own.iter().filter(|g| g.source == *source).cloned().collect();
            loop {
                let entries = changelog::entries(self.ledger.as_ref(), source, *position, ENTRIES).await?;
                let Some((last, _)) = entries.last() else { break };
                let next = last + 1;
                for (_, entry) in &entries {
                    self.replay(&entry.raw, &of_source, fence).await?;
                    total += 1;
                }
                *position = next;
            }
        }
        Ok(total)
    }

    async fn replay(
        &self,
        key: &crate::domain::RawKey,
        generations: &[Generation],
        fence: Fence,
    ) -> Result<(), StageError> {
        let raw = Raw::decode(&self.blobs.get(&key.0).await?)?;
        let (writer, now) = (Writer::Build(fence), self.clock.now());
        for generation in generations.iter().filter(|generation| generation.is_unsure_of(raw.head.stated)) {
            let (ledger, blobs, systems) = (self.ledger.as_ref(), self.blobs.as_ref(), self.systems.as_ref());
            let write_down = WriteDown { ledger, blobs, systems, entities: self.writer.as_ref(), now };
            write_down.of(&generation.id, |_| writer).await?;
        }
        let job = Job { key, raw: &raw, generations, writer, run: None, now };
        apply(&self.systems, self.ledger.as_ref(), self.writer.as_ref(), job).await.map(drop)
    }

    /// How many entries the target lacks, if those before these positions are all in it. A version that was
    /// active has what was entered until it ceased to be; positions are earlier than that, to be safe.
    pub(super) async fn left_out(&self, target: &Target, from: &Positions) -> Result<u64, StageError> {
        let mut sum = 0;
        for (source, position) in from {
            let first = match target.manifest.deactivated {
                Some(time) => changelog::first_since(self.ledger.as_ref(), source, time).await?,
                None => *position,
            };
            sum += changelog::end(self.ledger.as_ref(), source).await?.saturating_sub(first);
        }
        Ok(sum)
    }
}
