//! P4, P5 and P10: the rows of every readable generation are those that its raw objects make.
//!
//! Which raw objects those are follows from the ledger: the pages of the listing that it began from, and the
//! change log from its `since` on. What readers see has all of it. One that they left, or that waits, has
//! everything that was replayed into it, and some of what was entered later: until they left, or because a
//! move to it began and came to nothing. Of such changes the rows say themselves which are in, one record at a
//! time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Map, Value as Json};
use teal::domain::{Generation, GenerationId, Millis, RawKey, Reject};
use teal::pipeline::{changelog, ledger};
use teal::ports::BlobError;
use teal::ports::entities::ListQuery;

use super::super::oracle::Promise;
use super::super::oracle::model::Model;
use super::super::system::Mapping;
use super::{Audit, Failed};

type Rows = BTreeMap<i64, Map<String, Json>>;

/// So many changes of one record are tried in all combinations; with more it is unsure.
const MOST_TRIED: usize = 6;

/// A raw object, and which records it is about.
struct Part {
    key: String,
    bytes: Bytes,
    owners: BTreeSet<i64>,
}

/// What a generation is made of.
#[derive(Default)]
struct Parts {
    sure: Vec<Part>,
    /// Changes that may not have reached it.
    maybe: Vec<Part>,
}

/// Which changes are in a generation.
struct Reach {
    /// Everything that was entered before this number.
    before: u64,
    /// Everything that was entered after this time.
    after: Option<Millis>,
}

