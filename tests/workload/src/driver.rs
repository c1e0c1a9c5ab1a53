//! Carries out a simulator's plan in real time: changes at the sources, webhooks, schedules, people, readers,
//! and kills at random moments.
//!
//! Owns when things happen, and the patience of senders and readers. Owns no expectation of what comes of them,
//! but for what nobody may be answered.
//!
//! Always holds: whoever asked and got no answer knows nothing, and is ready for both.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};
use teal::domain::Version;
use teal_conformance::Seed;
use teal_conformance::simulator::audit::{Accepted, Listing};
use teal_conformance::simulator::{Action, ENTITIES, HOOK_SECRET, News, Plan, SOURCES};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::outside::{Configurations, Outside};
use crate::sources::{Listening, now};
use crate::subject::{Answer, Door, Subject};

/// How long the part of a plan takes in which things happen.
const SPAN: Duration = Duration::from_millis(2500);
/// Nothing takes this long, also on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Upkeep is for what was left behind: it has its turn when things do not come to rest by themselves.
const UPKEEP_AFTER: Duration = Duration::from_secs(3);

enum Event {
    Act(Action),
    /// Kills it; it is dead for so long.
    Kill(Duration),
}

pub struct Driver<'a> {
    pub subject: &'a mut dyn Subject,
    pub sources: Arc<Listening>,
    pub configurations: Arc<Configurations>,
    pub outside: Arc<Outside>,
    pub kills: u64,
    dice: Seed,
    deliveries: u64,
    senders: JoinSet<()>,
    errands: JoinSet<()>,
}

impl<'a> Driver<'a> {
    pub fn new(
        subject: &'a mut dyn Subject,
        sources: Arc<Listening>,
        configurations: Arc<Configurations>,
        seed: u64,
    ) -> Self {
        Self {
            subject,
            sources,
            configurations,
            outside: Arc::default(),
            kills: 0,
            dice: Seed(seed).branch(),
            deliveries: 0,
            senders: JoinSet::new(),
            errands: JoinSet::new(),
        }
    }

    /// From the first start until everything that the plan set off has been answered.
    pub async fn carry_out(&mut self, plan: &Plan, kills: usize) {
        let events = self.events(plan, kills);
        self.subject.start();
        self.opens().await;
        let began = Instant::now();
        for (at, event) in events {
            sleep_until(began + at).await;
            match event {
                Event::Act(action) => self.act(&action),
                Event::Kill(dead) => self.kill(dead).await,
            }
            self.tell_news();
        }
        let (mut senders, mut errands) = (std::mem::take(&mut self.senders), std::mem::take(&mut self.errands));
        let all = async {
            while senders.join_next().await.is_some() {}
            while errands.join_next().await.is_some() {}
        };
        if timeout(PATIENCE, all).await.is_err() {
            self.outside.trouble(|| "a sender or a reader is never answered".to_owned());
        }
    }

    /// The plan's actions in less time, with kills in between: most soon after an action, because then there is
    /// something to kill.
    fn events(&mut self, plan: &Plan, kills: usize) -> Vec<(Duration, Event)> {
        let whole = plan.actions.last().map_or(Duration::ZERO, |(at, _)| *at).max(Duration::from_secs(1));
        let scale = SPAN.as_secs_f64() / whole.as_secs_f64();
        let mut events: Vec<(Duration, Event)> = Vec::new();
        for (at, action) in &plan.actions {
            events.push((at.mul_f64(scale), Event::Act(action.clone())));
        }
        for _ in 0..kills {
            let millis = |dice: &mut Seed, most: usize| Duration::from_millis(dice.below(most) as u64);
            let near = plan.actions.get(self.dice.below(plan.actions.len())).map(|(at, _)| at.mul_f64(scale));
            let at = near.unwrap_or_default() + millis(&mut self.dice, 120);
            let dead = millis(&mut self.dice, 60);
            events.push((at, Event::Kill(dead)));
        }
        events.sort_by_key(|(at, _)| *at);
        events
    }

    async fn kill(&mut self, dead: Duration) {
        self.kills += 1;
        self.subject.kill();
        sleep(dead).await;
        self.subject.start();
    }

    /// Returns once the subject answers.
    pub async fn opens(&mut self) {
        let mut door = self.subject.door();
        if timeout(PATIENCE, door.opens()).await.is_err() {
            self.outside.trouble(|| "the subject does not start".to_owned());
        }
    }

