//! The three queues, as unkind as a real one: unordered, at least once, with visibility timeouts.
//!
//! Owns what a test host needs on the receiving side too. The time is the world's virtual clock; order
//! and repetition come from a seed. A message is kept in its encoded form, so what a stage gets has gone
//! through the same writing and reading as anywhere else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use async_trait::async_trait;
use teal::domain::{Message, Millis, QueueName};
use teal::ports::queue::MAX_DELAY;
use teal::ports::{Clock, Fault, Outgoing, QueueSender};

use super::lock;
use super::observer::{Observer, Told};
use crate::seed::Seed;

/// The most messages that one receive gives, as on SQS.
const BATCH: usize = 10;
const VISIBILITY: Duration = Duration::from_secs(60);

pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    told: Told,
}

#[derive(Debug)]
struct State {
    seed: Seed,
    shuffle: bool,
    repeat_once_in: u32,
    visibility: Duration,
    next_id: u64,
    lanes: [Lane; QueueName::ALL.len()],
    dead: Vec<(QueueName, String)>,
}

/// One queue.
#[derive(Debug, Default)]
struct Lane {
    /// Ids grow in order of sending.
    waiting: BTreeMap<u64, Waiting>,
    /// When the next message becomes visible, where nothing has changed since that was found.
    next: Option<Option<Millis>>,
}

#[derive(Debug)]
struct Waiting {
    body: String,
    visible: Millis,
    receives: u32,
}

/// One receipt of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub queue: QueueName,
    pub id: u64,
    /// The encoded message, as the body of an SQS record.
    pub body: String,
    /// How often it has been received, this time included.
    pub receives: u32,
}

impl Received {
    /// What the body says. Everything in this queue was encoded by it.
    #[must_use]
    pub fn message(&self) -> Message {
        Message::decode(&self.body).expect("the queue holds only messages that it encoded itself")
    }
}

impl MemoryQueue {
    /// Tells the observer of every change from now on, for as long as somebody else keeps it.
    pub fn observe(&self, observer: &Weak<dyn Observer>) {
        self.told.set(observer.clone());
    }