impl Audit<'_> {
    pub(super) async fn rows_follow_from_raw(&mut self) -> Result<(), Failed> {
        for id in self.readable() {
            let Some(generation) = ledger::generation(self.stores.ledger, &id).await? else {
                return Err(
                    self.broken(Promise::P13, format!("{id} can be read, and nobody knows what it was made from"))
                );
            };
            let mapping = self.mapping(&generation)?;
            let parts = self.parts_of(&generation).await?;
            self.rows_are(&generation, mapping, &parts).await?;
            if self.is_active(&id) {
                self.rejects_are_listed(&generation, mapping, &parts).await?;
            }
            self.seen.generations += 1;
            self.seen.raw += parts.sure.len() + parts.maybe.len();
        }
        Ok(())
    }

    async fn rows_are(&mut self, generation: &Generation, mapping: Mapping, parts: &Parts) -> Result<(), Failed> {
        let id = &generation.id;
        let actual = self.rows_of(id).await?;
        let head = self.stores.entities.head(id).await?;
        self.expect(head.rows == actual.len() as u64, Promise::P5, || {
            format!("{id} counts {} rows and has {}", head.rows, actual.len())
        })?;
        self.seen.rows += actual.len();
        let model = |parts: &mut dyn Iterator<Item = &Part>| {
            let mut model = Model::default();
            parts.for_each(|part| model.take(&part.key, &part.bytes, id.entity.as_str(), mapping, generation.floor.0));
            model.visible()
        };
        let doubtful: BTreeSet<i64> = parts.maybe.iter().flat_map(|part| part.owners.iter().copied()).collect();
        let expected = model(&mut parts.sure.iter());
        let certain = |rows: &Rows| -> Rows {
            rows.iter().filter(|(key, _)| !doubtful.contains(&owner(id, **key))).map(|(k, r)| (*k, r.clone())).collect()
        };
        self.are_the_same(id, &certain(&expected), &certain(&actual))?;
        for record in doubtful {
            let of_record = |rows: &Rows| -> Rows {
                rows.iter().filter(|(key, _)| owner(id, **key) == record).map(|(k, r)| (*k, r.clone())).collect()
            };
            let shown = of_record(&actual);
            let about = |parts: &'_ [Part]| -> Vec<usize> {
                (0..parts.len()).filter(|at| parts[*at].owners.contains(&record)).collect()
            };
            let (sure, maybe) = (about(&parts.sure), about(&parts.maybe));
            if maybe.len() > MOST_TRIED {
                self.seen.unsure += 1;
                continue;
            }
            let fits = (0..1_usize << maybe.len()).any(|chosen| {
                let chosen = maybe.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
                let chosen = chosen.map(|(_, at)| &parts.maybe[*at]);
                of_record(&model(&mut sure.iter().map(|at| &parts.sure[*at]).chain(chosen))) == shown
            });
            self.expect(fits, Promise::P5, || {
                format!("{id} has of record {record} the rows {shown:?}, which no changes up to then make")
            })?;
        }
        Ok(())
    }

    fn are_the_same(&self, id: &GenerationId, expected: &Rows, actual: &Rows) -> Result<(), Failed> {
        let keys: BTreeSet<&i64> = expected.keys().chain(actual.keys()).collect();
        match keys.into_iter().find(|key| expected.get(key) != actual.get(key)) {
            None => Ok(()),
            Some(key) => Err(self.broken(
                Promise::P5,
                format!(
                    "{id} has row {key} as {:?}; its listing and the changes since make {:?}",
                    actual.get(key),
                    expected.get(key)
                ),
            )),
        }
    }

    pub(super) async fn rows_of(&self, id: &GenerationId) -> Result<Rows, Failed> {
        let schema = self.stores.entities.head(id).await?.schema;
        let mut query = ListQuery { limit: ledger::PAGE, ..ListQuery::default() };
        let mut out = Rows::new();
        loop {
            let rows = self.stores.entities.list(id, &query).await?;
            let last = rows.len() < query.limit;
            query.after = rows.last().map(|row| row.key.clone());
            for row in rows {
                if let Json::Object(members) = row.to_json(&schema)
                    && let Some(key) = members["id"].as_i64()
                {
                    out.insert(key, members);
                }
            }
            if last {
                return Ok(out);
            }
        }
    }

    async fn parts_of(&self, generation: &Generation) -> Result<Parts, Failed> {
        let mut parts = Parts::default();
        if let Some(listing) = &generation.listing {
            for raw in self.slots_of(listing, &generation.source).await? {
                parts.sure.push(self.part(generation, raw).await?);
            }
        }
        let reach = self.reach(generation);
        for (number, entry) in
            changelog::entries(self.stores.ledger, &generation.source, generation.since, usize::MAX).await?
        {
            let is_sure = number < reach.before || reach.after.is_some_and(|after| entry.at > after);
            let part = self.part(generation, entry.raw).await?;
            if is_sure { parts.sure.push(part) } else { parts.maybe.push(part) }
        }
        Ok(parts)
    }

    fn reach(&self, generation: &Generation) -> Reach {
        let id = &generation.id;
        let builder = self.manifests.iter().find(|manifest| manifest.version.0 == id.number);
        // An entity that was declared later began empty, with nothing of the log.
        let was_placed = builder.is_some_and(|builder| builder.run.is_none());
        let gap = self.may_lack_changes(id);
        let replayed = builder.filter(|_| !gap && !was_placed);
        let replayed = replayed.and_then(|builder| builder.replayed.get(&generation.source.to_string()).copied());
        if !self.is_active(id) {
            return Reach { before: replayed.unwrap_or(0), after: None };
        }
        match (gap, was_placed) {
            (false, false) => Reach { before: u64::MAX, after: None },
            (true, _) => Reach { before: 0, after: Some(self.pointer.at) },
            (false, true) => Reach { before: 0, after: builder.and_then(|builder| builder.activated) },
        }
    }

    async fn part(&self, generation: &Generation, raw: RawKey) -> Result<Part, Failed> {
        let key = raw.0;
        match self.stores.blobs.get(&key).await {
            Ok(bytes) => Ok(Part { owners: owners(&bytes), key, bytes }),
            Err(BlobError::Missing(_)) => {
                let id = &generation.id;
                Err(self.broken(Promise::P13, format!("{id} can be read, and {key}, which it was made from, is gone")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// P10: a row that could not be made is listed, with its raw object.
    async fn rejects_are_listed(
        &mut self,
        generation: &Generation,
        mapping: Mapping,
        parts: &Parts,
    ) -> Result<(), Failed> {
        let entity = generation.id.entity.as_str();
        let mut model = Model::default();
        parts.sure.iter().for_each(|part| model.take(&part.key, &part.bytes, entity, mapping, generation.floor.0));
        for (raw, records) in &model.rejects {
            let prefix = ledger::rejects_of(raw, Some(&generation.id.entity), &generation.config);
            let listed = ledger::read_all::<Reject>(self.stores.ledger, ledger::REJECT, &prefix).await?;
            self.expect(listed.len() >= records.len(), Promise::P10, || {
                let (all, some) = (records.len(), listed.len());
                format!("{raw} holds {all} rows of {} that can't be mapped, and {some} rejects say so", generation.id)
            })?;
        }
        self.seen.rejects += model.rejects.len();
        Ok(())
    }
}

/// The record that a row belongs to: parts are numbered after their things.
fn owner(id: &GenerationId, row: i64) -> i64 {
    if id.entity.as_str() == "parts" { row.div_euclid(10) } else { row }
}

/// The records that a raw object is about.
fn owners(raw: &Bytes) -> BTreeSet<i64> {
    let end = raw.iter().position(|byte| *byte == b'\n').map_or(raw.len(), |end| end + 1);
    let body: Json = serde_json::from_slice(&raw[end..]).unwrap_or_default();
    match &body["data"] {
        Json::Array(records) => records.iter().filter_map(|record| record["id"].as_i64()).collect(),
        record => record["id"].as_i64().into_iter().collect(),
    }
}