    fn act(&mut self, action: &Action) {
        let world = self.sources.world();
        match *action {
            Action::Birth { source } => self.birth(source),
            Action::Edit { source, count } => (0..count).for_each(|_| world.edit(source)),
            Action::Delete { source } => world.delete(source),
            Action::Flip { count } => (0..count).for_each(|_| world.flip(2)),
            Action::ComeAndGo { source } => world.come_and_go(source),
            Action::Look { source } => {
                let body = json!({ "event": "look", "sent": now().0 });
                self.deliver(source, &body, Duration::ZERO, false);
            }
            Action::Read { entity, limit, unhurried } => self.read(ENTITIES[entity], limit, unhurried),
            Action::Upkeep => self.subject.upkeep(),
            // The processes of a plan are one here: it is killed as well as ended.
            Action::Restart { .. } => {
                self.kills += 1;
                self.subject.start();
            }
            Action::Sync { source, mode } => self.ask("sync", json!({ "source": SOURCES[source], "mode": mode })),
            Action::Build { source } => {
                self.ask("sync", json!({ "source": SOURCES[source], "mode": "full", "switch": false }));
            }
            Action::Deploy { mapping } => {
                self.ask("deploy", json!({ "bundle": self.configurations.bundles[&mapping] }));
            }
            Action::Rebuild { switch, force } => self.ask("rebuild", json!({ "switch": switch, "force": force })),
            Action::ReplayRejects => self.ask("rejects/replay", json!({})),
            Action::Rollback { as_was } => {
                let (door, outside) = (self.subject.door(), self.outside.clone());
                self.errands.spawn(async move { roll_back(door, &outside, as_was).await });
            }
            Action::SwitchToReady { force } => self.ask_of_ready("switch", json!({ "force": force })),
            Action::DropReady => self.ask_of_ready("drop", json!({})),
        }
    }

    /// A birth that makes up for a deletion hides it from whoever lists by page number: no connector can see that
    /// records moved. So source b has births only while no run lists it, nor will ask for a page again.
    fn birth(&mut self, source: usize) {
        let listening = self.sources.clone();
        if source != 1 {
            return listening.world().birth(source);
        }
        let door = self.subject.door();
        self.errands.spawn(async move {
            let Some(answer) = door.get("/admin/status").await else { return };
            let of_source = &answer.body["sources"][SOURCES[source]];
            if of_source.is_object() && of_source["running"].is_null() {
                listening.world().birth(source);
            }
        });
    }

    /// Somebody asks for something, once, and does not wait for it.
    pub fn ask(&mut self, what: &'static str, body: Json) {
        let (mut door, outside) = (self.subject.door(), self.outside.clone());
        self.errands.spawn(async move {
            door.opens().await;
            let answer = door.post(&format!("/admin/{what}"), &body).await;
            outside.told(what, answer.as_ref());
        });
    }

    /// The same, of the newest version that waits to be switched to.
    fn ask_of_ready(&mut self, what: &'static str, mut body: Json) {
        let (mut door, outside) = (self.subject.door(), self.outside.clone());
        self.errands.spawn(async move {
            door.opens().await;
            let Some(answer) = door.get("/admin/versions").await else { return };
            let versions = answer.body["versions"].as_array();
            let ready = versions.into_iter().flatten().filter(|version| version["state"] == "ready");
            let Some(ready) = ready.max_by_key(|version| version["version"].as_u64()) else { return };
            body["version"] = ready["version"].clone();
            let answer = door.post(&format!("/admin/{what}"), &body).await;
            outside.told(what, answer.as_ref());
        });
    }

    /// A reader goes through a listing.
    fn read(&mut self, entity: &'static str, limit: usize, unhurried: bool) {
        let (mut door, outside) = (self.subject.door(), self.outside.clone());
        let mut dice = self.dice.branch();
        self.errands.spawn(async move {
            let mut listing: Option<(Version, BTreeSet<u64>)> = None;
            let mut cursor = String::new();
            for _ in 0..60 {
                door.opens().await;
                let answer = door.get(&format!("/v1/{entity}?limit={limit}{cursor}")).await;
                outside.told("read", answer.as_ref());
                let answer = match answer {
                    Some(answer) if answer.status == 200 => answer.body,
                    // The version of its cursor is gone, or the entity was never declared.
                    Some(answer) if matches!(answer.status, 404 | 410) => return,
                    _ => {
                        sleep(LOOK_EVERY).await;
                        continue;
                    }
                };
                let Some(version) = answer["version"].as_u64().and_then(|number| u32::try_from(number).ok()) else {
                    return outside.trouble(|| format!("a page of {entity} names no version: {answer}"));
                };
                let (began, keys) = listing.get_or_insert_with(|| (Version(version), BTreeSet::new()));
                if began.0 != version {
                    let began = *began;
                    return outside
                        .trouble(|| format!("a listing of {entity} began in {began} and went on in v{version}"));
                }
                for key in answer["data"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_u64()) {
                    if !keys.insert(key) {
                        outside.trouble(|| format!("a listing of {entity} has row {key} twice"));
                    }
                }
                let Some(next) = answer["next"].as_str() else {
                    let Some((version, keys)) = listing else { return };
                    let listing = Listing { entity: entity.to_owned(), version, keys, ended: now() };
                    outside.lock().listings.push(listing);
                    return;
                };
                cursor = format!("&cursor={next}");
                sleep(Duration::from_millis(dice.number() % if unhurried { 200 } else { 5 })).await;
            }
        });
    }

