//! What can go wrong, how often, and how often it did.
//!
//! Owns the list of faults and the dice. Each kind has dice of its own, so that leaving one kind out shifts no
//! other; a seed turns on about two thirds of the kinds, each at a rate of its own, because faults that always
//! come together hide each other. Owns no effect: whoever asks [`Faults::strikes`] makes the fault happen.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::memory::lock;
use crate::seed::Seed;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident $name:literal once in $often:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])+ $kind,)*
        }

        impl Kind {
            pub const ALL: [Self; [$(Self::$kind),*].len()] = [$(Self::$kind),*];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// Of how many chances one is taken, at the usual rate.
            fn often(self) -> u32 {
                match self { $(Self::$kind => $often,)* }
            }
        }
    };
}

kinds! {
    /// A call takes up to three seconds instead of milliseconds.
    Slow "slow-call" once in 60,
    /// An invocation is silent for longer than any lease lasts, and then goes on as if nothing had happened.
    Stall "stall" once in 900,
    /// The same, right before or after a lease is read or taken.
    StallAtLease "stall-at-lease" once in 100,
    /// A process dies right before it sends a message.
    DieUnsent "die-unsent" once in 120,
    /// A process dies while gates are closed or about to be opened.
    DieAtGate "die-at-gate" once in 40,
    /// A call fails and nothing happened.
    FailBefore "fail-before" once in 150,
    /// A call took effect, and its answer is lost.
    FailAfter "fail-after" once in 150,
    /// A call is made twice, because its sender did not hear the first answer.
    Repeat "repeat" once in 60,
    /// One port is throttled for a while, for everybody.
    Throttle "throttle" once in 900,
    /// A store has no room for a while.
    Full "full" once in 1800,
    /// A process dies with everything that it does, before a call took effect.
    DieBefore "die-before" once in 500,
    /// The same, after it took effect.
    DieAfter "die-after" once in 500,
    /// One invocation runs out of time after a call took effect, and is gone.
    TimeoutAfter "timeout-after" once in 250,
    /// The clock of a process steps.
    ClockStep "clock-step" once in 600,
    /// The clock of a new process is off by up to two seconds.
    ClockSkew "clock-skew" once in 2,
    /// A reader gets the pointer of a moment ago.
    StalePointer "stale-pointer" once in 2,
    /// A message that was deleted comes once more.
    MessageRepeated "message-repeated" once in 12,
    /// A message comes again while its receiver still works on it.
    ShortVisibility "short-visibility" once in 10,
    /// A message comes much later than it was sent.
    MessageLate "message-late" once in 25,
    /// The source answers 500.
    Upstream500 "upstream-500" once in 25,
    /// The source wants fewer requests and says for how short a time.
    Upstream429 "upstream-429" once in 30,
    /// The source wants fewer requests and does not say until when, or names a time that is past.
    Upstream429Vague "upstream-429-vague" once in 50,
    /// The source has no more requests for us for minutes.
    QuotaWindow "quota-window" once in 60,
    /// The source has no more requests for us for longer than anybody wants to wait.
    QuotaLong "quota-long" once in 150,
    /// The source's answer is cut short.
    Truncated "truncated" once in 40,
    /// The source answers 200 with an error inside.
    ErrorInside "error-inside" once in 40,
    /// The source answers with no records and says that more follow.
    EmptyMore "empty-more" once in 80,
    /// The source gives a cursor again that it gave before.
    Circle "circle" once in 80,
    /// The source says 410 in the middle of a listing.
    Gone "gone" once in 150,
    /// The source's error says the key that it was asked with.
    Echo "echoed-key" once in 60,
    /// The source answered, and the answer was lost on the way.
    AnswerLost "answer-lost" once in 40,
    /// The source lists only some of what it has, and calls that complete.
    Lies "lying-listing" once in 12,
    /// A webhook is never sent.
    HookDropped "hook-dropped" once in 8,
    /// A webhook is sent again after it was accepted.
    HookRepeated "hook-repeated" once in 5,
    /// A webhook comes after ones that were sent later.
    HookReordered "hook-reordered" once in 4,
    /// A webhook comes days late.
    HookLate "hook-late" once in 25,
    /// A change shows in listings only a while after the time that it carries.
    LateCommit "late-commit" once in 6,
    /// A record that can't be mapped.
    BadRecord "bad-record" once in 12,
    /// A record is deleted while its source is being listed, so that others move between pages.
    MoveWhileListed "move-while-listed" once in 3,
    /// Two changes of a record carry the same time, and a listing comes between them.
    SameTime "same-time" once in 4,
    /// Upkeep is silent, for so long that whole runs come and go, once it has looked at which versions there are.
    StallInRetention "stall-in-retention" once in 4,
    /// Whoever is about to move the pointer is silent before looking whether somebody else does.
    StallAtSwitch "stall-at-switch" once in 12,
}

/// The dice of one simulation.
#[derive(Debug)]
pub struct Faults {
    dice: Vec<Die>,
    /// Faults stop when so many have struck.
    most: u64,
    struck: AtomicU64,
    /// Calls that failed because of an outage that was counted once.
    also: AtomicU64,
    off: AtomicBool,
}

#[derive(Debug)]
struct Die {
    seed: Mutex<Seed>,
    /// 0: this kind never strikes.
    once_in: u32,
    count: AtomicU64,
}

impl Faults {
    /// The faults of a seed, without the kinds in `without`, at most `most` of them.
    #[must_use]
    pub fn new(seed: &mut Seed, without: &[Kind], most: u64) -> Self {
        let dice = Kind::ALL.map(|kind| {
            let mut own = seed.branch();
            let rate = match own.below(6) {
                0 | 1 => 0,
                2 => kind.often() * 4,
                3 | 4 => kind.often(),
                _ => kind.often().div_ceil(2),
            };
            let once_in = if without.contains(&kind) { 0 } else { rate };
            Die { seed: Mutex::new(own), once_in, count: AtomicU64::new(0) }
        });
        Self {
            dice: dice.into(),
            most,
            struck: AtomicU64::new(0),
            also: AtomicU64::new(0),
            off: AtomicBool::new(false),
        }
    }

    /// Whether this fault happens now. Counted if it does.
    pub fn strikes(&self, kind: Kind) -> bool {
        let die = &self.dice[kind as usize];
        if die.once_in == 0 || self.off.load(Ordering::Relaxed) || !lock(&die.seed).once_in(die.once_in) {
            return false;
        }
        if self.struck.fetch_add(1, Ordering::Relaxed) >= self.most {
            return false;
        }
        die.count.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// A number of this kind's own, for how bad it is.
    pub fn number(&self, kind: Kind, end: u64) -> u64 {
        lock(&self.dice[kind as usize].seed).number() % end.max(1)
    }

    /// Nothing happens for a while.
    pub fn pause(&self, pause: bool) {
        self.off.store(pause, Ordering::Relaxed);
    }

    /// No fault happens from now on.
    pub fn stop(&self) {
        self.off.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn have_stopped(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// How many have struck in all.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed).min(self.most)
    }

    /// One more call failed because of a fault that lasts.
    pub fn struck_again(&self) {
        self.also.fetch_add(1, Ordering::Relaxed);
    }

    /// How many things have gone wrong in all, each failed call counted.
    #[must_use]
    pub fn troubles(&self) -> u64 {
        self.struck() + self.also.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.dice.iter().map(|die| die.count.load(Ordering::Relaxed)).collect()
    }

    /// Kinds that this seed has turned on.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| self.dice[*kind as usize].once_in > 0).collect()
    }
}
