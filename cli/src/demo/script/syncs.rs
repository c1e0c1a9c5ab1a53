//! Steps in which all goes well: full and incremental syncs, and a webhook.

use anyhow::Context;
use serde_json::json;
use teal::domain::{Mode, Outcome};
use teal_stand_in::Kind;
use teal_stand_in::blue::Event;

use super::{Play, Scene};
use crate::demo::client::{Client, TALENTS};
use crate::demo::report::{count, grouped};
use crate::demo::system::SOURCE;
use crate::demo::world::Ended;

impl Play {
    pub(super) async fn first_sync(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        self.world.blue.set_generation(1);
        let ended = self.world.sync(Mode::Full).await?;
        self.full_listing(scene, &ended).await?;
        let counts = self.world.blue.counts();
        self.full_requests = counts.requests;
        self.talent_pages = counts.by_endpoint.get(Kind::Talents.name()).copied().unwrap_or(0);
        let rows = self.all_is_there(scene).await?;
        let entities = self.world.rows().await?.len() as u64;
        scene.saw(format!(
            "{} in {} made from {}; they add up, and none was rejected",
            count(rows, "row"),
            if entities == 1 { "1 entity".to_owned() } else { format!("{entities} entities") },
            count(ended.counts.records.fetched, "record")
        ));
        self.report_switch(scene, &ended, 0, 1).await
    }

    pub(super) async fn incremental(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        let edited = self.changes.edited.clone();
        scene.same("talents edited", self.world.blue.edit(Kind::Talents, &edited), edited.len());
        let joined = self.world.blue.insert(Kind::Talents, self.changes.joining);
        let Ended { run, counts } = self.world.sync(Mode::Incremental).await?;
        scene.same("mode of the run", run.mode, Mode::Incremental);
        scene.same("outcome of the run", run.outcome, Some(Outcome::Complete));
        scene.must(counts.add_up(), || format!("the run's counts don't add up: {counts:?}"));
        scene.same("active version", self.world.pointer().await?.version.0, 1);
        let talents = counts.entities.get(&TALENTS.entity.into()).copied().unwrap_or_default();
        scene.same("new talents", talents.new, joined.len() as u64);
        scene.same("changed talents", talents.changed, edited.len() as u64);
        self.all_is_there(scene).await?;
        for id in edited.iter().chain(&joined) {
            let row = self.world.client.row(TALENTS.entity, *id).await?.unwrap_or_default();
            let record = self.world.blue.record(Kind::Talents, *id).unwrap_or_default();
            scene.same(&format!("bio of talent {id}"), &row["bio"], &record["profile"]["bio"]);
        }
        let requests = self.world.blue.counts().requests;
        scene.fact("requests", requests);
        let rows = counts.rows();
        scene.saw(format!("{} instead of {}", count(requests, "request"), grouped(self.full_requests)));
        scene.saw(format!(
            "{} new, {} changed, {} gone, {} looked at and left alone; still v1",
            count(rows.new, "row"),
            grouped(rows.changed),
            grouped(rows.deleted),
            grouped(rows.unchanged)
        ));
        Ok(())
    }

    pub(super) async fn second_sync(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        let before = self.world.blue.count(Kind::Talents);
        let leaving = self.changes.leaving.clone();
        scene.same("talents that left", self.world.blue.delete(Kind::Talents, &leaving), leaving.len());
        self.world.blue.set_generation(2);
        let mut old = Client::listing(TALENTS);
        let page = usize::try_from(before / 5).unwrap_or(1).clamp(1, 1000);
        self.world.client.next_page(&mut old, page).await?;

        let ended = self.world.sync(Mode::Full).await?;
        self.full_listing(scene, &ended).await?;
        self.all_is_there(scene).await?;
        let rows = ended.counts.rows();
        let gone = ended.counts.entities.get(&TALENTS.entity.into()).map_or(0, |rows| rows.deleted);
        scene.same("talents gone", gone, leaving.len() as u64);
        for id in &leaving {
            scene.must(self.world.client.row(TALENTS.entity, *id).await?.is_none(), || {
                format!("talent {id} left and is still read")
            });
        }
        scene.saw(format!(
            "{} gone with {}, {} changed, {} unchanged",
            count(rows.deleted, "row"),
            count(gone, "talent"),
            grouped(rows.changed),
            grouped(rows.unchanged)
        ));
        self.report_switch(scene, &ended, 1, 2).await?;

        self.world.client.rest(&mut old, page).await?;
        scene.same("version of the listing that began before the switch", old.version, Some(1));
        scene.same("rows of the listing that began before the switch", old.rows, before);
        scene.saw(format!(
            "a listing that began before the switch was read on after it: {}, all from v1",
            count(old.rows, "talent")
        ));
        Ok(())
    }

