//! What the stage remembers as long as its process lives: how much was asked of it lately, and certificates.
//!
//! Always holds: nothing here decides what is stored; a process that begins with an empty memory is as right.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::domain::Millis;

#[derive(Debug, Default)]
pub struct Memory(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By what is limited: when it would be free of all that was let through.
    free_at: BTreeMap<String, i64>,
    certificates: BTreeMap<String, Bytes>,
}

/// So much at once is let through before spacing begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

impl Rate {
    /// A second's worth at once, and one at least.
    pub(super) fn of(per_second: f64) -> Self {
        Self { per_second, burst: per_second.max(1.0) }
    }
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one more through, or says after how long one may come again. A clock that was put back by more than the
    /// burst takes begins anew.
    pub(super) fn admit(&self, what: &str, rate: Rate, now: Millis) -> Result<(), Duration> {
        // In microseconds, so that a thousand a second are a thousand.
        let now = now.0.saturating_mul(1000);
        let step = (1e6 / rate.per_second).ceil() as i64;
        let slack = (step as f64 * (rate.burst - 1.0)) as i64;
        let mut kept = self.kept();
        let free_at = kept.free_at.get(what).copied().unwrap_or(now).max(now);
        let free_at = if free_at - now > slack.saturating_add(2 * step) { now } else { free_at };
        match free_at - now - slack {
            wait if wait > 0 => Err(Duration::from_micros(wait.unsigned_abs())),
            _ => {
                kept.free_at.insert(what.to_owned(), free_at + step);
                Ok(())
            }
        }
    }

    pub(super) fn certificate(&self, url: &str) -> Option<Bytes> {
        self.kept().certificates.get(url).cloned()
    }

    pub(super) fn keep_certificate(&self, url: &str, pem: Bytes, most: usize) {
        let mut kept = self.kept();
        if kept.certificates.len() >= most {
            kept.certificates.clear();
        }
        kept.certificates.insert(url.to_owned(), pem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lets_through_what_the_limit_says_and_no_more() {
        for per_second in [0.5, 1.0, 7.0, 1000.0] {
            let memory = Memory::default();
            let mut through = 0;
            for at in 0..60_000 {
                through += u32::from(memory.admit("a", Rate::of(per_second), Millis(1_000_000 + at)).is_ok());
            }
            let most = per_second * 60.0 + per_second.max(1.0);
            assert!((most * 0.95 - 1.0..=most).contains(&f64::from(through)), "{per_second}: {through}");
        }
    }

    #[test]
    fn who_waits_as_long_as_told_gets_through_and_another_source_is_not_kept_waiting() {
        let memory = Memory::default();
        let rate = Rate::of(0.25);
        memory.admit("a", rate, Millis(0)).unwrap();
        let wait = memory.admit("a", rate, Millis(1)).unwrap_err();
        memory.admit("b", rate, Millis(1)).unwrap();
        let at = Millis(1 + i64::try_from(wait.as_millis()).unwrap() + 1);
        memory.admit("a", rate, at).unwrap();
    }

    #[test]
    fn a_clock_that_was_put_back_keeps_nobody_out() {
        let memory = Memory::default();
        memory.admit("a", Rate::of(1.0), Millis(86_400_000)).unwrap();
        memory.admit("a", Rate::of(1.0), Millis(0)).unwrap();
    }
}
