//! The steps of the demo: what each does, what must be seen, and in which order.
//!
//! Owns every promise that the demo checks. Steps rely on the ones before, so the first that goes wrong is
//! the last that is played.

mod mappings;
mod scene;
mod syncs;
mod trouble;

use teal_stand_in::Kind;

pub use scene::Scene;

use super::client::Listing;
use super::readers::Readers;
use super::report::{Title, count};
use super::system::NO_SUCH_PATH;
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Open,
    FirstSync,
    Incremental,
    SecondSync,
    Webhook,
    Failure,
    BrokenMapping,
    BetterMapping,
    Rollback,
}

impl Act {
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::FirstSync,
        Self::Incremental,
        Self::SecondSync,
        Self::Webhook,
        Self::Failure,
        Self::BrokenMapping,
        Self::BetterMapping,
        Self::Rollback,
    ];
}

/// The stage, and what later steps must know of earlier ones.
pub struct Play {
    pub world: World,
    pub readers: Readers,
    /// Whether the data stays.
    kept: bool,
    changes: Changes,
    /// Pages that the talents had in the first listing.
    talent_pages: u64,
    /// Requests of a full listing.
    full_requests: u64,
    /// Talents that a webhook renamed, with their new names.
    renamed: Vec<(u64, String)>,
    /// A talent whose status the better mapping calls otherwise.
    paused: Option<u64>,
    pub requests: u64,
    pub closed_ms: u64,
}

/// Who changes upstream, in numbers that fit the size of the demo.
struct Changes {
    edited: Vec<u64>,
    joining: u64,
    leaving: Vec<u64>,
}

impl Changes {
    fn new(talents: u64) -> Self {
        let spread = |number: u64, first: u64| (0..number).map(|n| first + n * (talents / number)).collect();
        Self {
            edited: spread((talents / 40).clamp(3, 50), 1),
            joining: 3,
            leaving: spread((talents / 80).clamp(1, 25), 2),
        }
    }
}

impl Play {
    pub fn new(world: World, readers: Readers, talents: u64, kept: bool) -> Self {
        Self {
            world,
            readers,
            kept,
            changes: Changes::new(talents),
            talent_pages: 0,
            full_requests: 0,
            renamed: Vec::new(),
            paused: None,
            requests: 0,
            closed_ms: 0,
        }
    }

    pub fn title(&self, act: Act, step: usize) -> Title {
        let blue = &self.world.blue;
        let talents = count(blue.count(Kind::Talents), "talent");
        let (title, did) = match act {
            Act::Open => (
                "Open",
                format!(
                    "In this process run a stand-in of NowRepBlue, a made-up model agency's API with {talents}, and a \
                     Teal with systems/nowrep as it ships. Readers start to list, page by page, and never rest."
                ),
            ),
            Act::FirstSync => (
                "First full sync",
                "Everything is listed into version 1, beside the empty version 0 that readers have. They move over \
                 when it is complete."
                    .to_owned(),
            ),
            Act::Incremental => (
                "Changes upstream, incremental sync",
                format!(
                    "{} are edited and {} join. Only what changed is asked for, and goes into the version that people \
                     read.",
                    count(self.changes.edited.len() as u64, "talent"),
                    self.changes.joining
                ),
            ),
            Act::SecondSync => (
                "Deletes upstream, second full sync",
                format!(
                    "Of the talents, {} leave, and boards change with that. Only a complete listing proves it: version 2 \
                     is built beside version 1. (The stand-in stamps every record anew, for the readers to look at.)",
                    self.changes.leaving.len()
                ),
            ),
            Act::Webhook => (
                "A webhook",
                "A talent is renamed upstream. The source says so at once, at POST /hooks/blue.".to_owned(),
            ),
            Act::Failure => (
                "The source fails",
                format!(
                    "Page {} of the talents answers 500, however often it is asked for, in the middle of a full sync.",
                    self.failing_page()
                ),
            ),
            Act::BrokenMapping => (
                "A broken mapping",
                format!(
                    "In teal.yaml, the talents' required name is now read from {NO_SUCH_PATH}, where no record has \
                     one. A rebuild makes the next version from the raw pages that were kept."
                ),
            ),
            Act::BetterMapping => (
                "A better mapping, rebuilt from raw",
                "The mapping is put right, the status on_hold is called paused, and a missing city unknown. The rebuilt \
                 version is compared first, then switched to."
                    .to_owned(),
            ),
            Act::Rollback => (
                "Roll back",
                "A webhook renames another talent in the new version. Then everybody goes back to the version before, \
                 with the changes since."
                    .to_owned(),
            ),
        };
        Title { step, title: title.to_owned(), did }
    }

