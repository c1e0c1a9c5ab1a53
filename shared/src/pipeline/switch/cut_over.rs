//! From gates closing to gates open: the part that readers and webhooks wait for, and so the part that must
//! not grow with the data.

use std::time::Duration;

use super::catch_up::Positions;
use super::{Switch, Target};
use crate::domain::{Fence, GenerationId, Manifest, Pointer, Version, VersionState};
use crate::metrics;
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Audit};
use crate::ports::entities::Gate;
use crate::ports::ledger::{ItemKey, pointer_key};
use crate::ports::{Precondition, Write};

/// What a move of the pointer came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    pub from: Version,
    pub to: Version,
    /// Changes that were replayed into the target, before and while the gates were closed.
    pub replayed: u64,
    /// Changes that `--as-was` left out.
    pub left_out: u64,
    /// From the first gate closing to the pointer moved.
    pub closed: Duration,
}

/// What of the change log the target gets.
pub(super) enum Replay {
    /// The rest, from these positions on; so many were replayed before.
    Rest { from: Positions, replayed: u64 },
    /// Nothing; so many are left out.
    Nothing { left_out: u64 },
}

/// Null is no cursor: the next sync has to be a full one.
pub(super) fn set_cursor(key: ItemKey, cursor: &serde_json::Value) -> Write {
    if cursor.is_null() {
        return Write::Delete { key, when: Precondition::None };
    }
    ledger::put(key, cursor, Precondition::None)
}

impl Switch {
    /// Closes, replays the rest, moves, opens. `also` goes into the transaction that moves the pointer.
    pub(super) async fn cut_over(
        &self,
        target: &Target,
        replay: Replay,
        fence: Fence,
        who: &str,
        also: Vec<Write>,
    ) -> Result<Moved, StageError> {
        let Target { manifest, own, shown } = target;
        let old = ledger::read::<Manifest>(self.ledger.as_ref(), &ledger::version_key(shown.value.version))
            .await?
            .ok_or(StageError::NoVersion(shown.value.version))?;
        let target_key = ledger::version_key(manifest.version);
        let stored = ledger::read::<Manifest>(self.ledger.as_ref(), &target_key)
            .await?
            .filter(|stored| stored.value.state == manifest.state)
            .ok_or_else(|| StageError::Busy(format!("{} was changed by somebody else meanwhile", manifest.version)))?;
        let replaced: Vec<GenerationId> = old
            .value
            .generation_ids()
            .into_iter()
            .filter(|id| manifest.generations.get(&id.entity) != Some(&id.number))
            .collect();
        let own: Vec<GenerationId> = own.iter().map(|generation| generation.id.clone()).collect();

        let began = self.clock.now();
        if !mutants::on(Mutant::GatesStayOpen) {
            self.admin.set_gates(&replaced, Gate::Closed, fence).await?;
        }
        let mut next = manifest.clone();
        let (replayed, left_out) = match replay {
            Replay::Rest { mut from, replayed } => {
                let rest = self.replay_rest(target, &mut from, fence).await?;
                next.replayed.extend(from.into_iter().map(|(source, number)| (source.to_string(), number)));
                (replayed + rest, 0)
            }
            Replay::Nothing { left_out } => (0, left_out),
        };
        let now = self.clock.now();
        next.state = VersionState::Active;
        next.activated = Some(now);
        let mut left = old.value.clone();
        left.state = VersionState::Previous;
        left.deactivated = Some(now);
        left.cursors = self.cursors().await?;
        let moved = Pointer {
            version: manifest.version,
            previous: Some(shown.value.version),
            generations: manifest.generations.clone(),
            fence,
            at: now,
        };
        let mut writes = vec![
            ledger::put_marked(pointer_key(), &moved, fence.0, Precondition::Matches(shown.revision)),
            lease::renew(ledger::switch_lease_key(), who, fence, now.plus(LEASE), 0),
            ledger::put(target_key, &next, ledger::unchanged(Some(&stored))),
            ledger::put(ledger::version_key(left.version), &left, ledger::unchanged(Some(&old))),
        ];
        // A version that was active before knows where its data stood; going on from there misses nothing.
        for (key, cursor) in &manifest.cursors {
            if let Some((source, stream)) = key.rsplit_once('#') {
                let key = ItemKey::new(format!("source#{source}"), format!("cursor#{stream}"));
                writes.push(set_cursor(key, cursor));
            }
        }
        writes.extend(also);
        self.ledger.transact(writes).await?;
        let moved_at = self.clock.now();
        self.admin.set_gates(&own, Gate::Open, fence).await?;

        let moved =
            Moved { from: left.version, to: manifest.version, replayed, left_out, closed: moved_at.since(began) };
        self.meter.count(&metrics::SWITCHES, &[], 1);
        self.meter.seconds(&metrics::SWITCH_CLOSED, &[], moved.closed);
        self.audit(who, &moved, fence).await?;
        tracing::info!(
            from = %moved.from,
            to = %moved.to,
            replayed,
            closed_ms = u64::try_from(moved.closed.as_millis()).unwrap_or(u64::MAX),
            "switched"
        );
        Ok(moved)
    }

    /// The version as it would be active now. Of one that never was, only what it built itself is its own:
    /// everything else is as readers have it, whatever was switched since it was begun. Entities that were
    /// declared meanwhile stay. Worked out once, under the mover's lease: until that is given back, nobody else
    /// moves the pointer.
    pub(super) async fn as_it_would_be(&self, target: &Manifest) -> Result<Target, StageError> {
        let shown = ledger::stored_pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
        let loaded = self.systems.current().await?;
        let mut manifest = target.clone();
        if manifest.activated.is_none() {
            for (entity, number) in &mut manifest.generations {
                if *number != target.version.0
                    && let Some(now) = shown.value.generations.get(entity)
                {
                    *number = *now;
                }
            }
        }
        for (entity, number) in &shown.value.generations {
            if loaded.system.entity(entity).is_some() {
                manifest.generations.entry(entity.clone()).or_insert(*number);
            }
        }
        let mut own = manifest.generation_ids();
        own.retain(|id| shown.value.generations.get(&id.entity) != Some(&id.number));
        let own = self.systems.generations_now(own).await?;
        Ok(Target { manifest, own, shown })
    }

    /// Where the next incremental run of every stream would start, by `source#stream`.
    pub(super) async fn cursors(&self) -> Result<std::collections::BTreeMap<String, serde_json::Value>, StageError> {
        let loaded = self.systems.current().await?;
        let mut out = std::collections::BTreeMap::new();
        for source in loaded.system.sources.keys() {
            let id = crate::domain::SourceId::new(source.as_str());
            for stream in loaded.system.streams(source) {
                let key = ledger::cursor_key(&id, &stream);
                if let Some(cursor) = ledger::read::<serde_json::Value>(self.ledger.as_ref(), &key).await? {
                    out.insert(format!("{id}#{stream}"), cursor.value);
                }
            }
        }
        Ok(out)
    }

    async fn audit(&self, who: &str, moved: &Moved, fence: Fence) -> Result<(), StageError> {
        let at = self.clock.now();
        let what = format!(
            "switched {} -> {}; {} changes replayed, {} left out, gates closed for {} ms",
            moved.from,
            moved.to,
            moved.replayed,
            moved.left_out,
            moved.closed.as_millis()
        );
        let key = ItemKey::new(ledger::AUDIT, format!("{:015}#{fence}", at.0));
        let audit = Audit { at, who: who.to_owned(), what };
        Ok(self.ledger.transact(vec![ledger::put(key, &audit, Precondition::None)]).await?)
    }
}
