//! Whether a build may become visible: sizes against the active version, rejects, relations.
//!
//! Sizes come from counts that accumulated with the pages, so they cost nothing. Relations are checked in
//! slices, over the whole manifest as it would be after the switch, before any gate closes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Settling, Switch, Target};
use crate::config::{Guard, RelationsGuard};
use crate::domain::{Counts, EntityName, Generation, GenerationId, Key, newest_listed};
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::poll::Budget;

/// Rows looked at in one slice.
const SLICE: usize = 5000;
/// Rows named as examples.
const EXAMPLES: usize = 10;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub entities: BTreeMap<EntityName, EntityVerdict>,
    /// Relations with rows that lead nowhere, by `entity.field`.
    pub relations: BTreeMap<String, RelationVerdict>,
    /// Why the guard stops it; empty when it does not.
    pub blocked: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityVerdict {
    pub before: u64,
    pub after: u64,
    /// Rows of before that are not among those of after.
    #[serde(default)]
    pub gone: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationVerdict {
    pub to: String,
    pub dangling: u64,
    /// `key -> value`, a few of them.
    pub examples: Vec<String>,
}

impl Switch {
    /// Why a rebuild may not be shown: it was made from another complete listing than the one that readers see,
    /// so cursors may have moved on behind what it lacks.
    pub(super) async fn left_behind(&self, target: &Target) -> Result<Option<String>, StageError> {
        let Target { manifest, own, shown } = target;
        let rebuilt = |g: &&Generation| g.listing != manifest.run;
        if manifest.activated.is_some() || !own.iter().any(|g| rebuilt(&g)) || mutants::on(Mutant::AnotherListing) {
            return Ok(None);
        }
        let shown = self.systems.generations_now(shown.value.generation_ids()).await?;
        let differs =
            |g: &&Generation| newest_listed(&shown, &g.source).and_then(|s| s.listing.as_ref()) != g.listing.as_ref();
        Ok(own.iter().filter(rebuilt).find(differs).map(|generation| {
            format!(
                "{} was rebuilt from another listing of source '{}' than the one that readers see now. Build it \
                 again with `teal rebuild`",
                manifest.version, generation.source.name
            )
        }))
    }

    /// Sizes and rejects of the target's own generations against what is active.
    pub(super) async fn compare_sizes(&self, target: &Target, counts: Option<&Counts>) -> Result<Verdict, StageError> {
        let mut verdict = Verdict::default();
        for generation in &target.own {
            let loaded = self.systems.get(&generation.config).await?;
            let name = generation.id.entity.clone();
            let Some(entity) = loaded.system.entity(&name) else { continue };
            let before = match target.shown.value.generation(&name) {
                Some(id) => self.reader.head(&id).await?.rows,
                None => 0,
            };
            let after = self.reader.head(&generation.id).await?.rows;
            verdict.blocked.extend(shrunk(&name, before, after, &entity.guard));
            if let Some(rows) = counts.and_then(|c| c.entities.get(&name)) {
                verdict.blocked.extend(rejected(&name, rows.mapped, rows.rejected, &entity.guard));
            }
            verdict.entities.insert(name, EntityVerdict { before, after, gone: 0 });
        }
        Ok(verdict)
    }

    /// Goes on with checking relations; `false` when the budget is spent before the end.
    pub(super) async fn check_relations(
        &self,
        target: &Target,
        settling: &mut Settling,
        budget: &Budget,
    ) -> Result<bool, StageError> {
        let relations = self.relations_to_check(target).await?;
        while let Some(relation) = relations.get(settling.relation) {
            loop {
                if budget.is_spent(self.clock.now()) {
                    return Ok(false);
                }
                let found = self
                    .reader
                    .dangling(&relation.from, &relation.field, &relation.to, settling.after.as_ref(), SLICE)
                    .await?;
                if !found.found.is_empty() {
                    let name = format!("{}.{}", relation.from.entity, relation.field);
                    let verdict = settling.verdict.relations.entry(name).or_default();
                    verdict.to = relation.to.entity.to_string();
                    verdict.dangling += found.found.len() as u64;
                    let room = EXAMPLES.saturating_sub(verdict.examples.len());
                    let examples = found.found.iter().take(room);
                    verdict.examples.extend(examples.map(|(key, value)| format!("{key} -> {}", value.to_json())));
                }
                settling.after = found.next;
                if settling.after.is_none() {
                    break;
                }
            }
            settling.relation += 1;
        }
        for relation in &relations {
            let name = format!("{}.{}", relation.from.entity, relation.field);
            if let Some(found) = settling.verdict.relations.get(&name).filter(|_| relation.blocks) {
                let why = format!("{} rows of {name} lead to no row of {}", found.dangling, found.to);
                if !settling.verdict.blocked.contains(&why) {
                    settling.verdict.blocked.push(why);
                }
            }
        }
        Ok(true)
    }

    /// Goes on with counting the rows that the target does not have any more; `false` when the budget is spent
    /// before the end. Compared key by key, because changes that came in beside the listing are in both sizes.
    pub(super) async fn count_gone(
        &self,
        target: &Target,
        settling: &mut Settling,
        budget: &Budget,
    ) -> Result<bool, StageError> {
        while let Some(generation) = target.own.get(settling.compared) {
            let new = &generation.id;
            while let Some(old) = target.shown.value.generation(&new.entity) {
                if budget.is_spent(self.clock.now()) {
                    return Ok(false);
                }
                let had = self.reader.hashes(&old, settling.compared_to.as_ref(), SLICE).await?;
                let Some((last, _)) = had.last() else { break };
                let have = self.keys_up_to(new, settling.compared_to.as_ref(), last).await?;
                let gone = had.iter().filter(|(key, _)| !have.contains(key)).count() as u64;
                settling.verdict.entities.entry(new.entity.clone()).or_default().gone += gone;
                settling.compared_to = Some(last.clone());
                if had.len() < SLICE {
                    break;
                }
            }
            settling.compared += 1;
            settling.compared_to = None;
        }
        Ok(true)
    }

    /// The keys behind `after` up to `last`, which is among them if it is there.
    async fn keys_up_to(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        last: &Key,
    ) -> Result<BTreeSet<Key>, StageError> {
        let mut keys = BTreeSet::new();
        let mut after = after.cloned();
        loop {
            let slice = self.reader.hashes(id, after.as_ref(), SLICE).await?;
            let is_last = slice.len() < SLICE;
            for (key, _) in slice {
                if key > *last {
                    return Ok(keys);
                }
                after = Some(key.clone());
                keys.insert(key);
            }
            if is_last {
                return Ok(keys);
            }
        }
    }

    /// Relations of which the target rebuilds either side.
    async fn relations_to_check(&self, target: &Target) -> Result<Vec<ToCheck>, StageError> {
        let is_own = |id: &GenerationId| target.own.iter().any(|generation| generation.id == *id);
        let mut out = Vec::new();
        for generation in self.systems.generations(target.manifest.generation_ids()).await? {
            let loaded = self.systems.get(&generation.config).await?;
            let Some(entity) = loaded.system.entity(&generation.id.entity) else { continue };
            for relation in &entity.schema.relations {
                let Some(number) = target.manifest.generations.get(&relation.to) else { continue };
                let to = GenerationId { entity: relation.to.clone(), number: *number };
                if is_own(&generation.id) || is_own(&to) {
                    out.push(ToCheck {
                        from: generation.id.clone(),
                        field: relation.field.clone(),
                        to,
                        blocks: entity.guard.relations == RelationsGuard::Block,
                    });
                }
            }
        }
        Ok(out)
    }
}

struct ToCheck {
    from: GenerationId,
    field: String,
    to: GenerationId,
    blocks: bool,
}

fn shrunk(name: &EntityName, before: u64, after: u64, guard: &Guard) -> Option<String> {
    let lost = share(before.saturating_sub(after), before);
    (lost > guard.max_shrink).then(|| {
        format!(
            "{name} would shrink from {before} to {after} rows ({:.0} % fewer, the guard allows {:.0} %)",
            lost * 100.0,
            guard.max_shrink * 100.0
        )
    })
}

fn rejected(name: &EntityName, mapped: u64, rejected: u64, guard: &Guard) -> Option<String> {
    let part = share(rejected, mapped);
    (part > guard.max_rejected).then(|| {
        format!(
            "{rejected} of {mapped} rows of {name} were rejected ({:.0} %, the guard allows {:.0} %); \
             `teal rejects list --entity {name}` shows why",
            part * 100.0,
            guard.max_rejected * 100.0
        )
    })
}

#[expect(clippy::cast_precision_loss, reason = "a share of rows needs no more than 52 bits")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
