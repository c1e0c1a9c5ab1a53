//! Changes: raw objects that are no part of a complete listing. Into the log first, then into the active
//! generations, by order.

use std::collections::BTreeSet;

use super::Transform;
use super::apply::{Applied, Job, REJECTS_KEPT, apply};
use crate::domain::{
    ConfigHash, EntityName, Generation, GenerationId, Raw, RawKey, Reject, RunId, SourceId, VersionState,
};
use crate::mutants::{self, Mutant};
use crate::pipeline::confirm::WriteDown;
use crate::pipeline::error::StageError;
use crate::pipeline::normalize::Code;
use crate::pipeline::{changelog, ledger};
use crate::ports::entities::Writer;
use crate::ports::ledger::Item;
use crate::ports::{BlobError, EntitiesError, ItemKey, Precondition, Write};

impl Transform {
    /// The raw object that a message names: it is stored before anything names it. A delivery that comes again after
    /// its raw was let go, which takes some further versions, can't be told from one whose raw was lost. So somebody
    /// is to look at it in the dead letters.
    pub(super) async fn raw(&self, key: &RawKey) -> Result<Raw, StageError> {
        Ok(Raw::decode(&self.blobs.get(&key.0).await?)?)
    }

    /// Logs a change, then applies it to whatever is active now. While a switch has the gates closed this
    /// fails with `GateClosed`, and the message comes again.
    pub(super) async fn change(
        &self,
        source: &SourceId,
        key: &RawKey,
        raw: &Raw,
        run: Option<&RunId>,
    ) -> Result<Applied, StageError> {
        if mutants::on(Mutant::ChangeNotLogged) {
            return self.apply_live(source, key, raw, run).await;
        }
        if mutants::on(Mutant::LogAfterApply) {
            let applied = self.apply_live(source, key, raw, run).await?;
            changelog::append(self.ledger.as_ref(), source, key, self.clock.now()).await?;
            return Ok(applied);
        }
        changelog::append(self.ledger.as_ref(), source, key, self.clock.now()).await?;
        self.apply_live(source, key, raw, run).await
    }

    async fn apply_live(
        &self,
        source: &SourceId,
        key: &RawKey,
        raw: &Raw,
        run: Option<&RunId>,
    ) -> Result<Applied, StageError> {
        let generations = self.systems.generations(self.active(source).await?).await?;
        self.apply_to(generations, key, raw, run).await
    }

    /// What readers see of a source.
    async fn active(&self, source: &SourceId) -> Result<Vec<GenerationId>, StageError> {
        let pointer = ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
        let mut generations = self.systems.generations(pointer.generation_ids()).await?;
        generations.retain(|g| g.source == *source);
        Ok(generations.into_iter().map(|generation| generation.id).collect())
    }

    /// Applies to what readers see. What confirmed it later than this was stated is written down first.
    async fn apply_to(
        &self,
        mut generations: Vec<Generation>,
        key: &RawKey,
        raw: &Raw,
        run: Option<&RunId>,
    ) -> Result<Applied, StageError> {
        let (entities, now) = (self.entities.as_ref(), self.clock.now());
        let mut writer = Writer::Live;
        // Confirmed again each time: that takes a full run.
        for _ in 0..3 {
            let job = Job { key, raw, generations: &generations, writer, run, now };
            // The gates were open: whoever confirmed up to then has ended it in the ledger, or never will.
            let mut until = match apply(&self.systems, self.ledger.as_ref(), entities, job).await {
                Err(StageError::Entities(EntitiesError::Confirmed { until, .. })) => until,
                applied => return applied,
            };
            let (ledger, blobs, systems) = (self.ledger.as_ref(), self.blobs.as_ref(), self.systems.as_ref());
            let write_down = WriteDown { ledger, blobs, systems, entities, now };
            for generation in &mut generations {
                *generation = write_down.of(&generation.id, Writer::Late).await?;
                until = until.max(generation.confirmed.as_ref().map_or(until, |confirmed| confirmed.until));
            }
            writer = Writer::Late(until);
        }
        Err(StageError::Busy(format!("what {key} is older than is being listed again and again")))
    }