    /// Sends webhooks of what has changed, most of them.
    fn tell_news(&mut self) {
        for News { source, id, record, at, updated, told_after } in self.sources.world().news() {
            // Source b tells only that something happened, and not each time; so do the others at times.
            if self.dice.once_in(8) || (source == 1 && !self.dice.once_in(4)) {
                continue;
            }
            let body = match &record {
                _ if source == 1 => json!({ "event": "look" }),
                Some(record) => json!({ "event": "changed", "sent": at.0, "data": record.json() }),
                None => json!({ "event": "gone", "sent": at.0, "data": { "id": id, "updated": updated } }),
            };
            let delay = if self.dice.once_in(6) { self.dice.number() % 1000 } else { self.dice.number() % 20 };
            // What takes minutes there takes moments here.
            let delay = Duration::from_millis(delay) + told_after / 200;
            self.deliver(source, &body, delay, source != 1);
        }
    }

    /// A sender tries again until it is thanked, and now and then once more.
    fn deliver(&mut self, source: usize, body: &Json, delay: Duration, makes_rows: bool) {
        self.deliveries += 1;
        let id = format!("d{}", self.deliveries);
        let (mut door, outside) = (self.subject.door(), self.outside.clone());
        let body = Bytes::from(body.to_string());
        let mut left = 1 + u32::from(self.dice.once_in(5));
        self.senders.spawn(async move {
            sleep(delay).await;
            while left > 0 {
                door.opens().await;
                let headers = [("x-secret", HOOK_SECRET), ("x-id", id.as_str())];
                let answer =
                    door.ask(Method::POST, &format!("/hooks/{}", SOURCES[source]), &headers, body.clone()).await;
                outside.told("deliver", answer.as_ref());
                match answer.map(|answer| answer.status) {
                    Some(202) => {
                        left -= 1;
                        let accepted = Accepted { source, id: id.clone(), at: now(), makes_rows };
                        outside.lock().accepted.push(accepted);
                    }
                    Some(503) | None => sleep(LOOK_EVERY).await,
                    Some(status) => {
                        return outside.trouble(|| format!("delivery {id} was answered with {status}"));
                    }
                }
            }
        });
    }

    /// Returns once nothing is left to do.
    pub async fn comes_to_rest(&mut self) {
        let errands = async { while self.errands.join_next().await.is_some() {} };
        if timeout(PATIENCE, errands).await.is_err() {
            self.outside.trouble(|| "somebody who asked is never answered".to_owned());
        }
        let mut door = self.subject.door();
        let began = Instant::now();
        let mut upkeep = began + UPKEEP_AFTER;
        let mut last = Json::Null;
        while began.elapsed() < PATIENCE && self.outside.lock().trouble.is_none() {
            door.opens().await;
            if let Some(answer) = door.get("/admin/status").await.filter(|answer| answer.status == 200) {
                if rests(&answer.body) {
                    return;
                }
                last = answer.body;
            }
            if Instant::now() > upkeep {
                upkeep = Instant::now() + UPKEEP_AFTER;
                self.subject.upkeep();
            }
            sleep(LOOK_EVERY).await;
        }
        self.outside.trouble(|| format!("it does not come to rest: {last:#}"));
    }
}

/// Goes back to the version before, which is named, so that it is known from outside which one that was.
async fn roll_back(mut door: Door, outside: &Outside, as_was: bool) {
    door.opens().await;
    let Some(answer) = door.get("/admin/status").await else { return };
    let previous = answer.body["previous"].as_u64().and_then(|number| u32::try_from(number).ok());
    let Some(previous) = previous else { return };
    if as_was {
        outside.lock().as_was.insert(Version(previous));
    }
    let answer = door.post("/admin/rollback", &json!({ "version": previous, "as_was": as_was })).await;
    outside.told("rollback", answer.as_ref());
}

impl Outside {
    /// Whatever is asked, nobody is ever told that it is Teal's own fault.
    fn told(&self, what: &'static str, answer: Option<&Answer>) {
        self.answered(what, answer.map(|answer| answer.status));
        if let Some(answer) = answer.filter(|answer| answer.status == 500) {
            self.trouble(|| format!("{what} was answered with {}", answer.body));
        }
    }
}

/// No run is open, no version is being built, no sync waits, and nothing is in any queue of a host that knows
/// its queues; what was put aside counts as waiting.
fn rests(status: &Json) -> bool {
    let sources = status["sources"].as_object().into_iter().flat_map(|sources| sources.values());
    let idle = sources.into_iter().all(|source| source["running"].is_null() && source["waiting"].is_null());
    let queues = status["queues"].as_object().into_iter().flat_map(|queues| queues.values());
    let empty = queues.filter_map(Json::as_object).all(|queue| queue.values().all(|count| count == 0));
    idle && empty && status["building"].is_null()
}