    /// Shuffles, and hands out again about one in eight messages that were deleted, as a lost delete would.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, seed: Seed) -> Self {
        let state = State {
            seed,
            shuffle: true,
            repeat_once_in: 8,
            visibility: VISIBILITY,
            next_id: 0,
            lanes: Default::default(),
            dead: Vec::new(),
        };
        Self { clock, state: Mutex::new(state), told: Told::default() }
    }

    /// The state, of which a message of this queue is about to change.
    fn changing(&self, queue: QueueName) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.lanes[queue as usize].next = None;
        state
    }

    /// In order of sending, each message once: for tests about something else.
    #[must_use]
    pub fn kind(clock: Arc<dyn Clock>) -> Self {
        let queue = Self::new(clock, Seed(0));
        queue.set_kindness(false, 0);
        queue
    }

    /// `repeat_once_in`: one deleted message in so many comes again; 0 for never.
    pub fn set_kindness(&self, shuffle: bool, repeat_once_in: u32) {
        let mut state = lock(&self.state);
        state.shuffle = shuffle;
        state.repeat_once_in = repeat_once_in;
    }

    /// How long a received message is hidden from others.
    pub fn set_visibility(&self, visibility: Duration) {
        lock(&self.state).visibility = visibility;
    }

    /// Up to `limit`, and never more than ten, of the messages that are visible now; they are hidden for
    /// the visibility timeout and come again if they are not deleted.
    #[must_use]
    pub fn receive(&self, queue: QueueName, limit: usize) -> Vec<Received> {
        let now = self.clock.now();
        let mut state = self.changing(queue);
        let mut ids: Vec<u64> = state.visible(queue, now).collect();
        if state.shuffle {
            state.seed.shuffle(&mut ids);
        }
        ids.truncate(limit.min(BATCH));
        let until = now.plus(state.visibility);
        ids.into_iter()
            .filter_map(|id| {
                let waiting = state.lanes[queue as usize].waiting.get_mut(&id)?;
                waiting.visible = until;
                waiting.receives += 1;
                Some(Received { queue, id, body: waiting.body.clone(), receives: waiting.receives })
            })
            .collect()
    }

    /// The message is done. Now and then this gets lost and the message comes once more.
    pub fn delete(&self, received: &Received) {
        let mut state = self.changing(received.queue);
        let once_in = state.repeat_once_in;
        if !state.seed.once_in(once_in) {
            state.lanes[received.queue as usize].waiting.remove(&received.id);
        }
    }

    /// Every message that waits, in flight or not, in its encoded form.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        lock(&self.state).all().map(|waiting| waiting.body.clone()).collect()
    }

    /// The message failed: it is visible again after `delay`.
    pub fn release(&self, received: &Received, delay: Duration) {
        let visible = self.clock.now().plus(delay);
        let mut state = self.changing(received.queue);
        if let Some(waiting) = state.lanes[received.queue as usize].waiting.get_mut(&received.id) {
            waiting.visible = visible;
        }
    }

    /// The message failed too often: it goes to the dead letters.
    pub fn bury(&self, received: &Received) {
        let mut state = self.changing(received.queue);
        if let Some(waiting) = state.lanes[received.queue as usize].waiting.remove(&received.id) {
            state.dead.push((received.queue, waiting.body));
        }
    }

    #[must_use]
    pub fn dead_letters(&self) -> Vec<(QueueName, String)> {
        lock(&self.state).dead.clone()
    }

    /// Messages that are there, visible or not.
    #[must_use]
    pub fn len(&self, queue: QueueName) -> usize {
        lock(&self.state).lanes[queue as usize].waiting.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.state).all().next().is_none()
    }

    /// When the next message of any queue becomes visible: how far a host may move the clock when it has
    /// nothing to do. In the past when one is visible already.
    #[must_use]
    pub fn next_visible(&self) -> Option<Millis> {
        lock(&self.state).all().map(|waiting| waiting.visible).min()
    }

    /// The same of one queue.
    #[must_use]
    pub fn next_visible_in(&self, queue: QueueName) -> Option<Millis> {
        let mut state = lock(&self.state);
        let Lane { waiting, next } = &mut state.lanes[queue as usize];
        *next.get_or_insert_with(|| waiting.values().map(|waiting| waiting.visible).min())
    }

    /// What an invocation that died leaves: every hidden message is visible again at once.
    pub fn forget_receipts(&self) {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        for lane in &mut state.lanes {
            lane.next = None;
            for waiting in lane.waiting.values_mut().filter(|waiting| waiting.receives > 0) {
                waiting.visible = waiting.visible.min(now);
            }
        }
    }
}

impl fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryQueue").field("state", &self.state).finish_non_exhaustive()
    }
}

impl State {
    fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.lanes.iter().flat_map(|lane| lane.waiting.values())
    }

    fn visible(&self, queue: QueueName, now: Millis) -> impl Iterator<Item = u64> {
        let waiting = self.lanes[queue as usize].waiting.iter();
        waiting.filter(move |(_, waiting)| waiting.visible <= now).map(|(id, _)| *id)
    }
}

#[async_trait]
impl QueueSender for MemoryQueue {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), Fault>> {
        let now = self.clock.now();
        messages
            .into_iter()
            .map(|outgoing| {
                self.told.tell(|observer| observer.sent(&outgoing.message));
                let mut state = self.changing(outgoing.message.queue());
                let id = state.next_id;
                state.next_id += 1;
                let visible = now.plus(outgoing.delay.min(MAX_DELAY));
                let waiting = Waiting { body: outgoing.message.encode(), visible, receives: 0 };
                state.lanes[outgoing.message.queue() as usize].waiting.insert(id, waiting);
                Ok(())
            })
            .collect()
    }
}
