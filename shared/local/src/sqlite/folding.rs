//! Folding the write-ahead log into its file, beside the writer: who writes does not wait for it.
//!
//! Owns a thread with a connection that does nothing else. SQLite lets it copy what is in the log while the writer goes
//! on; what was written meanwhile, a few pages, the writer folds between two groups, and the log begins anew.
//!
//! Always holds: the log stays below [`LONGEST`] times what it may gather. When folding can't keep up with what is
//! written, the writer waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, hooks::Wal};
use teal::ports::fault::{Fault, FaultKind};

/// Most pages that the writer folds by itself: some milliseconds.
const AT_HAND: u32 = 250;
/// How many times what it may gather the log may hold.
const LONGEST: u32 = 4;

/// What the writer keeps of it.
pub struct Folding {
    /// Pages that the log may gather.
    most: u32,
    /// Pages in the log, as of the last commit.
    log: Arc<AtomicU32>,
    /// How many of them are folded, and from how many on something is to be done again.
    folded: u32,
    due: u32,
    is_asked: bool,
    /// `None` only while dropping: closing it is what ends the thread.
    ask: Option<Sender<()>>,
    done: Receiver<u32>,
    thread: Option<JoinHandle<()>>,
}

impl Folding {
    /// Takes over from SQLite, which would fold within a commit of `writing`.
    pub fn start(file: &str, writing: &mut Connection, own: Connection, most: u32) -> Result<Self, Fault> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            let what = format!("{file}: its log can't be looked after; try again");
            Fault::new(FaultKind::Transient, what).because(error)
        };
        let log = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&log);
        let hook = move |_: &mut Wal, pages| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        writing.wal_hook(Some(hook)).map_err(|error| failed(error.into()))?;
        let (ask, asked) = channel();
        let (tell, done) = channel();
        let work = move || {
            for () in asked {
                if tell.send(fold(&own)).is_err() {
                    break;
                }
            }
        };
        let thread =
            thread::Builder::new().name("sqlite log".into()).spawn(work).map_err(|error| failed(error.into()))?;
        Ok(Self { most, log, folded: 0, due: most, is_asked: false, ask: Some(ask), done, thread: Some(thread) })
    }

    /// What the writer does after each group, when everybody has their answers.
    pub fn after_group(&mut self, writing: &Connection) {
        let pages = self.log.load(Ordering::Relaxed);
        if pages < self.folded {
            // It has begun anew.
            (self.folded, self.due) = (0, self.most);
        }
        let is_longest = pages >= self.most.saturating_mul(LONGEST);
        if self.is_asked {
            let done = &self.done;
            match if is_longest { done.recv().map_err(TryRecvError::from) } else { done.try_recv() } {
                Ok(folded) => self.folded = folded,
                Err(TryRecvError::Empty) => return,
                // Its thread has ended: the writer sees to the log alone.
                Err(TryRecvError::Disconnected) => {}
            }
            self.is_asked = false;
        } else if pages < self.due {
            return;
        }
        if is_longest || pages.saturating_sub(self.folded) <= AT_HAND.min(self.most / 2) {
            self.folded = fold(writing);
            // Somebody may still read what is in the log. Then it goes on, and is asked about again some pages later.
            self.due = pages.saturating_add(self.most);
        } else {
            self.is_asked = self.ask.as_ref().is_some_and(|ask| ask.send(()).is_ok());
        }
    }
}

/// Ends the thread when it has done what it was asked.
impl Drop for Folding {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Copies what nobody needs in the log any more, without waiting for anyone. Gives how many of its pages are in the file.
/// If the disk fails, they are still in the log, and it is tried again.
fn fold(connection: &Connection) -> u32 {
    let folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2));
    folded.ok().and_then(|pages| u32::try_from(pages).ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "folding_tests.rs"]
mod tests;
