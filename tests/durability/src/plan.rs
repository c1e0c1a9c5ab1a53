//! What the subject is told to do, and what must come of it.
//!
//! Always holds: what a delivery brings is in no listing of the source, so a delivery that is lost can't be
//! mended by a sync, and each is about a talent of its own, so none hides another.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use teal::config::Bundle;
use teal::domain::Version;
use teal::pipeline::webhook::{HookRequest, Memory, Webhook};
use teal::trigger::http::{CurrentHooks, Hooks as _};
use teal_local::blobs::SMALL;
use teal_local::entropy::SystemEntropy;
use teal_local::secrets::LocalSecrets;
use teal_local::sqlite;
use teal_local::store;
use teal_local::upstream::HttpUpstream;
use teal_local::{Local, LocalOptions};
use teal_stand_in::{Blue, Kind};

const HOOK_SECRET: &str = "made-up-hook-secret";

/// Talents that get a delivery; the others come from the listing alone.
const HOOKS: usize = 30;

/// Ids of talents that no listing has.
const NEW: i64 = 1_000_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where it is missing the subject makes it, as at a first start.
    pub dir: PathBuf,
    pub bundle: Bundle,
    pub phases: Vec<Phase>,
    /// Whether a delivery's id says that it was there before (`dedupe`), so that each has to be done with once.
    pub once: bool,
    /// Deliveries that an earlier subject has acked on this disk; nobody sends them again.
    pub acked: BTreeSet<String>,
    pub syncs: Syncs,
}

/// Deliveries, until they are all applied and readers have a version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phase {
    /// One after the other, before all others.
    pub first: Vec<Hook>,
    /// From several senders at the same time.
    pub then: Vec<Hook>,
    pub senders: usize,
    /// Between two deliveries of a sender.
    pub rest: Duration,
    pub version: Version,
}

/// Which of the databases wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syncs {
    pub teal_db: bool,
    pub inbox_db: bool,
}

impl Syncs {
    pub const ALL: Self = Self { teal_db: true, inbox_db: true };
    pub const NONE: Self = Self { teal_db: false, inbox_db: false };
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hook {
    pub id: String,
    pub body: String,
    pub makes: Makes,
}

/// What readers see once a delivery is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Makes {
    /// This version or a later one, which list everything.
    Version(Version),
    Name {
        talent: i64,
        name: String,
    },
    Gone {
        talent: i64,
    },
    Reject,
}

impl Hook {
    /// Whether no listing has what it is about.
    #[must_use]
    pub fn is_about_something_new(&self) -> bool {
        matches!(self.makes, Makes::Name { talent, .. } if talent >= NEW)
    }
}

impl Plan {
    pub fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.phases.iter().flat_map(|phase| phase.first.iter().chain(&phase.then))
    }

    #[must_use]
    pub fn options(&self) -> LocalOptions {
        let mut options = LocalOptions::new(&self.dir);
        if !self.syncs.teal_db {
            options.store.synchronous = store::Synchronous::Off;
        }
        if !self.syncs.inbox_db {
            options.inbox.synchronous = sqlite::Synchronous::Off;
        }
        options
    }
}

/// The example system, with small pages and no limit, so that a sync is many steps and soon done.
pub fn bundle(blue: &Blue) -> io::Result<Bundle> {
    let system = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systems/nowrep/teal.yaml");
    let read = |path: &str| {
        let text = std::fs::read_to_string(path)?;
        let text = text.replace("per_second: 10", "per_second: 10000");
        Ok(text.replace("size: 100", "size: 8").replace("size: 50", "size: 2"))
    };
    let env = |name: &str| (name == "BLUE_URL").then(|| blue.url());
    Bundle::collect(&system.to_string_lossy(), read, env).map_err(|problems| io::Error::other(problems.to_string()))
}