    /// Applies a raw object again, under the mapping that is active now, and forgets the rejects that it left
    /// before and leaves no more. What a version could not map that is not active now stays: it will be looked
    /// for when that is. A page goes only where its listing is: elsewhere its rows would be there without anything
    /// that they could be made from again. What is rejected still is written before anything is forgotten, because
    /// another call may be doing the same, and either may die.
    pub(super) async fn replay(&self, source: &SourceId, key: &RawKey) -> Result<(), StageError> {
        let raw = match self.raw(key).await {
            // It was let go meanwhile, and its rejects before it, but for those that somebody slow wrote after: there is
            // nothing to mend.
            Err(StageError::Blob(BlobError::Missing(_))) => return self.forget(self.rejects_of(key).await?).await,
            raw => raw?,
        };
        let mut generations = self.systems.generations_now(self.active(source).await?).await?;
        if changelog::entered_at(self.ledger.as_ref(), source, key).await?.is_none() {
            generations.retain(|g| g.listing.as_ref().is_some_and(|run| key.is_page_of(source, run)));
        }
        if generations.is_empty() {
            return Ok(());
        }
        let applied = self.apply_to(generations.clone(), key, &raw, None).await?;
        let old = self.rejects_of(key).await?;
        let still: BTreeSet<ItemKey> = ledger::keyed(&applied.rejects).into_iter().map(|(key, _)| key).collect();
        let others = self.mappings_but(source, &generations).await?;
        for item in old.into_iter().filter(|item| !still.contains(&item.key)) {
            let reject: Reject = ledger::understand(&item.key, &item.value)?;
            // What was asked for because of it is not asked for again here.
            if reject.reason.code == Code::NotFetched.code() {
                continue;
            }
            // Of so many there may be more than were kept.
            let alike = |kept: &&Reject| kept.config == reject.config && kept.entity == reject.entity;
            if applied.rejects.iter().filter(alike).count() >= REJECTS_KEPT {
                continue;
            }
            // What can't be read at all is nobody's in particular.
            let is_of = |(config, entity): &(ConfigHash, EntityName)| {
                *config == reject.config && reject.entity.as_ref().is_none_or(|rejected| rejected == entity)
            };
            if others.iter().any(is_of) && !mutants::on(Mutant::RejectsOfOthers) {
                continue;
            }
            self.forget(vec![item]).await?;
        }
        Ok(())
    }

    async fn forget(&self, rejects: Vec<Item>) -> Result<(), StageError> {
        for item in rejects {
            // Written again since it was read: it is somebody else's now.
            let forget = Write::Delete { key: item.key, when: Precondition::Matches(item.revision) };
            match self.ledger.transact(vec![forget]).await {
                Err(error) if !ledger::was_refused(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    async fn rejects_of(&self, raw: &RawKey) -> Result<Vec<Item>, StageError> {
        let prefix = format!("{raw}#");
        let mut all: Vec<Item> = Vec::new();
        loop {
            let after = all.last().map(|item| item.key.sort.clone());
            let items = self.ledger.list(ledger::REJECT, &prefix, after.as_deref(), ledger::PAGE).await?;
            let last = items.len() < ledger::PAGE;
            all.extend(items);
            if last {
                return Ok(all);
            }
        }
    }

    /// The mappings that a source's generations follow, by configuration and entity, of every version that readers see
    /// or may see, but for these. Asked after whatever was done under these: the pointer may have moved since.
    async fn mappings_but(
        &self,
        source: &SourceId,
        these: &[Generation],
    ) -> Result<BTreeSet<(ConfigHash, EntityName)>, StageError> {
        let mut others = BTreeSet::new();
        for manifest in ledger::manifests(self.ledger.as_ref()).await? {
            if !matches!(manifest.state, VersionState::Retired | VersionState::Dropped) {
                let generations = self.systems.generations(manifest.generation_ids()).await?;
                others.extend(generations.into_iter().filter(|g| g.source == *source).map(|g| (g.config, g.id.entity)));
            }
        }
        others.retain(|(config, entity)| !these.iter().any(|g| g.config == *config && g.id.entity == *entity));
        Ok(others)
    }
}
