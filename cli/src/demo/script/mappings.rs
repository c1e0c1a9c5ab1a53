//! Steps that move readers by hand: a rebuild under a better mapping, and the way back.

use anyhow::Context;
use serde_json::Value as Json;
use teal::domain::{Outcome, VersionState};
use teal::pipeline::admin::{EntityDiff, Example};
use teal::pipeline::ledger;
use teal_stand_in::Kind;

use super::{Play, Scene};
use crate::demo::client::TALENTS;
use crate::demo::report::{count, grouped};
use crate::demo::system::{Mapping, NO_CITY, RENAMED_STATUS};
use crate::demo::world::Ended;

/// Rows of each kind that a comparison shows.
const EXAMPLES: usize = 40;

impl Play {
    pub(super) async fn better_mapping(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        let active = self.world.pointer().await?.version;
        self.world.deploy(Mapping::Better).await?;
        let Ended { run, counts } = self.world.rebuild(false).await?;
        scene.must(run.outcome == Some(Outcome::Complete), || {
            format!("the rebuild ended as {:?}: {}", run.outcome, run.reason.as_deref().unwrap_or("without a reason"))
        });
        scene.must(counts.add_up(), || format!("the run's counts don't add up: {counts:?}"));
        scene.same("requests to the source", self.world.blue.counts().requests, 0);
        let built = run.builds.context("a rebuild builds a version")?;
        let manifest = ledger::manifest(self.world.local.ledger.as_ref(), built).await?;
        let state = manifest.map(|manifest| manifest.state);
        scene.same(&format!("state of {built}"), state, Some(VersionState::Ready));
        scene.same("active version before the switch", self.world.pointer().await?.version, active);
        scene.saw(format!(
            "0 requests to the source; {} made again from {}",
            count(counts.rows().mapped, "row"),
            count(counts.pages, "kept page")
        ));

        let diff = self.world.local.admin.diff(active, built, EXAMPLES).await?;
        let mut same = 0;
        for (entity, diff) in &diff.entities {
            if entity.as_str() == TALENTS.entity {
                self.compare_talents(scene, diff);
            } else {
                scene.same(&format!("{entity} added"), diff.added, 0);
                scene.same(&format!("{entity} removed"), diff.removed, 0);
                scene.same(&format!("{entity} changed"), diff.changed, 0);
                same += 1;
            }
        }
        scene.same("entities compared", diff.entities.len(), self.world.rows().await?.len());
        scene.saw(format!("the other {same} entities are as they were"));

        let moved = self.world.move_to(built).await?;
        scene.same("active version", self.world.pointer().await?.version, built);
        self.switched(scene, moved.from.0, moved.to.0, millis(moved.closed));
        self.all_is_there(scene).await?;
        self.renamed_are_there(scene).await
    }

    /// That exactly those talents changed that the better mapping speaks of, and one of them, field by field.
    fn compare_talents(&mut self, scene: &mut Scene, diff: &EntityDiff) {
        let [on_hold, _] = RENAMED_STATUS;
        let records: Vec<Json> =
            self.world.blue.ids(Kind::Talents).into_iter().filter_map(|id| self.record(id)).collect();
        let affected = |talent: &&Json| talent["status"] == on_hold || talent["profile"]["city"].is_null();
        let expected = records.iter().filter(affected).count() as u64;
        scene.same("talents changed", diff.changed, expected);
        scene.same("talents unchanged", diff.unchanged, records.len() as u64 - expected);
        scene.same("talents added and removed", diff.added + diff.removed, 0);
        scene.fact("changed", diff.changed);
        scene.saw(format!(
            "talents: {} changed, {} unchanged, {} added, {} removed",
            grouped(diff.changed),
            grouped(diff.unchanged),
            diff.added,
            diff.removed
        ));
        let changed = diff.examples.iter().filter_map(|example| match example {
            Example::Changed { key, fields } => Some((key, fields)),
            Example::Added { .. } | Example::Removed { .. } => None,
        });
        let most = changed.clone().max_by_key(|(_, fields)| fields.len());
        match most {
            Some((key, fields)) => {
                let each: Vec<String> =
                    fields.iter().map(|(name, [before, after])| format!("{name} {before} → {after}")).collect();
                scene.fact("example", serde_json::json!({ "key": key, "fields": fields }));
                scene.saw(format!("such as talent {key}: {}", each.join(", ")));
            }
            None => scene.wrong("the comparison names no example"),
        }
        self.paused = changed
            .filter(|(_, fields)| fields.contains_key("status"))
            .find_map(|(key, _)| key.parse().ok())
            .or(self.paused);
    }

    fn record(&self, talent: u64) -> Option<Json> {
        self.world.blue.record(Kind::Talents, talent)
    }

    pub(super) async fn rollback(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        let talents = self.world.blue.ids(Kind::Talents);
        let talent = talents[talents.len() * 2 / 3];
        let pointer = self.world.pointer().await?;
        let before = pointer.previous.context("there is no version before")?;
        let ms = self.rename(scene, talent, "Ilya Fennimore").await?;
        scene.saw(format!("talent {talent} is \"Ilya Fennimore\" in {} after {ms} ms", pointer.version));

        let moved = self.world.move_to(before).await?;
        scene.same("active version", self.world.pointer().await?.version, before);
        scene.same("version that was rolled back to", before.0, 2);
        self.switched(scene, moved.from.0, moved.to.0, millis(moved.closed));
        self.all_is_there(scene).await?;
        self.renamed_are_there(scene).await?;
        let names: Vec<String> = self.renamed.iter().map(|(id, name)| format!("{id} \"{name}\"")).collect();
        scene.saw(format!("what webhooks brought is still there: {}", names.join(", ")));

        let [on_hold, paused] = RENAMED_STATUS;
        if let Some(talent) = self.paused {
            let row = self.world.client.row(TALENTS.entity, talent).await?.unwrap_or_default();
            scene.same(&format!("status of talent {talent}"), row["status"].as_str(), Some(on_hold));
            scene.must(row["city"] != NO_CITY, || format!("talent {talent} still has the city '{NO_CITY}'"));
            scene.saw(format!(
                "the old mapping is back with the old version: talent {talent} is {on_hold}, not {paused}"
            ));
        }
        scene.same("requests to the source", self.world.blue.counts().requests, 0);
        Ok(())
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
