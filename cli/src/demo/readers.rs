//! Readers that list without a rest while everything else goes on, and what they saw.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use teal_local::host::stop::{self, Stop, Stopper};
use tokio::task::JoinSet;

use super::client::{Client, MEDIA, MEMBERS, SOCIALS, TALENTS, Trouble, Watched};
use super::report::Reading;

const WATCHED: [Watched; 4] = [TALENTS, MEDIA, SOCIALS, MEMBERS];
/// Small, so that many listings are under way when a version is switched.
const PAGE: usize = 100;
/// Between pages: readers that leave nothing of a small machine would only show how small it is.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub struct Readers {
    tally: Arc<Mutex<Tally>>,
    tasks: JoinSet<()>,
    stopper: Stopper,
}

#[derive(Debug, Default)]
struct Tally {
    reading: Reading,
    /// The newest answer to a first page, by when it was asked for.
    active: Option<(Instant, u64)>,
}

impl Readers {
    pub fn start(client: &Client) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (stopper, stop) = stop::stop();
        let mut tasks = JoinSet::new();
        for watched in WATCHED {
            let reader = Reader { client: client.clone(), watched, tally: tally.clone() };
            let stop = stop.clone();
            tasks.spawn(async move { reader.run(&stop).await });
        }
        lock(&tally).reading.readers = WATCHED.len();
        Self { tally, tasks, stopper }
    }

    /// What they saw so far.
    pub fn so_far(&self) -> Reading {
        lock(&self.tally).reading.clone()
    }

    /// Lets every reader finish its listing.
    pub async fn finish(self) -> Reading {
        self.stopper.stop();
        let ended = self.tasks.len();
        let mut tasks = self.tasks;
        let mut fell = 0;
        while let Some(ended) = tasks.join_next().await {
            fell += usize::from(ended.is_err());
        }
        let mut reading = lock(&self.tally).reading.clone();
        if fell > 0 {
            reading.errors += fell as u64;
            reading.first_trouble.get_or_insert_with(|| format!("{fell} of {ended} readers panicked"));
        }
        reading
    }
}

struct Reader {
    client: Client,
    watched: Watched,
    tally: Arc<Mutex<Tally>>,
}

impl Reader {
    async fn run(&self, stop: &Stop) {
        while !stop.is_stopped() {
            if let Err(trouble) = self.read_one().await {
                lock(&self.tally).fail(&trouble);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn read_one(&self) -> Result<(), Trouble> {
        let mut listing = Client::listing(self.watched);
        while !listing.over {
            let first = listing.version.is_none();
            let asked = Instant::now();
            self.client.next_page(&mut listing, PAGE).await?;
            lock(&self.tally).note(asked, listing.version.filter(|_| first));
            tokio::time::sleep(PAUSE).await;
        }
        let mut tally = lock(&self.tally);
        tally.reading.listings += 1;
        if tally.active.map(|(_, version)| version) != listing.version {
            tally.reading.across_a_switch += 1;
        }
        Ok(())
    }
}

impl Tally {
    fn fail(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Error(_) => self.reading.errors += 1,
            Trouble::Mixture(_) => self.reading.mixtures += 1,
        }
        self.reading.first_trouble.get_or_insert_with(|| trouble.to_string());
    }

    fn note(&mut self, asked: Instant, active: Option<u64>) {
        self.reading.pages += 1;
        let ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.reading.slowest_ms = self.reading.slowest_ms.max(ms);
        if let Some(version) = active
            && self.active.is_none_or(|(at, _)| at <= asked)
        {
            self.active = Some((asked, version));
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
