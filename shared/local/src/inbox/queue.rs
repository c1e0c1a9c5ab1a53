//! The queues between the stages, as rows. As kind as SQS and no kinder: at least once, in no order.
//!
//! Owns the table `message`. Always holds:
//!
//! - A message that was sent is durable before `send` returns, and is there until it is deleted.
//! - A received message is invisible for the visibility it was received with, then comes again with a
//!   receive count that is one higher. After `max_receive` receptions it moves to `{queue}-dead` instead.
//! - A receipt of an earlier reception deletes and delays nothing.
//! - Nobody polls: [`Queue::ready`] sleeps until a message is sent, released, or becomes visible.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rusqlite::{Connection, Row, params};
use teal::domain::{Millis, QueueName};
use teal::ports::fault::FaultKind;
use teal::ports::queue::MAX_DELAY;
use teal::ports::{Clock, Fault, Outgoing, QueueSender};
use tokio::sync::Notify;

use super::{InboxOptions, Receipt};
use crate::sqlite::{Database, Trouble, as_limit};

/// Messages in a batch at most, as with SQS.
pub const MAX_BATCH: usize = 10;

/// The largest message that every backend carries.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// Longest sleep without a look at the clock, which may have been set or have slept with the machine.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Dead letters that one [`Queue::redrive`] moves in one transaction.
const REDRIVE_SLICE: usize = 1000;

pub struct Queue {
    file: Arc<Database>,
    clock: Arc<dyn Clock>,
    max_receive: u32,
    unkind: Option<Arc<Mutex<StdRng>>>,
    wakes: [Notify; QueueName::ALL.len()],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub id: String,
    pub receipt: Receipt,
    pub body: String,
    /// 1 at the first reception.
    pub receive_count: u32,
    pub sent_at: Millis,
    pub first_received_at: Millis,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub visible: u64,
    /// Received, and neither deleted nor visible again.
    pub in_flight: u64,
    /// Sent with a delay that is not over.
    pub delayed: u64,
    pub dead: u64,
}

impl Depth {
    /// Whether nothing is left to do; dead letters wait for a person.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.visible + self.in_flight + self.delayed == 0
    }
}

/// A message that nobody managed to handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: String,
    pub body: String,
    pub receive_count: u32,
    pub sent_at: Millis,
}

