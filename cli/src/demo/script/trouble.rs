//! Steps in which something goes wrong, and readers must not notice: a source that fails, a mapping that is
//! broken.

use anyhow::Context;
use teal::domain::{Mode, Outcome, Version, VersionState};
use teal::pipeline::admin::RejectFilter;
use teal::pipeline::ledger;
use teal::pipeline::switch::Settling;
use teal_stand_in::{Fault, FaultRule, Kind};

use super::{Play, Scene};
use crate::demo::client::TALENTS;
use crate::demo::report::count;
use crate::demo::system::{Mapping, SOURCE};
use crate::demo::world::Ended;

impl Play {
    pub(super) async fn failure(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        let before = self.world.rows().await?;
        let page = self.failing_page();
        self.world.blue.set_generation(3);
        self.world.blue.fault(FaultRule::page(Kind::Talents.name(), page, Fault::Status(500)).always());
        let Ended { run, counts } = self.world.sync(Mode::Full).await?;
        self.world.blue.clear_faults();
        // Of this state nothing may have been seen; what follows goes on from the one that readers have.
        self.world.blue.set_generation(2);

        scene.same("outcome of the run", run.outcome, Some(Outcome::PartialError));
        scene.must(counts.add_up(), || format!("the run's counts don't add up: {counts:?}"));
        let asked = self.world.blue.counts();
        let attempts = u64::from(self.world.system().await?.source(&SOURCE.into())?.limits.attempts);
        let failing = asked.pages.get(Kind::Talents.name()).and_then(|pages| pages.get(&page));
        scene.same("attempts at the failing page", failing.map(|page| page.asked), Some(attempts));
        scene.fact("requests", asked.requests);
        let reason = run.reason.unwrap_or_default();
        scene.must(reason.contains("500"), || format!("the run's reason does not say what happened: '{reason}'"));
        scene.saw(format!("partial-error: {reason}"));
        let built = run.builds.context("a full run builds a version")?;
        self.nothing_changed(scene, built, VersionState::Dropped, &before).await?;
        scene.saw(format!("{built} was let go, nothing was deleted, readers still have v2"));
        Ok(())
    }

    pub(super) async fn broken_mapping(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        let before = self.world.rows().await?;
        self.world.deploy(Mapping::Broken).await?;
        let Ended { run, counts } = self.world.rebuild(true).await?;
        scene.same("outcome of the run", run.outcome, Some(Outcome::Failed));
        scene.must(counts.add_up(), || format!("the run's counts don't add up: {counts:?}"));
        scene.same("requests to the source", self.world.blue.counts().requests, 0);
        let key = ledger::settling_key(&run.id);
        let settling = ledger::read::<Settling>(self.world.local.ledger.as_ref(), &key).await?;
        let blocked = settling.map(|settling| settling.value.verdict.blocked).unwrap_or_default();
        scene.must(blocked.iter().any(|why| why.contains("rejected")), || {
            format!("the guard does not speak of rejected rows: {blocked:?}")
        });
        scene.fact("blocked", blocked.clone());
        for why in blocked.iter().filter(|why| why.contains(" talents ")) {
            // What to type for more is for whoever has a data directory to type it for.
            scene.saw(format!("the guard stopped it: {}", why.split(';').next().unwrap_or(why)));
        }
        let filter = RejectFilter { entity: Some(TALENTS.entity.into()), ..RejectFilter::default() };
        let rejects = self.world.local.admin.rejects(&filter, 1).await?;
        let (_, reject) = rejects.first().context("no reject says what is wrong with the mapping")?;
        scene.same("field of the first reject", reject.reason.field.as_deref(), Some("name"));
        scene.saw(format!(
            "the first reject: talent {}: {} {}",
            reject.key.as_deref().unwrap_or("?"),
            reject.reason.code,
            reject.reason.message
        ));
        let built = run.builds.context("a rebuild builds a version")?;
        self.nothing_changed(scene, built, VersionState::Ready, &before).await?;
        scene.saw(format!("0 requests to the source; {built} is kept to be looked at, readers still have v2"));
        Ok(())
    }

    /// That readers have what they had, and what became of the version that was built meanwhile.
    async fn nothing_changed(
        &self,
        scene: &mut Scene,
        built: Version,
        state: VersionState,
        before: &std::collections::BTreeMap<String, u64>,
    ) -> anyhow::Result<()> {
        let manifest = ledger::manifest(self.world.local.ledger.as_ref(), built).await?;
        scene.same(&format!("state of {built}"), manifest.map(|manifest| manifest.state), Some(state));
        scene.same("active version", self.world.pointer().await?.version.0, 2);
        scene.same("rows", &self.world.rows().await?, before);
        let rows = self.all_is_there(scene).await?;
        scene.must(rows > 0, || format!("readers see {}", count(rows, "row")));
        self.renamed_are_there(scene).await
    }
}
