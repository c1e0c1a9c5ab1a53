//! What readers saw, and whether they may have seen it.
//!
//! Owns the judgement, as a value that can be fed anything, so that it can be shown to fail. Equal views are
//! kept once with a count: millions of reads take little room.
//!
//! The rules: no answer fails; an answer, and a paginated listing from first page to last, comes from one
//! version and shows one stamp, which is that version's; a complete listing has exactly the version's rows; a
//! listing is cut off only when its version was really gone; nobody sees a version that was never switched
//! to; every reader has got an answer between any two marks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::client::{Listing, Missed};
use crate::expected::Keys;

/// What a version must show.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub stamp: u64,
    pub keys: Keys,
}

/// Every version that was ever active.
pub type Truth = BTreeMap<u32, Shown>;

#[derive(Clone, Debug, Default)]
pub struct Observations {
    listings: BTreeMap<Listed, u64>,
    rows: BTreeMap<RowSeen, u64>,
    restarts: BTreeMap<(u32, bool), u64>,
    failures: Vec<String>,
    /// Successful reads, by reader.
    answers: BTreeMap<usize, u64>,
    /// `answers` at each mark.
    marks: Vec<BTreeMap<usize, u64>>,
}

/// One way in which a listing looked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    entity: String,
    versions: BTreeSet<u32>,
    stamps: BTreeSet<u64>,
    keys: BTreeSet<String>,
    rows: usize,
    whole: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowSeen {
    entity: String,
    version: u32,
    stamp: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    Failed(String),
    /// Pages of one listing name several versions.
    VersionMoved {
        entity: String,
        versions: BTreeSet<u32>,
    },
    /// One listing shows rows of several listings of the source.
    Mixed {
        entity: String,
        version: u32,
        stamps: BTreeSet<u64>,
    },
    /// An answer in the name of a version shows what belongs to another.
    WrongStamp {
        entity: String,
        version: u32,
        stamp: u64,
        expected: u64,
    },
    MissingRows {
        entity: String,
        version: u32,
        keys: Vec<String>,
    },
    ForeignRows {
        entity: String,
        version: u32,
        keys: Vec<String>,
    },
    RepeatedRows {
        entity: String,
        version: u32,
    },
    /// Nobody ever switched to it.
    NeverActive(u32),
    /// A listing was cut off although its version could still be read.
    CutOff(u32),
    /// A reader got nothing between two marks.
    Silent {
        reader: usize,
        mark: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Observations {
    /// A listing that a reader went through. `really_gone` says, for one that ended with a 410, whether the
    /// version was gone at that moment.
    pub fn listing(&mut self, reader: usize, entity: &str, listing: &Listing, really_gone: bool) {
        let rows = || listing.pages.iter().flat_map(|page| &page.rows);
        match &listing.cut_short {
            None => {}
            Some(Missed::Gone) => {
                let version = listing.pages.first().map_or(0, |page| page.version);
                *self.restarts.entry((version, really_gone)).or_default() += 1;
            }
            Some(Missed::NoRow) => self.failures.push(format!("{entity} is not there")),
            Some(Missed::Failed(why)) => self.failures.push(why.clone()),
        }
        if listing.pages.is_empty() {
            return;
        }
        let listed = Listed {
            entity: entity.to_owned(),
            versions: listing.pages.iter().map(|page| page.version).collect(),
            stamps: rows().map(|row| row.stamp).collect(),
            keys: rows().map(|row| row.key.clone()).collect(),
            rows: rows().count(),
            whole: listing.cut_short.is_none(),
        };
        *self.listings.entry(listed).or_default() += 1;
        *self.answers.entry(reader).or_default() += 1;
    }

    /// A row that is there in every version, and what came when it was asked for.
    pub fn row(&mut self, reader: usize, entity: &str, key: &str, answer: Result<(u32, u64), Missed>) {
        match answer {
            Ok((version, stamp)) => {
                *self.rows.entry(RowSeen { entity: entity.to_owned(), version, stamp }).or_default() += 1;
                *self.answers.entry(reader).or_default() += 1;
            }
            Err(Missed::Failed(why)) => self.failures.push(why),
            Err(missed) => self.failures.push(format!("{entity}/{key}: {missed:?}")),
        }
    }

    /// Successful reads, by reader.
    #[must_use]
    pub fn answers(&self) -> &BTreeMap<usize, u64> {
        &self.answers
    }

    /// From here to the next mark every reader must get an answer.
    pub fn mark(&mut self) {
        self.marks.push(self.answers.clone());
    }

    #[must_use]
    pub fn reads(&self) -> u64 {
        self.answers.values().sum()
    }

    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.values().sum()
    }

    /// Versions that somebody saw.
    #[must_use]
    pub fn versions(&self) -> BTreeSet<u32> {
        let listed = self.listings.keys().flat_map(|listed| listed.versions.iter().copied());
        listed.chain(self.rows.keys().map(|row| row.version)).collect()
    }

    /// Everything that should not have been seen.
    #[must_use]
    pub fn check(&self, truth: &Truth) -> Vec<Violation> {
        let mut found: Vec<Violation> = self.failures.iter().cloned().map(Violation::Failed).collect();
        for listed in self.listings.keys() {
            listed.check(truth, &mut found);
        }
        for row in self.rows.keys() {
            check_stamp(truth, &row.entity, row.version, row.stamp, &mut found);
        }
        found.extend(self.restarts.keys().filter(|(_, gone)| !gone).map(|(version, _)| Violation::CutOff(*version)));
        for (mark, pair) in self.marks.windows(2).enumerate() {
            for (reader, after) in &pair[1] {
                if pair[0].get(reader) == Some(after) {
                    found.push(Violation::Silent { reader: *reader, mark });
                }
            }
        }
        found
    }
}

impl Listed {
    fn check(&self, truth: &Truth, found: &mut Vec<Violation>) {
        let entity = || self.entity.clone();
        let (Some(version), 1) = (self.versions.first().copied(), self.versions.len()) else {
            return found.push(Violation::VersionMoved { entity: entity(), versions: self.versions.clone() });
        };
        if self.stamps.len() > 1 {
            found.push(Violation::Mixed { entity: entity(), version, stamps: self.stamps.clone() });
        }
        if let Some(stamp) = self.stamps.first() {
            check_stamp(truth, &self.entity, version, *stamp, found);
        }
        if self.rows > self.keys.len() {
            found.push(Violation::RepeatedRows { entity: entity(), version });
        }
        let Some(shown) = truth.get(&version) else { return found.push(Violation::NeverActive(version)) };
        let none = BTreeSet::new();
        let expected = shown.keys.get(&self.entity).unwrap_or(&none);
        let keys: Vec<String> = expected.difference(&self.keys).cloned().collect();
        if self.whole && !keys.is_empty() {
            found.push(Violation::MissingRows { entity: entity(), version, keys });
        }
        let keys: Vec<String> = self.keys.difference(expected).cloned().collect();
        if !keys.is_empty() {
            found.push(Violation::ForeignRows { entity: entity(), version, keys });
        }
    }
}

fn check_stamp(truth: &Truth, entity: &str, version: u32, stamp: u64, found: &mut Vec<Violation>) {
    match truth.get(&version) {
        None => found.push(Violation::NeverActive(version)),
        Some(shown) if shown.stamp != stamp => {
            let expected = shown.stamp;
            found.push(Violation::WrongStamp { entity: entity.to_owned(), version, stamp, expected });
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Page, Stamped};

    /// Version 1 has talents 1 to 4 with stamp 10, version 2 talents 2 to 5 with stamp 20.
    fn truth() -> Truth {
        let shown = |stamp, keys: std::ops::Range<u64>| Shown {
            stamp,
            keys: Keys::from([("talents".to_owned(), keys.map(|key| key.to_string()).collect())]),
        };
        Truth::from([(1, shown(10, 1..5)), (2, shown(20, 2..6))])
    }

    fn page(version: u32, stamp: u64, keys: &[u64]) -> Page {
        let rows = keys.iter().map(|key| Stamped { key: key.to_string(), stamp }).collect();
        Page { version, rows, next: None }
    }

    fn judge(pages: Vec<Page>, cut_short: Option<Missed>) -> Vec<Violation> {
        let mut observations = Observations::default();
        observations.listing(0, "talents", &Listing { pages, cut_short }, false);
        observations.check(&truth())
    }

    fn talents() -> String {
        "talents".to_owned()
    }

    #[test]
    fn whole_listings_of_one_version_each_are_as_they_should_be() {
        assert_eq!(judge(vec![page(1, 10, &[1, 2]), page(1, 10, &[3, 4])], None), []);
        assert_eq!(judge(vec![page(2, 20, &[2, 3, 4, 5])], None), []);
    }

    #[test]
    fn a_listing_that_goes_on_in_another_version_is_noticed() {
        let versions = BTreeSet::from([1, 2]);
        let found = judge(vec![page(1, 10, &[1, 2]), page(2, 20, &[3, 4])], None);
        assert_eq!(found, [Violation::VersionMoved { entity: talents(), versions }]);
    }

    #[test]
    fn rows_of_two_listings_under_one_version_are_noticed() {
        let found = judge(vec![page(2, 10, &[2, 3]), page(2, 20, &[4, 5])], None);
        let stamps = BTreeSet::from([10, 20]);
        assert!(found.contains(&Violation::Mixed { entity: talents(), version: 2, stamps }), "{found:?}");
    }

    #[test]
    fn a_version_that_shows_what_belongs_to_another_is_noticed_in_listings_and_rows() {
        let wrong = Violation::WrongStamp { entity: talents(), version: 2, stamp: 10, expected: 20 };
        assert_eq!(judge(vec![page(2, 10, &[2, 3, 4, 5])], None), std::slice::from_ref(&wrong));
        let mut observations = Observations::default();
        observations.row(0, "talents", "2", Ok((2, 10)));
        assert_eq!(observations.check(&truth()), [wrong]);
    }

    #[test]
    fn missing_foreign_and_repeated_rows_are_noticed() {
        let (entity, version) = (talents(), 1);
        assert_eq!(
            judge(vec![page(1, 10, &[1, 2, 4])], None),
            [Violation::MissingRows { entity: entity.clone(), version, keys: vec!["3".to_owned()] }]
        );
        assert_eq!(
            judge(vec![page(1, 10, &[1, 2, 3, 4, 5])], None),
            [Violation::ForeignRows { entity: entity.clone(), version, keys: vec!["5".to_owned()] }]
        );
        assert_eq!(
            judge(vec![page(1, 10, &[1, 2, 2, 3, 4])], None),
            [Violation::RepeatedRows { entity: entity.clone(), version }]
        );
        let mut observations = Observations::default();
        observations.row(0, "talents", "2", Err(Missed::NoRow));
        assert!(matches!(observations.check(&truth())[..], [Violation::Failed(_)]));
    }

    #[test]
    fn a_version_that_was_never_active_and_an_answer_that_failed_are_noticed() {
        assert!(judge(vec![page(3, 30, &[])], None).contains(&Violation::NeverActive(3)));
        let why = "503".to_owned();
        assert_eq!(judge(Vec::new(), Some(Missed::Failed(why.clone()))), [Violation::Failed(why)]);
    }

    #[test]
    fn a_listing_may_be_cut_off_only_when_its_version_is_gone() {
        let listing = Listing { pages: vec![page(1, 10, &[1, 2])], cut_short: Some(Missed::Gone) };
        let mut observations = Observations::default();
        observations.listing(0, "talents", &listing, true);
        assert_eq!(observations.check(&truth()), []);
        observations.listing(0, "talents", &listing, false);
        assert_eq!(observations.check(&truth()), [Violation::CutOff(1)]);
    }

    #[test]
    fn a_reader_that_got_nothing_between_two_marks_is_noticed() {
        let mut observations = Observations::default();
        let read = |observations: &mut Observations, reader| observations.row(reader, "talents", "2", Ok((1, 10)));
        read(&mut observations, 0);
        read(&mut observations, 1);
        observations.mark();
        read(&mut observations, 0);
        observations.mark();
        assert_eq!(observations.check(&truth()), [Violation::Silent { reader: 1, mark: 0 }]);
    }
}
