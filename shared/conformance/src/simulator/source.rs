//! Somebody else's system: records that are born, edited and deleted, and listings of them.
//!
//! Owns the truth: what each record was at any time. Listings are by id; a page listing goes by number, so a
//! deletion moves all that follow. A change may carry a time that is rounded down, and may show in listings
//! later than it happened.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use teal::domain::Millis;

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: u64,
    pub rev: u64,
    /// When it changed, as it says itself.
    pub updated: i64,
    /// `None` in a record that can't be mapped.
    pub name: Option<String>,
    pub group: Option<u64>,
    pub parts: Vec<u64>,
}

impl Record {
    #[must_use]
    pub fn json(&self) -> Json {
        json!({
            "id": self.id,
            "rev": self.rev,
            "updated": self.updated,
            "name": self.name,
            "title": self.name.as_ref().map(|name| name.to_uppercase()),
            "group": self.group,
            "parts": self.parts.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
        })
    }
}

/// How a listing goes from page to page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Cursor,
    Page,
}

#[derive(Clone, Debug)]
pub struct Source {
    pub style: Style,
    /// Times that records carry are rounded down to this many milliseconds.
    pub round: i64,
    shown: BTreeMap<u64, Record>,
    /// Changes that don't show yet: when they will, and what.
    coming: Vec<(Millis, Record)>,
    /// Every state that showed, by id: since when, and `None` for gone.
    history: BTreeMap<u64, Vec<(Millis, Option<Record>)>>,
    next_id: u64,
}

/// What a listing asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub since: Option<Millis>,
    pub size: usize,
    pub page: usize,
    pub cursor: Option<u64>,
}

/// One page of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub records: Vec<Record>,
    pub total: usize,
    pub pages: usize,
    pub next: Option<u64>,
}

impl Source {
    #[must_use]
    pub fn new(style: Style, round: i64) -> Self {
        let (shown, history) = (BTreeMap::new(), BTreeMap::new());
        Self { style, round: round.max(1), shown, coming: Vec::new(), history, next_id: 1 }
    }

    pub fn ids(&self) -> Vec<u64> {
        self.shown.keys().copied().collect()
    }

    pub fn get(&self, id: u64) -> Option<&Record> {
        self.shown.get(&id)
    }

    /// A record of this id in its next state, as of `now`; not yet there.
    #[must_use]
    pub fn next_state(&self, id: u64, now: Millis) -> Record {
        let rev = self.history.get(&id).map_or(0, |states| states.len() as u64) + 1;
        let before = self.shown.get(&id);
        Record {
            id,
            rev,
            updated: now.0.div_euclid(self.round) * self.round,
            name: Some(format!("n{rev}")),
            group: before.and_then(|record| record.group),
            parts: before.map_or_else(Vec::new, |record| record.parts.clone()),
        }
    }

    pub fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// From `from` on the record shows in this state.
    pub fn put(&mut self, record: Record, from: Millis) {
        self.coming.push((from, record));
        self.coming.sort_by_key(|(from, _)| *from);
    }

    pub fn delete(&mut self, id: u64, now: Millis) {
        self.coming.retain(|(_, record)| record.id != id);
        if self.shown.remove(&id).is_some() {
            self.history.entry(id).or_default().push((now, None));
        }
    }

    /// Whether a change of this record is on its way.
    #[must_use]
    pub fn is_changing(&self, id: u64) -> bool {
        self.coming.iter().any(|(_, record)| record.id == id)
    }

    /// Lets everything show whose time has come.
    pub fn settle(&mut self, now: Millis) {
        while self.coming.first().is_some_and(|(from, _)| *from <= now) {
            let (from, record) = self.coming.remove(0);
            self.history.entry(record.id).or_default().push((from, Some(record.clone())));
            self.shown.insert(record.id, record);
        }
    }

