//! What was asked, counted: per endpoint, per page, in flight, in any second.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::Spot;

/// A copy of the counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Every request but control ones, also refused and failed ones.
    pub requests: u64,
    pub by_endpoint: BTreeMap<String, u64>,
    /// Pages of full listings, by endpoint and page.
    pub pages: BTreeMap<String, BTreeMap<u64, PageCount>>,
    /// Pages of listings that asked for changes only.
    pub changed_pages: BTreeMap<String, BTreeMap<u64, PageCount>>,
    pub in_flight: u64,
    pub most_in_flight: u64,
    /// The most requests that came within any 1,000 ms of the clock.
    pub most_in_a_second: u64,
    /// Requests that the limit turned away.
    pub limited: u64,
    /// Requests without the right key.
    pub unauthorized: u64,
    /// Requests that a fault rule spoiled.
    pub faulted: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PageCount {
    pub asked: u64,
    /// Answered whole and as it should be.
    pub served: u64,
}

impl Counts {
    /// How often each page was served beyond the first time, summed over all full listings.
    #[must_use]
    pub fn pages_served_again(&self) -> u64 {
        self.pages.values().flat_map(BTreeMap::values).map(|page| page.served.saturating_sub(1)).sum()
    }
}

#[derive(Debug, Default)]
pub struct Counters(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    /// Times of the requests of the last second.
    recent: VecDeque<i64>,
}

const SECOND: i64 = 1000;

impl Counters {
    #[must_use]
    pub fn get(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// Starts over; requests that are in flight stay so.
    pub fn reset(&self) {
        let mut state = self.lock();
        let in_flight = state.counts.in_flight;
        state.counts = Counts { in_flight, most_in_flight: in_flight, ..Counts::default() };
        state.recent.clear();
    }

    /// Counts a request, and keeps it in flight until the result is dropped. Also gives how many requests,
    /// this one included, came within the last second.
    pub(super) fn enter(&self, spot: Option<&Spot>, now: i64) -> (InFlight<'_>, u64) {
        let mut state = self.lock();
        while state.recent.front().is_some_and(|time| *time <= now - SECOND) {
            state.recent.pop_front();
        }
        state.recent.push_back(now);
        let within = state.recent.len() as u64;
        let counts = &mut state.counts;
        counts.requests += 1;
        counts.in_flight += 1;
        counts.most_in_flight = counts.most_in_flight.max(counts.in_flight);
        counts.most_in_a_second = counts.most_in_a_second.max(within);
        if let Some(spot) = spot {
            *counts.by_endpoint.entry(spot.endpoint.to_owned()).or_default() += 1;
            counts.page(spot).asked += 1;
        }
        (InFlight(self), within)
    }

    pub(super) fn served(&self, spot: &Spot) {
        self.lock().counts.page(spot).served += 1;
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock().counts);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn page(&mut self, spot: &Spot) -> &mut PageCount {
        let pages = if spot.incremental { &mut self.changed_pages } else { &mut self.pages };
        pages.entry(spot.endpoint.to_owned()).or_default().entry(spot.page).or_default()
    }
}

/// A request on its way.
#[derive(Debug)]
pub struct InFlight<'c>(&'c Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().counts.in_flight -= 1;
    }
}
