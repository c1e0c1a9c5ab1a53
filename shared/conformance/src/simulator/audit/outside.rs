//! P1, P2 and P6: what was accepted is known inside, what a source had all the time is there, and readers who
//! went through a listing meanwhile got it.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use teal::domain::{EntityName, Generation, GenerationId, Millis, RawKey, SourceId};
use teal::pipeline::ledger;

use super::super::oracle::rest::is_mappable;
use super::super::oracle::{Promise, source_of};
use super::super::system::SOURCES;
use super::{Accepted, Audit, Failed, Listing};

impl Audit<'_> {
    /// P1: every accepted change is in the change log, or older than the listings that readers have.
    pub(super) async fn what_was_accepted_is_known(&mut self) -> Result<(), Failed> {
        for accepted in self.known.accepted.iter().filter(|accepted| accepted.makes_rows) {
            self.is_known(accepted).await?;
            self.seen.deliveries += 1;
        }
        Ok(())
    }

    async fn is_known(&self, accepted: &Accepted) -> Result<(), Failed> {
        let source = SourceId::new(SOURCES[accepted.source]);
        // What a key ends with tells deliveries of one id and other bytes apart.
        let prefix = RawKey::delivery(&source, &format!("{}-", accepted.id)).0;
        let stored = self.stores.blobs.list(&prefix, None, 2).await?;
        for raw in &stored {
            let seen: Option<Json> = self.item(&ledger::seen_key(&source, &RawKey(raw.clone()))).await?;
            if seen.is_some() {
                return Ok(());
            }
        }
        for id in self.pointer.generation_ids() {
            let Some(generation) = ledger::generation(self.stores.ledger, &id).await? else { continue };
            let began = self.listed_since(&generation);
            self.expect(
                generation.source != source || began.is_some_and(|began| accepted.at < began),
                Promise::P1,
                || {
                    let place = if stored.is_empty() { "nowhere" } else { "stored, and not in the change log" };
                    format!("delivery {} of source {source} was accepted and is {place}", accepted.id)
                },
            )?;
        }
        Ok(())
    }

    /// When the listing began that a generation has.
    fn listed_since(&self, generation: &Generation) -> Option<Millis> {
        self.run(generation).map(|run| run.started)
    }

    /// P6: what readers see has every record that its source had since before it was listed.
    pub(super) async fn nothing_is_missing(&self) -> Result<(), Failed> {
        for id in self.pointer.generation_ids() {
            let rows = self.rows_of(&id).await?;
            let lost = self.lost(&id, self.known.now, |key| rows.contains_key(&key.cast_signed())).await?;
            self.expect(lost.is_none(), Promise::P6, || {
                format!("{id} has no row {lost:?}, which the source had all the time since it was listed")
            })?;
        }
        Ok(())
    }

    /// P2: so has what somebody read.
    pub(super) async fn readers_lacked_nothing(&mut self) -> Result<(), Failed> {
        for Listing { entity, version, keys, ended } in self.known.listings {
            let manifest = self.manifests.iter().find(|manifest| manifest.version == *version);
            let number = manifest.and_then(|manifest| manifest.generations.get(&EntityName::new(entity)));
            let Some(number) = number else {
                return Err(self.broken(Promise::P2, format!("a reader got {entity} of {version}, which is unknown")));
            };
            let id = GenerationId { entity: entity.as_str().into(), number: *number };
            let lost = self.lost(&id, *ended, |key| keys.contains(&key)).await?;
            self.expect(lost.is_none(), Promise::P2, || {
                format!("a reader of {id} got no row {lost:?}, which the source had all the time since it was listed")
            })?;
            self.seen.listings += 1;
        }
        Ok(())
    }

    /// A record that was there from before a generation was listed until a time, in states that can be mapped,
    /// and that is missing.
    async fn lost(&self, id: &GenerationId, until: Millis, has: impl Fn(u64) -> bool) -> Result<Option<u64>, Failed> {
        let entity = id.entity.as_str();
        let Some(generation) = ledger::generation(self.stores.ledger, id).await? else { return Ok(None) };
        let Some(began) = self.listed_since(&generation) else { return Ok(None) };
        // Whether a part is there, only its thing's latest state says.
        if entity == "parts" || self.may_lack_changes(id) {
            return Ok(None);
        }
        let mapping = self.mapping(&generation)?;
        let source = &self.known.sources[source_of(entity)];
        let mut there = source.there_over(began, until, |record| is_mappable(record, entity, mapping));
        Ok(there.find(|record| !has(*record)))
    }

    pub(super) async fn shows_the_truth(&self) -> Result<(), Failed> {
        for id in self.pointer.generation_ids() {
            let entity = id.entity.as_str();
            let Some(generation) = ledger::generation(self.stores.ledger, &id).await? else { continue };
            if entity == "parts" {
                continue;
            }
            let mapping = self.mapping(&generation)?;
            let source = source_of(entity);
            let records = self.known.sources[source].records();
            let there: BTreeMap<u64, u64> =
                records.filter(|record| is_mappable(record, entity, mapping)).map(|r| (r.id, r.rev)).collect();
            let rows = self.rows_of(&id).await?.into_values();
            let shown: BTreeMap<u64, u64> =
                rows.filter_map(|row| Some((row["id"].as_u64()?, row["rev"].as_u64()?))).collect();
            let wrong = there.iter().find(|(id, rev)| shown.get(id) != Some(rev)).map(|(id, _)| *id);
            let extra = shown.keys().find(|id| !there.contains_key(id)).copied();
            self.expect(wrong.is_none() && extra.is_none(), Promise::P6, || {
                format!(
                    "after everything was listed, undisturbed, {id} differs from source {}: {wrong:?} is missing or \
                     old, {extra:?} should not be there",
                    SOURCES[source]
                )
            })?;
        }
        Ok(())
    }
}