/// Secrets are the operator's files: there before Teal is.
pub fn write_secrets(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(dir)?;
    for (name, value) in [("blue-api-key", "blue-key"), ("sync-secret-key", HOOK_SECRET)] {
        let path = dir.join(name);
        std::fs::write(&path, value)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Two full syncs with deliveries before, during and after each. One delivery a talent: most change a name, some
/// are large, some delete, some can't be mapped.
#[must_use]
pub fn phases(blue: &Blue) -> Vec<Phase> {
    // Later than any listing, which otherwise would rightly outweigh it.
    let stated = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    let delivery = |id: String, event: &str, data: Value, makes: Makes| {
        let body = json!({ "id": id, "event": event, "sentAt": stated, "data": data }).to_string();
        Hook { id, body, makes }
    };
    let sync = |version| {
        let version = Version(version);
        delivery(format!("sync-{version}"), "sync", Value::Null, Makes::Version(version))
    };
    let change = |(nth, id): (usize, u64)| {
        let talent = i64::try_from(id).ok()?;
        let mut data = blue.record(Kind::Talents, id)?;
        data["updatedAt"] = stated.clone().into();
        let (event, makes) = match nth % 10 {
            3 => {
                data["profile"]["gender"] = "?".into();
                ("talent.updated", Makes::Reject)
            }
            6 => {
                data = json!({ "id": id, "updatedAt": stated });
                ("talent.deleted", Makes::Gone { talent })
            }
            kind => {
                let name = format!("Called {nth}");
                data["profile"]["displayName"] = name.clone().into();
                if kind % 4 == 0 {
                    data["padding"] = "x".repeat(SMALL + 1).into();
                }
                ("talent.updated", Makes::Name { talent, name })
            }
        };
        Some(delivery(format!("change-{nth}"), event, data, makes))
    };
    let mut changes = blue.ids(Kind::Talents).into_iter().take(HOOKS).enumerate().filter_map(change);
    let mut some = |count| changes.by_ref().take(count).collect::<Vec<_>>();
    let (before, during, again, after) = (some(1), some(HOOKS * 2 / 5), some(HOOKS * 2 / 5), some(HOOKS));
    let phase = |first, then, version| {
        // So that commits are shared and overlap, and deliveries come all through a sync.
        Phase { first, then, senders: 3, rest: Duration::from_millis(10), version: Version(version) }
    };
    let begin = before.into_iter().chain([sync(1)]).collect();
    vec![phase(begin, during, 1), phase(vec![sync(2)], again, 2), phase(Vec::new(), after, 2)]
}

/// A listing, then so many deliveries as fast as they are taken, each about a talent that no listing has.
#[must_use]
pub fn flood(blue: &Blue, count: i64) -> Vec<Phase> {
    let stated = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    let like = blue.record(Kind::Talents, 1).expect("it has talents");
    let hook = |nth: i64| {
        let (mut data, name, talent) = (like.clone(), format!("Called {nth}"), NEW + nth);
        (data["id"], data["updatedAt"]) = (talent.into(), stated.clone().into());
        (data["portfolios"], data["socials"]) = (json!([]), json!([]));
        data["profile"]["displayName"] = name.clone().into();
        if nth % 16 == 5 {
            data["padding"] = "x".repeat(SMALL + 1).into();
        }
        let id = format!("flood-{nth}");
        let body = json!({ "event": "talent.updated", "sentAt": stated, "data": data }).to_string();
        Hook { id, body, makes: Makes::Name { talent, name } }
    };
    let sync = Hook {
        id: "sync-1".into(),
        body: json!({ "event": "sync", "sentAt": stated }).to_string(),
        makes: Makes::Version(Version(1)),
    };
    let phase = |first, then| Phase { first, then, senders: 16, rest: Duration::ZERO, version: Version(1) };
    vec![phase(vec![sync], Vec::new()), phase(Vec::new(), (0..count).map(hook).collect())]
}

/// The same system, which knows a delivery by its id.
#[must_use]
pub fn deduped(mut bundle: Bundle) -> Bundle {
    for text in bundle.files.values_mut() {
        *text = text.replace(" id: { header: x-delivery-id }", " dedupe: { by: [{ header: x-delivery-id }] }");
    }
    bundle
}

/// The webhook stage over an open Teal, without HTTP, so that nothing lies between its answer and the mark.
#[must_use]
pub fn webhook_stage(local: &Local, secrets: &Path) -> CurrentHooks {
    let webhook = Webhook {
        intake: local.intake.clone(),
        blobs: local.admin.blobs.clone(),
        secrets: Arc::new(LocalSecrets::new(secrets)),
        ledger: local.admin.ledger.clone(),
        upstream: Arc::new(HttpUpstream::public_only().expect("HTTPS can be set up")),
        memory: Memory::default(),
        clock: local.clock.clone(),
        entropy: Arc::new(SystemEntropy::default()),
        meter: teal::metrics::none(),
    };
    CurrentHooks { webhook, systems: local.systems.clone() }
}

/// Gives the status.
pub async fn deliver(stage: &CurrentHooks, hook: &Hook) -> u16 {
    let headers = vec![("x-sync-secret-key".into(), HOOK_SECRET.into()), ("x-delivery-id".into(), hook.id.clone())];
    stage.receive(HookRequest::post("blue", headers, hook.body.clone())).await.status
}