    pub(super) async fn webhook(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        let talents = self.world.blue.ids(Kind::Talents);
        let talent = talents[talents.len() / 3];
        let before = self.world.client.row(TALENTS.entity, talent).await?.context("the talent is not there")?;
        let ms = self.rename(scene, talent, "Juno Vantreight").await?;
        scene.fact("visible_after_ms", ms);
        scene.saw(format!(
            "talent {talent}: {} → \"Juno Vantreight\", read over HTTP {ms} ms after the call began; still v2",
            before["name"]
        ));
        scene.same("active version", self.world.pointer().await?.version.0, 2);
        scene.same("requests to the source", self.world.blue.counts().requests, 0);

        let again = self.world.blue.webhook(Event::TalentUpdated, talent).context("the talent is not there")?;
        let (url, secret) = (self.world.hook_url(), self.world.hook_secret.clone());
        scene.same("status of a delivery", self.world.blue.deliver(&url, &secret, &again).await?, 202);
        self.world.applied().await?;
        let sequence = self.world.sequence(TALENTS.entity).await?;
        for _ in 0..2 {
            scene.same("status of a repeated delivery", self.world.blue.deliver(&url, &secret, &again).await?, 202);
        }
        scene.same("status of a forged delivery", self.world.blue.deliver(&url, "a guess", &again).await?, 401);
        self.world.applied().await?;
        scene.same(
            "changes after repeated and forged deliveries",
            self.world.sequence(TALENTS.entity).await?,
            sequence,
        );
        self.all_is_there(scene).await?;
        scene.saw("the same delivery twice more changed nothing; one with a wrong secret was refused");
        Ok(())
    }

    /// Renames a talent upstream and has the source tell it. Gives the milliseconds until it is read.
    pub(super) async fn rename(&mut self, scene: &mut Scene, talent: u64, name: &str) -> anyhow::Result<u64> {
        let patch = json!({ "profile": { "displayName": name } });
        scene.must(self.world.blue.patch(Kind::Talents, talent, &patch), || format!("there is no talent {talent}"));
        let began = std::time::Instant::now();
        let (url, secret) = (self.world.hook_url(), &self.world.hook_secret);
        let status = self.world.blue.send_webhook(&url, secret, Event::TalentUpdated, talent).await?;
        scene.same("status of the delivery", status, 202);
        self.world.until_read(TALENTS.entity, talent, "name", name).await?;
        self.renamed.push((talent, name.to_owned()));
        Ok(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// What holds after every full listing that went well.
    async fn full_listing(&self, scene: &mut Scene, ended: &Ended) -> anyhow::Result<()> {
        let Ended { run, counts } = ended;
        scene.must(run.outcome == Some(Outcome::Complete), || {
            format!("the run ended as {:?}: {}", run.outcome, run.reason.as_deref().unwrap_or("without a reason"))
        });
        scene.must(counts.add_up(), || format!("the run's counts don't add up: {counts:?}"));
        scene.same("rejected rows", counts.rows().rejected, 0);
        let asked = self.world.blue.counts();
        scene.same("requests that the source saw", asked.requests, counts.pages);
        scene.same("pages asked for again", asked.pages_served_again(), 0);
        let system = self.world.system().await?;
        let limit = system.source(&SOURCE.into())?.limits.per_second;
        #[expect(clippy::cast_precision_loss, reason = "requests of one second")]
        let most = asked.most_in_a_second as f64;
        scene.must(limit.is_none_or(|limit| most <= limit), || {
            format!("{most} requests in one second, the limit is {limit:?}")
        });
        scene.fact("requests", asked.requests);
        scene.fact("pages", counts.pages);
        scene.fact("most_in_a_second", asked.most_in_a_second);
        scene.saw(format!(
            "{} in {}, at most {} in any second{}",
            count(counts.pages, "page"),
            count(asked.requests, "request"),
            asked.most_in_a_second,
            limit.map(|limit| format!(" (the limit is {limit})")).unwrap_or_default()
        ));
        Ok(())
    }

    async fn report_switch(&mut self, scene: &mut Scene, ended: &Ended, from: u32, to: u32) -> anyhow::Result<()> {
        let pointer = self.world.pointer().await?;
        scene.same("active version", pointer.version.0, to);
        scene.same("version before", pointer.previous.map(|version| version.0), Some(from));
        let closed = self.world.gates_closed_ms(&ended.run.id).await?;
        let closed = closed.with_context(|| format!("no audit of a switch by run {}", ended.run.id))?;
        self.switched(scene, from, to, closed);
        Ok(())
    }
}
