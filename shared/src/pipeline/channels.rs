//! The lease of a webhook: the sender's channel, subscription or webhook that ends by itself.
//!
//! Owns its item and what is due when. Owns no asking: that is poll's, which upkeep wakes when something is due.
//!
//! Always holds: a channel is in the item before its request goes out; it is live from the answer or, where the sender
//! asks back, from the confirmation; renewal is due from half a life on. From [`Lease::cover`] before the end on, until a
//! channel lives longer again, the source is polled, and each poll is followed by the next before its time is over. So
//! while upkeep runs at least every half of that, there is at no moment neither a valid lease nor a poll that covers it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::StageError;
use super::ledger;
use crate::config::after::Lease;
use crate::domain::{Millis, SourceId};
use crate::ports::{Ledger, LedgerError, LedgerReader};

/// How long an answer or a confirmation is waited for before another request goes out.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub id: String,
    /// The sender's own name for it.
    pub resource: Json,
    pub since: Millis,
    pub until: Millis,
}

impl Channel {
    fn half(&self) -> Millis {
        self.since.plus(self.until.since(self.since) / 2)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    pub live: Option<Channel>,
    /// Asked for, and not there yet.
    pub pending: Option<Channel>,
    /// Replaced, and to be stopped.
    pub old: Vec<Channel>,
    /// Attempts that failed since the last good one, and why the last did.
    pub tries: u32,
    pub why: Option<String>,
    /// No request before.
    pub rests: Millis,
    /// A poll covers the source until then.
    pub covered: Millis,
    /// Something may have been missed since the last poll.
    pub owed: bool,
}

impl Channels {
    #[must_use]
    pub fn is_valid(&self, now: Millis) -> bool {
        self.live.as_ref().is_some_and(|live| live.until > now)
    }

    /// Whether the channel ends so soon that the source has to be polled.
    fn ends(&self, lease: &Lease, now: Millis) -> bool {
        !self.is_valid(now.plus(lease.cover))
    }

    #[must_use]
    pub fn poll_is_due(&self, lease: &Lease, now: Millis) -> bool {
        if self.ends(lease, now) { self.covered.since(now) <= lease.cover / 2 } else { self.owed }
    }

    pub fn polled(&mut self, lease: &Lease, now: Millis) {
        // The last one, once there is a channel again, brings what came before that.
        self.owed = self.ends(lease, now);
        self.covered = now.plus(lease.cover);
    }

    #[must_use]
    pub fn asking_is_due(&self, now: Millis) -> bool {
        now >= self.rests && self.live.as_ref().is_none_or(|live| now >= live.half())
    }

    #[must_use]
    pub fn is_due(&self, lease: &Lease, now: Millis) -> bool {
        self.poll_is_due(lease, now) || self.asking_is_due(now) || !self.old.is_empty()
    }

    /// Before the request goes out.
    pub fn asks(&mut self, channel: Channel, now: Millis) {
        self.rests = now.plus(PATIENCE);
        self.pending = Some(channel);
    }

    /// The channel that was asked for is there, in place of the one before.
    pub fn is_there(&mut self, channel: Channel, replaces: bool, now: Millis) {
        self.pending = None;
        if let Some(before) = self.live.replace(channel).filter(|before| replaces && before.until > now) {
            self.old.push(before);
        }
        (self.tries, self.why, self.rests) = (0, None, Millis(0));
    }

    pub fn failed(&mut self, why: String, rest: Duration, now: Millis) {
        self.pending = None;
        (self.tries, self.why, self.rests) = (self.tries + 1, Some(why), now.plus(rest));
    }

    /// How much of the live channel's life is over; 1 where there is no valid one.
    #[must_use]
    pub fn used(&self, now: Millis) -> f64 {
        let Some(live) = self.live.as_ref().filter(|live| live.until > now) else { return 1.0 };
        let life = live.until.since(live.since).as_secs_f64();
        if life > 0.0 { now.since(live.since).as_secs_f64() / life } else { 1.0 }
    }

    #[must_use]
    pub fn left(&self, now: Millis) -> Duration {
        self.live.as_ref().map_or(Duration::ZERO, |live| live.until.since(now))
    }
}

pub async fn read(ledger: &dyn LedgerReader, source: &SourceId) -> Result<Channels, StageError> {
    let seen = ledger::read(ledger, &ledger::channels_key(source)).await?;
    Ok(seen.map(|seen| seen.value).unwrap_or_default())
}

/// Changes the item as it is by then.
pub async fn change<T>(
    ledger: &dyn Ledger,
    source: &SourceId,
    mut change: impl FnMut(&mut Channels) -> T,
) -> Result<T, StageError> {
    let key = ledger::channels_key(source);
    for _ in 0..100 {
        let seen: Option<ledger::Stored<Channels>> = ledger::read(ledger, &key).await?;
        let mut next = seen.as_ref().map(|seen| seen.value.clone()).unwrap_or_default();
        let made = change(&mut next);
        if seen.as_ref().is_some_and(|seen| seen.value == next) {
            return Ok(made);
        }
        match ledger.transact(vec![ledger::put(key.clone(), &next, ledger::unchanged(seen.as_ref()))]).await {
            Err(LedgerError::Refused { .. }) => {}
            done => return Ok(done.map(|()| made)?),
        }
    }
    Err(StageError::Busy(format!("the lease of '{source}' is changed by too many at once")))
}

/// The sender asks whether a subscription is wanted, and for how long it would be. Yes if that was asked for, is
/// about the same thing, and was not answered long ago.
pub async fn confirm(
    ledger: &dyn Ledger,
    lease: &Lease,
    source: &SourceId,
    topic: &str,
    life: Option<Duration>,
    now: Millis,
) -> Result<bool, StageError> {
    if lease.with["topic"].as_str() != Some(topic) {
        return Ok(false);
    }
    change(ledger, source, |channels| {
        let Some(pending) = channels.pending.clone() else {
            // The answer may have got lost, and the sender asks again.
            return channels.live.as_ref().is_some_and(|live| now.since(live.since) < PATIENCE);
        };
        let until = now.plus(life.unwrap_or(lease.life));
        channels.is_there(Channel { since: now, until, ..pending }, false, now);
        true
    })
    .await
}