    #[must_use]
    pub fn page(&self, query: &Query) -> Page {
        let wanted = |record: &&Record| query.since.is_none_or(|since| record.updated >= since.0);
        let all: Vec<&Record> = self.shown.values().filter(wanted).collect();
        let size = query.size.max(1);
        let start = match self.style {
            Style::Page => (query.page.max(1) - 1) * size,
            Style::Cursor => {
                all.iter().position(|record| query.cursor.is_none_or(|c| record.id > c)).unwrap_or(all.len())
            }
        };
        let records: Vec<Record> = all.iter().skip(start).take(size).map(|record| (*record).clone()).collect();
        let more = start + records.len() < all.len();
        let next = records.last().filter(|_| more).map(|record| record.id);
        Page { records, total: all.len(), pages: all.len().div_ceil(size).max(1), next }
    }

    /// Every record, as of now.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.shown.values()
    }

    /// Records that showed, in this one state, over the whole of a time.
    pub fn unchanged_over(&self, from: Millis, to: Millis) -> impl Iterator<Item = &Record> {
        self.history.values().filter_map(move |states| {
            let at = states.iter().rposition(|(since, _)| *since < from)?;
            let next = states.get(at + 1);
            states[at].1.as_ref().filter(|_| next.is_none_or(|(since, _)| *since > to))
        })
    }

    /// Records that showed over the whole of a time, in states that were all right.
    pub fn there_over(&self, from: Millis, to: Millis, right: impl Fn(&Record) -> bool) -> impl Iterator<Item = u64> {
        let is_right = move |state: &Option<Record>| state.as_ref().is_some_and(&right);
        self.history.iter().filter_map(move |(id, states)| {
            let at = states.iter().rposition(|(since, _)| *since < from)?;
            let stays = states[at..].iter().filter(|(since, _)| *since <= to).all(|(_, state)| is_right(state));
            stays.then_some(*id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(style: Style, count: u64) -> Source {
        let mut source = Source::new(style, 1);
        for _ in 0..count {
            let id = source.next_id();
            source.put(source.next_state(id, Millis(10)), Millis(10));
        }
        source.settle(Millis(10));
        source
    }

    #[test]
    fn a_listing_by_cursor_misses_nothing_that_stays() {
        let mut source = source(Style::Cursor, 5);
        let first = source.page(&Query { size: 2, ..Query::default() });
        assert_eq!((first.records.len(), first.next), (2, Some(2)));
        source.delete(1, Millis(20));
        let second = source.page(&Query { size: 2, cursor: first.next, ..Query::default() });
        assert_eq!(second.records.iter().map(|r| r.id).collect::<Vec<_>>(), [3, 4]);
        let last = source.page(&Query { size: 2, cursor: second.next, ..Query::default() });
        assert_eq!((last.records[0].id, last.next), (5, None));
    }

    #[test]
    fn a_deletion_moves_what_follows_in_a_listing_by_number() {
        let mut source = source(Style::Page, 5);
        source.delete(1, Millis(20));
        let page = source.page(&Query { size: 2, page: 2, ..Query::default() });
        assert_eq!(page.records.iter().map(|r| r.id).collect::<Vec<_>>(), [4, 5]);
        assert_eq!((page.total, page.pages), (4, 2));
    }

    #[test]
    fn a_late_commit_shows_later_than_it_says() {
        let mut source = source(Style::Cursor, 1);
        source.put(source.next_state(1, Millis(100)), Millis(150));
        source.settle(Millis(149));
        assert_eq!(source.get(1).map(|r| r.rev), Some(1));
        source.settle(Millis(150));
        assert_eq!(source.get(1).map(|r| (r.rev, r.updated)), Some((2, 100)));
        assert_eq!(source.unchanged_over(Millis(50), Millis(149)).count(), 1);
        assert_eq!(source.unchanged_over(Millis(50), Millis(151)).count(), 0);
        assert_eq!(source.there_over(Millis(50), Millis(151), |_| true).count(), 1);
    }
}
