//! Faults on command: which requests are spoiled, and how.
//!
//! Always holds: rules are tried in the order in which they were set, and the first that applies spoils the
//! request, alone; a rule that is used up goes.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Spot;

/// Which requests a fault meets.
///
/// The next three: `FaultRule::next(3, fault)`. The fifth from now: `FaultRule::nth(5, fault)`. Page 2 of the
/// talents, whenever it is asked for: `FaultRule::page("talents", 2, fault).always()`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    pub fault: Fault,
    /// Only this endpoint, by its name (`talents`).
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Only this page, from 1.
    #[serde(default)]
    pub page: Option<u64>,
    /// Requests of this kind that go through before the fault begins.
    #[serde(default)]
    pub skip: u64,
    /// How many are spoiled then; `null` for every one.
    #[serde(default = "once")]
    pub times: Option<u64>,
}

#[allow(clippy::unnecessary_wraps, reason = "serde wants the member's own type")]
fn once() -> Option<u64> {
    Some(1)
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Fault {
    /// An answer of this status with a JSON error in it.
    Status(u16),
    /// 429.
    TooMany(RetryHint),
    /// A body that ends halfway, although its Content-Length says otherwise.
    Truncated,
    /// 200, with only an `error` in it.
    ErrorInside,
    /// 200, no records, and a claim that more follow.
    EmptyPage,
    /// 200, and the page leads to itself (by page number: the end moves one page further each time).
    Endless,
    /// 200, and half a JSON document.
    InvalidJson,
    /// The right answer, so many milliseconds later.
    Slow(u64),
    /// The connection goes without a byte.
    Drop,
}

/// What a 429 says about when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryHint {
    Missing,
    Seconds(u64),
    /// An HTTP date, so many seconds from the clock's now; may be past.
    Date(i64),
}

/// Faults that the source itself must bend its answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distortion {
    EmptyPage,
    Endless,
}

impl FaultRule {
    /// The next `times` requests.
    #[must_use]
    pub fn next(times: u64, fault: Fault) -> Self {
        Self { fault, endpoint: None, page: None, skip: 0, times: Some(times) }
    }

    /// The k-th request from now, counted from 1.
    #[must_use]
    pub fn nth(k: u64, fault: Fault) -> Self {
        Self { skip: k.saturating_sub(1), ..Self::next(1, fault) }
    }

    /// The next request for a page of an endpoint.
    #[must_use]
    pub fn page(endpoint: &str, page: u64, fault: Fault) -> Self {
        Self { endpoint: Some(endpoint.to_owned()), page: Some(page), ..Self::next(1, fault) }
    }

    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    #[must_use]
    pub fn always(self) -> Self {
        Self { times: None, ..self }
    }

    fn concerns(&self, spot: Option<&Spot>) -> bool {
        self.endpoint.as_ref().is_none_or(|wanted| spot.is_some_and(|spot| spot.endpoint == wanted))
            && self.page.is_none_or(|wanted| spot.is_some_and(|spot| spot.page == wanted))
    }
}

#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<FaultRule>>);

impl Faults {
    pub fn add(&self, rule: FaultRule) {
        self.lock().push(rule);
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The rules that are not used up.
    #[must_use]
    pub fn rules(&self) -> Vec<FaultRule> {
        self.lock().clone()
    }

    /// The fault that this request meets. Counts it in every rule that concerns it up to that one.
    pub(super) fn strike(&self, spot: Option<&Spot>) -> Option<Fault> {
        let mut rules = self.lock();
        let mut struck = None;
        for rule in rules.iter_mut().filter(|rule| rule.concerns(spot)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times != Some(0) {
                rule.times = rule.times.map(|times| times - 1);
                struck = Some(rule.fault.clone());
                break;
            }
        }
        rules.retain(|rule| rule.times != Some(0));
        struck
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<FaultRule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
