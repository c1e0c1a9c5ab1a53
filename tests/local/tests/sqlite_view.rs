//! Anybody may open `teal.db` and query it while Teal runs: no error, and one version in every statement.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use teal_local_tests::expected::ENTITIES;
use teal_local_tests::system::{Kill, System, Tweaks};
use teal_local_tests::until;
use teal_stand_in::{BlueOptions, Kind};

/// What one statement over several views saw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    /// Lowest and highest stamp of every entity.
    stamps: Vec<(i64, i64)>,
    joined: i64,
    /// Joined rows whose two sides have different stamps.
    torn: i64,
    talents: i64,
}

struct Looker {
    connection: Connection,
    stamps: String,
}

impl Looker {
    fn open(database: &Path) -> Self {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("the file opens beside a Teal at work");
        let parts =
            ENTITIES.map(|(entity, _)| format!("SELECT min(generation), max(generation) FROM {entity}_current"));
        Self { connection, stamps: parts.join(" UNION ALL ") }
    }

    fn look(&self) -> rusqlite::Result<Seen> {
        let mut statement = self.connection.prepare(&self.stamps)?;
        let stamps = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let joined = "SELECT count(*), coalesce(sum(talents.generation <> portfolios.generation), 0)
            FROM talents_current AS talents JOIN talents_portfolios_current AS portfolios
            ON portfolios.talent_id = talents.id";
        let (joined, torn) = self.connection.query_row(joined, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let talents = self.connection.query_row("SELECT count(*) FROM talents_current", [], |row| row.get(0))?;
        Ok(Seen { stamps, joined, torn, talents })
    }
}

impl Seen {
    fn is_one_version(&self) -> bool {
        let stamps: BTreeSet<i64> = self.stamps.iter().flat_map(|(low, high)| [*low, *high]).collect();
        stamps.len() == 1 && self.torn == 0 && self.joined > 0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_sqlite_sees_one_version_in_every_statement_while_teal_switches() {
    let options = BlueOptions { talents: 40, boards: 5, media_tags: 20, ..BlueOptions::default() };
    let mut system = System::start(options, Tweaks::default()).await;
    system.blue.set_generation(1);
    system.switch().await;
    let (looks, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let looker = std::thread::spawn({
        let (looks, over, database) = (looks.clone(), over.clone(), system.database());
        move || {
            let looker = Looker::open(&database);
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::SeqCst) {
                seen.insert(looker.look().expect("a statement over the views gives no error"));
                looks.fetch_add(1, Ordering::SeqCst);
                // Leaves the machine to Teal for a moment.
                std::thread::sleep(Duration::from_millis(1));
            }
            seen
        }
    });
    let looked_again = async || {
        // The look that goes on now may have begun before; the one after it has not.
        let enough = looks.load(Ordering::SeqCst) + 2;
        until("somebody looks into the file", async || (looks.load(Ordering::SeqCst) >= enough).then_some(())).await;
    };
    for stamp in 2..=15 {
        system.blue.set_generation(stamp);
        system.blue.insert(Kind::Talents, 1);
        system.switch().await;
        looked_again().await;
        if stamp % 5 == 0 {
            system.kill_build(Kill::Crash).await;
            system.rollback().await;
            looked_again().await;
        }
        system.upkeep().await;
    }
    over.store(true, Ordering::SeqCst);
    let seen = looker.join().expect("every statement gave an answer");
    let torn: Vec<&Seen> = seen.iter().filter(|seen| !seen.is_one_version()).collect();
    assert!(torn.is_empty(), "{torn:?}");
    let stamps: BTreeSet<i64> = seen.iter().map(|seen| seen.stamps[0].0).collect();
    assert_eq!(stamps, (1..=15).filter(|stamp| *stamp != 1 || stamps.contains(&1)).collect(), "every version was seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_above_would_notice_views_of_different_versions() {
    let options = BlueOptions { talents: 20, boards: 3, media_tags: 10, ..BlueOptions::default() };
    let system = System::start(options, Tweaks::default()).await;
    for stamp in 1..=2 {
        system.blue.set_generation(stamp);
        system.switch().await;
    }
    let looker = Looker::open(&system.database());
    assert!(looker.look().unwrap().is_one_version());
    let torn = looker.stamps.replace("media_tags_current", "media_tags_v1");
    let looker = Looker { stamps: torn, ..looker };
    assert!(!looker.look().unwrap().is_one_version());
}
