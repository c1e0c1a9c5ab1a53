//! A NowRepBlue whose talents change all the time, each change told by a webhook.
//!
//! Always holds: a change is made before its webhook is; only talents change, and only those go that no board
//! shows. So the webhooks alone bring any listing to the state that a later listing would find.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value as Json;
use teal_stand_in::blue::{Event, Kind};
use teal_stand_in::http::Webhook;
use teal_stand_in::{Blue, BlueOptions};
use tokio::sync::watch;

use crate::teal::SECRET;

/// How long a sender waits after a refusal.
const AGAIN: Duration = Duration::from_millis(20);
/// One change in so many is a deletion.
const DELETE_ONE_IN: u32 = 6;

pub struct Scene {
    pub blue: Blue,
    /// Where Teal answers now.
    pub address: watch::Sender<Option<String>>,
    boards_show: BTreeSet<u64>,
    /// So many talents stay: a listing that shrinks too much is not believed.
    fewest: u64,
}

/// One change, and what tells of it.
pub struct Change {
    pub talent: u64,
    /// The state that it led to; `None` for a deletion.
    pub updated_at: Option<String>,
    pub webhook: Webhook,
}

impl Scene {
    pub async fn new(options: BlueOptions) -> Self {
        let fewest = options.talents - options.talents / 20;
        let blue = Blue::start(options).await.unwrap();
        let boards: Vec<Json> =
            blue.ids(Kind::Boards).into_iter().filter_map(|id| blue.record(Kind::Boards, id)).collect();
        let shown = boards.iter().flat_map(|board| board["talents"].as_array().unwrap());
        let boards_show = shown.map(|talent| talent["id"].as_u64().unwrap()).collect();
        Self { blue, address: watch::channel(None).0, boards_show, fewest }
    }

    /// Asks for a full run.
    pub async fn ask_for_sync(&self) {
        let webhook = self.blue.webhook(Event::Sync, 0).unwrap();
        self.deliver(&webhook).await;
    }

    /// Changes one of `among`, or of all.
    pub fn change(&self, chance: &mut StdRng, among: impl Fn(u64) -> bool) -> Change {
        let living: Vec<u64> = self.blue.ids(Kind::Talents).into_iter().filter(|id| among(*id)).collect();
        let talent = *living.choose(chance).expect("few are deleted");
        let may_go = !self.boards_show.contains(&talent) && self.blue.count(Kind::Talents) > self.fewest;
        if may_go && chance.random_ratio(1, DELETE_ONE_IN) { self.delete(talent) } else { self.edit(talent) }
    }

    pub fn edit(&self, talent: u64) -> Change {
        assert_eq!(self.blue.edit(Kind::Talents, &[talent]), 1);
        let record = self.blue.record(Kind::Talents, talent).unwrap();
        let webhook = self.blue.webhook(Event::TalentUpdated, talent).unwrap();
        Change { talent, updated_at: Some(record["updatedAt"].as_str().unwrap().to_owned()), webhook }
    }

    pub fn delete(&self, talent: u64) -> Change {
        assert_eq!(self.blue.delete(Kind::Talents, &[talent]), 1);
        let webhook = self.blue.webhook(Event::TalentDeleted, talent).unwrap();
        Change { talent, updated_at: None, webhook }
    }

    /// Talents that no board shows.
    pub fn unlisted(&self) -> impl Iterator<Item = u64> {
        self.blue.ids(Kind::Talents).into_iter().filter(|talent| !self.boards_show.contains(talent))
    }

    /// Tries until there is a 2xx, as a good sender does.
    pub async fn deliver(&self, webhook: &Webhook) {
        while !self.try_to_deliver(webhook).await {
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// One attempt, as soon as Teal answers. Says whether there was a 2xx.
    pub async fn try_to_deliver(&self, webhook: &Webhook) -> bool {
        let mut address = self.address.subscribe();
        let api = address.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        let sent = self.blue.deliver(&format!("{api}/hooks/blue"), SECRET, webhook).await;
        sent.is_ok_and(|status| (200..300).contains(&status))
    }
}

pub fn dice(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