impl Queue {
    pub(super) fn new(file: Arc<Database>, clock: Arc<dyn Clock>, options: InboxOptions) -> Self {
        Self {
            file,
            clock,
            max_receive: options.max_receive,
            unkind: options.shuffle_and_repeat.map(|seed| Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))),
            wakes: Default::default(),
        }
    }

    /// Up to `max` visible messages (at most [`MAX_BATCH`]), invisible to others for `visibility`. Does not
    /// wait: an empty answer means that nothing was visible.
    pub async fn receive(&self, queue: QueueName, max: usize, visibility: Duration) -> Result<Vec<Received>, Fault> {
        let now = self.clock.now();
        let max_receive = self.max_receive;
        let unkind = self.unkind.clone();
        let received = self
            .file
            .write("messages", move |connection| {
                let take = Take { queue, now, visibility, max: max.min(MAX_BATCH), max_receive };
                match unkind {
                    None => take.run(connection),
                    Some(chance) => {
                        take.run_unkindly(connection, &mut chance.lock().unwrap_or_else(PoisonError::into_inner))
                    }
                }
            })
            .await?;
        if self.unkind.is_some() && !received.is_empty() {
            self.wake(queue);
        }
        Ok(received)
    }

    /// Returns when something of `queue` may be visible. With several receivers one of them may still find
    /// nothing, and simply waits again.
    pub async fn ready(&self, queue: QueueName) -> Result<(), Fault> {
        loop {
            // Before the look, so that a message sent between the look and the wait is not missed.
            let woken = self.wakes[queue as usize].notified();
            let next = self
                .file
                .read("messages", move |connection| {
                    let next: Option<i64> = connection
                        .prepare_cached("SELECT min(visible_at) FROM message WHERE queue = ?1")?
                        .query_row([queue.as_str()], |row| row.get(0))?;
                    Ok(next.map(Millis))
                })
                .await?;
            let now = self.clock.now();
            match next {
                Some(at) if at <= now => return Ok(()),
                Some(at) => tokio::select! {
                    biased;
                    () = woken => {}
                    () = self.clock.sleep(at.since(now).min(LONGEST_SLEEP)) => {}
                },
                None => woken.await,
            }
        }
    }

    /// Forgets messages that were handled. Says how many of the receipts still held.
    pub async fn delete(&self, receipts: Vec<Receipt>) -> Result<usize, Fault> {
        self.file
            .write("messages", move |connection| {
                let mut delete =
                    connection.prepare_cached("DELETE FROM message WHERE id = ?1 AND receive_count = ?2")?;
                let mut deleted = 0;
                for receipt in &receipts {
                    deleted += delete.execute(params![receipt.id, receipt.receive_count])?;
                }
                Ok(deleted)
            })
            .await
    }

    /// Makes received messages visible again, each after its own time. Says how many of the receipts still
    /// held.
    pub async fn release(&self, queue: QueueName, receipts: Vec<(Receipt, Duration)>) -> Result<usize, Fault> {
        let now = self.clock.now();
        let released = self
            .file
            .write("messages", move |connection| {
                let mut release = connection.prepare_cached(
                    "UPDATE message SET visible_at = ?3 WHERE id = ?1 AND receive_count = ?2 AND queue = ?4",
                )?;
                let mut released = 0;
                for (receipt, after) in &receipts {
                    let at = now.plus(*after).0;
                    released += release.execute(params![receipt.id, receipt.receive_count, at, queue.as_str()])?;
                }
                Ok(released)
            })
            .await?;
        self.wake(queue);
        Ok(released)
    }

    /// Makes visible what was received and neither deleted nor released: for a process that has just found
    /// itself alone on its data, so that whoever had received it can only be dead. Says how many that were. That
    /// reception counts as no attempt: nobody saw the message fail, and else some restarts in a row would put
    /// aside what was only at hand each time.
    pub async fn release_all(&self) -> Result<usize, Fault> {
        let now = self.clock.now();
        let released = self
            .file
            .write("messages", move |connection| {
                let mut release = connection.prepare_cached(
                    "UPDATE message SET visible_at = ?1, receive_count = receive_count - 1
                         WHERE receive_count > 0 AND visible_at > ?1",
                )?;
                Ok(release.execute(params![now.0])?)
            })
            .await?;
        for queue in QueueName::ALL {
            self.wake(queue);
        }
        Ok(released)
    }

    pub async fn depth(&self, queue: QueueName) -> Result<Depth, Fault> {
        let now = self.clock.now();
        self.file
            .read("messages", move |connection| {
                let depth = connection
                    .prepare_cached(
                        "SELECT count(*) FILTER (WHERE queue = ?1 AND visible_at <= ?3),
                                count(*) FILTER (WHERE queue = ?1 AND visible_at > ?3 AND receive_count > 0),
                                count(*) FILTER (WHERE queue = ?1 AND visible_at > ?3 AND receive_count = 0),
                                count(*) FILTER (WHERE queue = ?2)
                         FROM message WHERE queue IN (?1, ?2)",
                    )?
                    .query_row(params![queue.as_str(), dead(queue), now.0], |row| {
                        Ok(Depth {
                            visible: count(row, 0)?,
                            in_flight: count(row, 1)?,
                            delayed: count(row, 2)?,
                            dead: count(row, 3)?,
                        })
                    })?;
                Ok(depth)
            })
            .await
    }

    /// When the oldest message of the queue was sent; `None` where there is none.
    pub async fn oldest(&self, queue: QueueName) -> Result<Option<Millis>, Fault> {
        self.file
            .read("messages", move |connection| {
                let oldest: Option<i64> = connection
                    .prepare_cached("SELECT min(sent_at) FROM message WHERE queue = ?1")?
                    .query_row([queue.as_str()], |row| row.get(0))?;
                Ok(oldest.map(Millis))
            })
            .await
    }

    /// The oldest dead letters, for people to read.
    pub async fn dead_letters(&self, queue: QueueName, limit: usize) -> Result<Vec<DeadLetter>, Fault> {
        self.file
            .read("messages", move |connection| {
                let mut select = connection.prepare_cached(
                    "SELECT id, body, receive_count, sent_at FROM message WHERE queue = ?1 ORDER BY id LIMIT ?2",
                )?;
                let rows = select.query_map(params![dead(queue), as_limit(limit)], |row| {
                    Ok(DeadLetter {
                        id: row.get::<_, i64>(0)?.to_string(),
                        body: row.get(1)?,
                        receive_count: row.get(2)?,
                        sent_at: Millis(row.get(3)?),
                    })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Gives all dead letters of `queue` another life, with a fresh receive count. Says how many.
    pub async fn redrive(&self, queue: QueueName) -> Result<usize, Fault> {
        let mut all = 0;
        loop {
            let now = self.clock.now();
            let moved = self
                .file
                .write("messages", move |connection| {
                    let moved = connection
                        .prepare_cached(
                            "UPDATE message SET queue = ?1, visible_at = ?3, receive_count = 0, first_received_at = NULL
                             WHERE id IN (SELECT id FROM message WHERE queue = ?2 ORDER BY id LIMIT ?4)",
                        )?
                        .execute(params![queue.as_str(), dead(queue), now.0, as_limit(REDRIVE_SLICE)])?;
                    Ok(moved)
                })
                .await?;
            all += moved;
            self.wake(queue);
            if moved < REDRIVE_SLICE {
                return Ok(all);
            }
        }
    }

    pub(crate) fn wake(&self, queue: QueueName) {
        self.wakes[queue as usize].notify_waiters();
    }
}

#[async_trait]
impl QueueSender for Queue {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), Fault>> {
        let now = self.clock.now();
        let rows: Vec<(QueueName, String, Millis)> = messages
            .into_iter()
            .map(|Outgoing { message, delay }| (message.queue(), message.encode(), now.plus(delay.min(MAX_DELAY))))
            .collect();
        let fits: Vec<bool> = rows.iter().map(|(_, body, _)| body.len() <= MAX_MESSAGE).collect();
        let woken: Vec<QueueName> = rows.iter().map(|(queue, ..)| *queue).collect();
        let sent: Result<(), Fault> = if fits.contains(&true) {
            self.file
                .write("messages", move |connection| {
                    for (queue, body, visible_at) in rows.iter().filter(|(_, body, _)| body.len() <= MAX_MESSAGE) {
                        insert(connection, *queue, body, now, *visible_at)?;
                    }
                    Ok(())
                })
                .await
        } else {
            Ok(())
        };
        for queue in QueueName::ALL {
            if woken.contains(&queue) {
                self.wake(queue);
            }
        }
        fits.into_iter()
            .map(|fits| match &sent {
                _ if !fits => Err(Fault::new(
                    FaultKind::Permanent,
                    format!("a message is larger than {MAX_MESSAGE} bytes; large things travel by reference"),
                )),
                Ok(()) => Ok(()),
                Err(fault) => Err(Fault::new(fault.kind, fault.what.clone())),
            })
            .collect()
    }
}

/// Sends a message within a transaction. Whoever does it wakes the queue after the commit.
pub(crate) fn insert(
    connection: &Connection,
    queue: QueueName,
    body: &str,
    sent_at: Millis,
    visible_at: Millis,
) -> Result<(), Trouble> {
    connection
        .prepare_cached("INSERT INTO message (queue, body, sent_at, visible_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![queue.as_str(), body, sent_at.0, visible_at.0])?;
    Ok(())
}

fn dead(queue: QueueName) -> String {
    format!("{}-dead", queue.as_str())
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

/// One reception, inside the writer.
struct Take {
    queue: QueueName,
    now: Millis,
    visibility: Duration,
    max: usize,
    max_receive: u32,
}

struct Candidate {
    id: i64,
    repeated: bool,
    receive_count: u32,
}

impl Take {
    fn run(&self, connection: &Connection) -> Result<Vec<Received>, Trouble> {
        let ids: Vec<i64> = self.candidates(connection, self.max)?.into_iter().map(|found| found.id).collect();
        self.take(connection, &ids)
    }

    /// Takes from a wider window in any order, and leaves a copy of some messages: SQS may do both.
    fn run_unkindly(&self, connection: &Connection, chance: &mut StdRng) -> Result<Vec<Received>, Trouble> {
        let mut candidates = self.candidates(connection, self.max * 4)?;
        candidates.shuffle(chance);
        candidates.truncate(self.max);
        for found in &candidates {
            // A copy is not copied again, or a queue would never drain.
            if !found.repeated && chance.random_ratio(1, 8) {
                connection.execute(
                    "INSERT INTO message (queue, body, sent_at, visible_at, repeated)
                     SELECT queue, body, sent_at, visible_at, 1 FROM message WHERE id = ?1",
                    [found.id],
                )?;
                connection.execute("UPDATE message SET repeated = 1 WHERE id = ?1", [found.id])?;
            }
        }
        let ids: Vec<i64> = candidates.into_iter().map(|found| found.id).collect();
        self.take(connection, &ids)
    }

    /// What is visible, the longest visible first. What was received as often as allowed and came back is
    /// put aside on the way: only what would be received is looked at, so a long queue costs no more.
    fn candidates(&self, connection: &Connection, limit: usize) -> Result<Vec<Candidate>, Trouble> {
        let mut select = connection.prepare_cached(
            "SELECT id, repeated, receive_count FROM message WHERE queue = ?1 AND visible_at <= ?2
             ORDER BY visible_at, id LIMIT ?3",
        )?;
        let mut bury = connection.prepare_cached("UPDATE message SET queue = ?2 WHERE id = ?1")?;
        loop {
            let found = select
                .query_map(params![self.queue.as_str(), self.now.0, as_limit(limit)], |row| {
                    Ok(Candidate { id: row.get(0)?, repeated: row.get(1)?, receive_count: row.get(2)? })
                })?
                .collect::<Result<Vec<_>, _>>()?;
            let (spent, candidates): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|found| found.receive_count >= self.max_receive);
            if spent.is_empty() {
                return Ok(candidates);
            }
            for found in spent {
                bury.execute(params![found.id, dead(self.queue)])?;
            }
        }
    }

    fn take(&self, connection: &Connection, ids: &[i64]) -> Result<Vec<Received>, Trouble> {
        let mut take = connection.prepare_cached(
            "UPDATE message SET receive_count = receive_count + 1, visible_at = ?2,
                                first_received_at = coalesce(first_received_at, ?3)
             WHERE id = ?1 RETURNING body, receive_count, sent_at, first_received_at",
        )?;
        let visible_at = self.now.plus(self.visibility).0;
        let mut received = Vec::with_capacity(ids.len());
        for id in ids {
            received.push(take.query_row(params![id, visible_at, self.now.0], |row| {
                let receive_count = row.get(1)?;
                Ok(Received {
                    id: id.to_string(),
                    receipt: Receipt { id: *id, receive_count },
                    body: row.get(0)?,
                    receive_count,
                    sent_at: Millis(row.get(2)?),
                    first_received_at: Millis(row.get(3)?),
                })
            })?);
        }
        Ok(received)
    }
}