    pub async fn play(&mut self, act: Act, scene: &mut Scene) -> anyhow::Result<()> {
        self.world.blue.reset_counts();
        let before = self.readers.so_far();
        match act {
            Act::Open => self.open(scene).await,
            Act::FirstSync => self.first_sync(scene).await,
            Act::Incremental => self.incremental(scene).await,
            Act::SecondSync => self.second_sync(scene).await,
            Act::Webhook => self.webhook(scene).await,
            Act::Failure => self.failure(scene).await,
            Act::BrokenMapping => self.broken_mapping(scene).await,
            Act::BetterMapping => self.better_mapping(scene).await,
            Act::Rollback => self.rollback(scene).await,
        }?;
        self.requests += self.world.blue.counts().requests;
        let reading = self.readers.so_far();
        scene.fact("pages_read", reading.pages - before.pages);
        if !reading.is_clean() {
            let trouble = reading.first_trouble.as_deref().unwrap_or_default();
            scene.wrong(format!(
                "readers had {} errors and {} mixtures; the first: {trouble}",
                reading.errors, reading.mixtures
            ));
        }
        Ok(())
    }

    fn failing_page(&self) -> u64 {
        self.talent_pages / 2 + 1
    }

    async fn open(&mut self, scene: &mut Scene) -> anyhow::Result<()> {
        let World { blue, url, dir, .. } = &self.world;
        scene.saw(format!("NowRepBlue answers at {}, Teal at {url}", blue.url()));
        scene.saw(format!("data lies in {}{}", dir.display(), if self.kept { "" } else { " until the end" }));
        scene.fact("source", blue.url());
        scene.fact("url", url.as_str());
        scene.fact("dir", dir.display().to_string());
        scene.same("active version", self.world.pointer().await?.version.0, 0);
        scene.same("rows before the first sync", self.world.rows().await?.values().sum::<u64>(), 0);
        Ok(())
    }

    /// That every entity has exactly the rows that the source's records hold, and that talents can be listed
    /// from end to end.
    async fn all_is_there(&self, scene: &mut Scene) -> anyhow::Result<u64> {
        let rows = self.world.rows().await?;
        for (entity, expected) in self.world.rows_at_the_source() {
            scene.same(&format!("rows of {entity}"), rows.get(&entity).copied().unwrap_or(0), expected);
        }
        let Listing { rows: listed, .. } = self.world.client.whole(super::client::TALENTS).await?;
        scene.same("talents listed over HTTP", listed, self.world.blue.count(Kind::Talents));
        let sum = rows.values().sum();
        scene.fact("rows", sum);
        Ok(sum)
    }

    /// That every name that a webhook brought is read.
    async fn renamed_are_there(&self, scene: &mut Scene) -> anyhow::Result<()> {
        for (talent, name) in &self.renamed {
            let row = self.world.client.row("talents", *talent).await?.unwrap_or_default();
            scene.same(&format!("name of talent {talent}"), row["name"].as_str().unwrap_or_default(), name);
        }
        Ok(())
    }

    fn switched(&mut self, scene: &mut Scene, from: u32, to: u32, closed_ms: u64) {
        self.closed_ms = self.closed_ms.max(closed_ms);
        scene.fact("gates_closed_ms", closed_ms);
        scene.saw(format!("v{from} → v{to} in one step; changes had to wait for {closed_ms} ms, readers not at all"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_is_there_at_every_size_and_leaves_most_alone() {
        for talents in [super::super::LEAST_TALENTS, 60, 100, 2000, 100_000] {
            let Changes { edited, leaving, .. } = Changes::new(talents);
            for ids in [&edited, &leaving] {
                assert!(ids.iter().all(|id| (1..=talents).contains(id)), "{talents}: {ids:?}");
                assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{talents}: {ids:?}");
                assert!(ids.len() as u64 * 10 <= talents, "{talents}: {ids:?}");
            }
        }
    }
}
