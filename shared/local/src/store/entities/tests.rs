//! Generations as tables: their columns, their bookkeeping, and that the order of changes leaves no trace.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;
use teal::domain::{Absence, Effect, Fence, FieldType, Key, Millis, Order, RecordChange, Row, Value, visible};
use teal::ports::entities::{Compare, Dropped, Filter, Gate, GenerationSpec, ListQuery, Merged, Writer};
use teal::ports::{EntitiesError, EntityAdmin, EntityReader, EntityWriter};

use super::super::TealDb;
use super::super::tests::{field, generation, open, spec, upsert};

struct Store {
    db: Arc<TealDb>,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("teal.db");
    Store { db: open(&path), path, _directory: directory }
}

impl Store {
    fn shell(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    async fn merge(&self, number: u32, slot: &str, changes: &[RecordChange]) -> Merged {
        self.db.merge(&generation("things", number), Writer::Live, slot, changes).await.unwrap()
    }

    async fn keys(&self) -> Vec<Key> {
        let hashes = self.db.hashes(&generation("things", 1), None, 1000).await.unwrap();
        hashes.into_iter().map(|(key, _)| key).collect()
    }
}

/// A generation whose rows are an id and a word, with owners of their own.
fn things(number: u32) -> GenerationSpec {
    let fields = vec![field("id", FieldType::Integer, false), field("word", FieldType::String, false)];
    GenerationSpec { owner_is_key: false, ..spec(generation("things", number), fields) }
}

fn order(stated: i64) -> Order {
    Order { provider: None, stated: Millis(stated), hash: 0 }
}

fn row(id: i64, word: &str) -> Row {
    Row { key: Key::int(id), values: vec![Value::Int(id), Value::Text(word.into())] }
}

fn makes(owner: &str, order: Order, rows: &[(i64, &str)]) -> RecordChange {
    let rows = rows.iter().map(|(id, word)| row(*id, word)).collect();
    RecordChange::new(Key::text(owner), Effect::Upsert { order, rows, complete: true })
}

#[tokio::test]
async fn columns_have_their_fields_names_types_and_order() {
    let store = store();
    let names = ["id", "select", "a \"b\" c", "born", "at", "on", "any"];
    let kinds = [
        FieldType::Integer,
        FieldType::String,
        FieldType::Number,
        FieldType::Date,
        FieldType::Timestamp,
        FieldType::Boolean,
        FieldType::Json,
    ];
    let fields = names.iter().zip(kinds).map(|(name, kind)| field(name, kind, true)).collect();
    store.db.create(spec(generation("odd", 1), fields)).await.unwrap();
    let values = vec![
        Value::Text("it's\u{0}odd".into()),
        Value::Float(2.0),
        Value::Text("1999-12-31".into()),
        Value::Text("1999-12-31T00:00:00.000Z".into()),
        Value::Bool(true),
        Value::Json(json!({"a": [1, 2.5, null]})),
    ];
    let change = upsert(7, 10, values.clone());
    store.db.merge(&generation("odd", 1), Writer::Live, "slot", &[change]).await.unwrap();

    let shell = store.shell();
    let types: String = shell
        .query_row(
            "SELECT typeof(id) || ' ' || typeof(\"select\") || ' ' || typeof(\"a \"\"b\"\" c\") || ' ' || typeof(born)
             || ' ' || typeof(at) || ' ' || typeof(\"on\") || ' ' || typeof(\"any\") FROM odd_v1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(types, "integer text real text text integer text");
    let columns: String =
        shell.query_row("SELECT group_concat(name, '|') FROM pragma_table_info('odd_v1')", [], |r| r.get(0)).unwrap();
    assert!(columns.starts_with("id|select|a \"b\" c|born|at|on|any|_key|"), "{columns}");
    let indexed: i64 = shell
        .query_row("SELECT count(*) FROM pragma_index_list('odd_v1') WHERE origin = 'c'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(indexed, 7);

    let found = store.db.get(&generation("odd", 1), &Key::int(7)).await.unwrap().unwrap();
    assert_eq!(found.values[1..], values);
}

#[tokio::test]
async fn scalars_in_a_json_field_come_back_as_json() {
    let store = store();
    let fields = vec![field("id", FieldType::Integer, false), field("any", FieldType::Json, false)];
    store.db.create(spec(generation("odd", 1), fields)).await.unwrap();
    let scalars = [json!(false), json!(3), json!(3.0), json!("null"), json!(u64::MAX)].map(Value::Json);
    for (id, value) in (0..).zip(scalars.iter().chain([&Value::Null])) {
        let change = upsert(id, 10, vec![value.clone()]);
        store.db.merge(&generation("odd", 1), Writer::Live, "slot", &[change]).await.unwrap();
        let found = store.db.get(&generation("odd", 1), &Key::int(id)).await.unwrap().unwrap();
        assert_eq!(found.values[1], *value);
    }
}

#[tokio::test]
async fn a_value_that_its_column_would_change_is_refused_and_nothing_of_its_merge_is_stored() {
    let store = store();
    let kinds = [("n", FieldType::Number), ("i", FieldType::Integer)];
    let fields = std::iter::once(("id", FieldType::Integer)).chain(kinds).map(|(n, kind)| field(n, kind, false));
    store.db.create(spec(generation("odd", 1), fields.collect())).await.unwrap();
    for bad in [
        vec![Value::Text("1".into()), Value::Null],
        vec![Value::Float(f64::NAN), Value::Null],
        vec![Value::Null, Value::Float(1.5)],
        vec![Value::Null],
    ] {
        let changes = [upsert(1, 10, vec![Value::Null, Value::Null]), upsert(2, 10, bad)];
        let error = store.db.merge(&generation("odd", 1), Writer::Live, "slot", &changes).await.unwrap_err();
        assert!(error.to_string().contains("row 2 of odd_v1"), "{error}");
        assert_eq!(store.db.head(&generation("odd", 1)).await.unwrap().rows, 0);
    }
}

#[tokio::test]
async fn a_redelivered_slot_is_counted_as_the_first_time_and_another_one_as_duplicate() {
    let store = store();
    store.db.create(things(1)).await.unwrap();
    let first = [makes("a", order(10), &[(1, "one")]), makes("b", order(10), &[(2, "two")])];
    let counted = store.merge(1, "slot 1", &first).await;
    assert_eq!(counted, Merged { new: 2, ..Merged::default() });
    let sequence = store.db.head(&generation("things", 1)).await.unwrap().sequence;
    assert_eq!(store.merge(1, "slot 1", &first).await, counted);
    assert_eq!(store.merge(1, "slot 2", &first).await, Merged { duplicate: 2, ..Merged::default() });
    assert_eq!(store.db.head(&generation("things", 1)).await.unwrap().sequence, sequence);

    let second = [makes("a", order(20), &[(1, "uno")]), makes("b", order(20), &[(2, "two")])];
    let counted = store.merge(1, "slot 3", &second).await;
    assert_eq!(counted, Merged { changed: 1, unchanged: 1, ..Merged::default() });
    assert_eq!(store.merge(1, "slot 3", &second).await, counted);
    assert_eq!(store.merge(1, "slot 1", &first).await, Merged { superseded: 2, ..Merged::default() });
}

#[tokio::test]
async fn a_complete_record_hides_the_rows_that_it_has_no_more_but_not_what_another_took_over() {
    let store = store();
    store.db.create(things(1)).await.unwrap();
    store.merge(1, "s", &[makes("a", order(10), &[(1, "x"), (2, "y"), (3, "z")])]).await;
    store.merge(1, "s", &[makes("b", order(15), &[(2, "y")])]).await;
    let counted = store.merge(1, "s", &[makes("a", order(20), &[(3, "z")])]).await;
    assert_eq!(counted, Merged { unchanged: 1, deleted: 1, ..Merged::default() });
    assert_eq!(store.keys().await, [Key::int(2), Key::int(3)]);

    let incomplete =
        RecordChange::new(Key::text("a"), Effect::Upsert { order: order(30), rows: vec![], complete: false });
    assert_eq!(store.merge(1, "s", &[incomplete]).await, Merged::default());
    assert_eq!(store.keys().await, [Key::int(2), Key::int(3)]);
}

#[tokio::test]
async fn two_records_that_make_a_row_with_one_order_leave_the_same_row_whoever_came_first() {
    let store = store();
    let changes = [makes("a", order(10), &[(1, "from a")]), makes("b", order(10), &[(1, "from b")])];
    let mut words = Vec::new();
    for (number, at) in [(1, [0, 1]), (2, [1, 0])] {
        store.db.create(things(number)).await.unwrap();
        for at in at {
            store.merge(number, &at.to_string(), &changes[at..=at]).await;
        }
        let row = store.db.get(&generation("things", number), &Key::int(1)).await.unwrap().unwrap();
        words.push(row.values[1].clone());
    }
    assert_eq!(words[0], words[1]);
}

#[tokio::test]
async fn while_it_builds_a_generation_counts_against_its_base_and_without_one_everything_is_new() {
    let store = store();
    store.db.create(things(1)).await.unwrap();
    store.merge(1, "s", &[makes("a", order(10), &[(1, "same"), (2, "old")])]).await;
    let base = Some(generation("things", 1));
    let changes = [makes("a", order(20), &[(1, "same"), (2, "new"), (3, "fresh")])];
    for (number, base_is_there) in [(2, true), (3, false)] {
        store.db.create(GenerationSpec { base: base.clone(), gate: Gate::Building, ..things(number) }).await.unwrap();
        if !base_is_there {
            store.db.drop_slice(&generation("things", 1), 1).await.unwrap();
        }
        let counted =
            store.db.merge(&generation("things", number), Writer::Build(Fence(1)), "s", &changes).await.unwrap();
        let expected = if base_is_there {
            Merged { new: 1, changed: 1, unchanged: 1, ..Merged::default() }
        } else {
            Merged { new: 3, ..Merged::default() }
        };
        assert_eq!(counted, expected);
        assert_eq!(store.db.head(&generation("things", number)).await.unwrap().sequence, 1);
    }
}

#[tokio::test]
async fn dropping_goes_in_slices_unreadable_from_the_first_and_leaves_no_table() {
    let store = store();
    let id = generation("things", 1);
    store.db.create(things(1)).await.unwrap();
    let changes: Vec<_> = (0..25).map(|id| makes(&format!("owner {id}"), order(10), &[(id, "x")])).collect();
    store.merge(1, "s", &changes).await;
    assert_eq!(store.db.drop_slice(&id, 10).await.unwrap(), Dropped::More);
    let left: i64 = store.shell().query_row("SELECT count(*) FROM things_v1", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 15);
    assert!(matches!(store.db.head(&id).await, Err(EntitiesError::NoGeneration(_))));
    assert!(matches!(store.db.merge(&id, Writer::Live, "s", &[]).await, Err(EntitiesError::NoGeneration(_))));
    assert_eq!(store.db.generations().await.unwrap(), std::slice::from_ref(&id));
    assert_eq!(store.db.drop_slice(&id, 10).await.unwrap(), Dropped::More);
    assert_eq!(store.db.drop_slice(&id, 10).await.unwrap(), Dropped::Gone);
    assert_eq!(store.db.drop_slice(&id, 10).await.unwrap(), Dropped::Gone);
    let tables: i64 = store
        .shell()
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'things%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn a_generation_made_again_has_its_new_schema() {
    let store = store();
    let id = generation("things", 1);
    store.db.create(things(1)).await.unwrap();
    store.merge(1, "s", &[makes("a", order(10), &[(1, "x")])]).await;
    assert_eq!(store.db.drop_slice(&id, 10).await.unwrap(), Dropped::Gone);
    store.db.create(spec(id.clone(), vec![field("id", FieldType::Integer, false)])).await.unwrap();
    store.db.merge(&id, Writer::Live, "s", &[upsert(5, 10, vec![])]).await.unwrap();
    let rows = store.db.list(&id, &ListQuery { limit: 9, ..ListQuery::default() }).await.unwrap();
    assert_eq!(rows, [Row { key: Key::int(5), values: vec![Value::Int(5)] }]);
}

#[tokio::test]
async fn a_filter_uses_the_index_and_pages_in_key_order() {
    let store = store();
    let fields = vec![field("id", FieldType::Integer, false), field("word", FieldType::String, true)];
    let id = generation("words", 1);
    store.db.create(spec(id.clone(), fields)).await.unwrap();
    let words = (0..20).map(|id| upsert(id, 10, vec![Value::Text(if id % 2 == 0 { "even" } else { "odd" }.into())]));
    store.db.merge(&id, Writer::Live, "s", &words.collect::<Vec<_>>()).await.unwrap();
    let filter = |field: &str, value| Filter { field: field.into(), compare: Compare::Equal, value };
    let query = |after, filter| ListQuery { after, limit: 3, filters: vec![filter] };
    let list = async |query| store.db.list(&id, &query).await;
    let odd = query(Some(Key::int(5)), filter("word", Value::Text("odd".into())));
    let keys: Vec<_> = list(odd).await.unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(keys, [Key::int(7), Key::int(9), Key::int(11)]);
    assert_eq!(list(query(None, filter("word", Value::Int(1)))).await.unwrap(), []);
    assert_eq!(list(query(None, filter("word", Value::Null))).await.unwrap(), []);
    assert!(list(query(None, filter("id", Value::Int(1)))).await.is_err());
    assert!(list(query(None, filter("nope\" OR 1=1 --", Value::Int(1)))).await.is_err());

    let plan: String = store
        .shell()
        .query_row(
            "EXPLAIN QUERY PLAN SELECT _key FROM words_v1 WHERE _visible = 1 AND word = 'odd' AND _key > 'b5'
             ORDER BY _key LIMIT 3",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("words_v1:word"), "{plan}");
}

#[tokio::test]
async fn an_index_follows_its_field_and_survives_changes_of_the_others() {
    let store = store();
    let id = generation("words", 1);
    let fields = vec![
        field("id", FieldType::Integer, false),
        field("word", FieldType::String, true),
        field("size", FieldType::Number, true),
        field("note", FieldType::String, false),
    ];
    store.db.create(spec(id.clone(), fields)).await.unwrap();
    let text = |text: &str| Value::Text(text.into());
    let states = [("a", 0.0, "x"), ("a", 0.0, "y"), ("b", 0.0, "y"), ("b", -0.0, "y"), ("b", 2.5, "z")];
    for (at, (word, size, note)) in (10..).zip(states) {
        let values = vec![text(word), Value::Float(size), text(note)];
        store.db.merge(&id, Writer::Live, &at.to_string(), &[upsert(1, at, values.clone())]).await.unwrap();
        assert_eq!(store.db.get(&id, &Key::int(1)).await.unwrap().unwrap().values[1..], values);
        for other in ["a", "b"] {
            let filters = vec![Filter { field: "word".into(), compare: Compare::Equal, value: text(other) }];
            let found = store.db.list(&id, &ListQuery { after: None, limit: 9, filters }).await.unwrap();
            assert_eq!(found.len(), usize::from(word == other), "{word} by {other}");
        }
    }
    let intact: String = store.shell().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok");
}

#[derive(Clone, Debug)]
struct Batch {
    slot: u8,
    changes: Vec<RecordChange>,
}

fn any_change() -> impl Strategy<Value = RecordChange> {
    let order = (proptest::option::of(0i64..3), 0i64..6, 0u64..2).prop_map(|(provider, stated, hash)| Order {
        provider,
        stated: Millis(stated),
        hash,
    });
    let rows = proptest::collection::btree_map(0i64..4, "[ab]", 0..3);
    let effect = prop_oneof![
        3 => (order, rows, proptest::bool::weighted(0.8)).prop_map(|(order, rows, complete)| Effect::Upsert {
            order,
            rows: rows.into_iter().map(|(id, word)| row(id, &word)).collect(),
            complete,
        }),
        1 => (proptest::option::of(0i64..3), 0i64..6)
            .prop_map(|(provider, stated)| Effect::Delete { provider, stated: Millis(stated) }),
    ];
    ("[xyz]", effect).prop_map(|(owner, effect)| RecordChange::new(Key::text(owner), effect))
}

/// The changes, with some repeated, in another order, in batches.
fn shuffled(changes: Vec<RecordChange>) -> impl Strategy<Value = Vec<Batch>> {
    let repeated: Vec<_> = changes.iter().chain(changes.iter().step_by(2)).cloned().collect();
    Just(repeated).prop_shuffle().prop_flat_map(|changes| {
        (Just(changes), 1usize..5).prop_map(|(changes, size)| {
            let batch = |(slot, changes): (u8, &[RecordChange])| Batch { slot: slot % 3, changes: changes.to_vec() };
            (0u8..).zip(changes.chunks(size)).map(batch).collect()
        })
    })
}

/// The same where a record makes the row of its own key or none.
fn any_change_of_its_own_row() -> impl Strategy<Value = RecordChange> {
    (any_change(), 0i64..3).prop_map(|(mut change, id)| {
        change.owner = Key::int(id);
        if let Effect::Upsert { rows, .. } = &mut change.effect {
            let word = rows.first().map(|row| row.values[1].clone());
            *rows =
                word.into_iter().map(|word| Row { key: Key::int(id), values: vec![Value::Int(id), word] }).collect();
        }
        change
    })
}

fn two_ways(
    change: impl Strategy<Value = RecordChange>,
) -> impl Strategy<Value = (Vec<RecordChange>, Vec<Batch>, Vec<Batch>)> {
    proptest::collection::vec(change, 1..14)
        .prop_flat_map(|changes| (Just(changes.clone()), shuffled(changes.clone()), shuffled(changes)))
}

/// Everything of the rows and owners that is no counting: what must not depend on the way.
type Table = (Vec<(String, String, Vec<u8>, i64, bool, i64, String)>, Vec<(String, Absence)>);

const FLOOR: i64 = 1;

/// Merges into a new generation, checks its head and counts, and gives the table.
async fn merged(store: &Store, number: u32, owner_is_key: bool, batches: &[Batch]) -> Table {
    let id = generation("things", number);
    store.db.create(GenerationSpec { floor: Millis(FLOOR), owner_is_key, ..things(number) }).await.unwrap();
    for batch in batches {
        let before = store.db.head(&id).await.unwrap();
        let counted = store.merge(number, &batch.slot.to_string(), &batch.changes).await;
        let rows = |change: &RecordChange| match &change.effect {
            Effect::Upsert { rows, .. } => rows.len() as u64,
            Effect::Delete { .. } => 0,
        };
        let Merged { new, changed, unchanged, superseded, duplicate, .. } = counted;
        assert_eq!(new + changed + unchanged + superseded + duplicate, batch.changes.iter().map(rows).sum::<u64>());
        let after = store.db.head(&id).await.unwrap();
        let moved = (before.rows, before.sum) != (after.rows, after.sum);
        assert_eq!(after.sequence, before.sequence + u64::from(moved));
    }
    let hashes = store.db.hashes(&id, None, 100).await.unwrap();
    let head = store.db.head(&id).await.unwrap();
    assert_eq!(head.rows, hashes.len() as u64);
    assert_eq!(head.sum, hashes.iter().fold(0, |sum: u64, (_, hash)| sum.wrapping_add(hash.0)));
    for (key, hash) in &hashes {
        assert_eq!(store.db.get(&id, key).await.unwrap().unwrap().hash(), *hash);
    }
    table(&store.shell(), &id.to_string(), if owner_is_key { "_key" } else { "_owner" })
}

fn table(shell: &Connection, name: &str, owner: &str) -> Table {
    let sql = format!("SELECT _key, {owner}, _order, _hash, _visible, id, word FROM {name} ORDER BY _key");
    let mut rows = shell.prepare(&sql).unwrap();
    let rows = rows
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
        })
        .unwrap();
    let sql = format!("SELECT * FROM {name}_owners ORDER BY _owner");
    let mut owners = shell.prepare(&sql).unwrap();
    let owners = owners
        .query_map([], |row| {
            let listed: Option<Vec<u8>> = row.get(1)?;
            let deleted: Option<i64> = row.get(2)?;
            let absence = Absence {
                listed: listed.and_then(|listed| Order::decode(&listed)),
                deleted: deleted.zip(row.get::<_, Option<i64>>(3)?.map(Millis)),
                deleted_at: row.get::<_, Option<i64>>(4)?.map(Millis),
            };
            Ok((row.get(0)?, absence))
        })
        .unwrap();
    (rows.collect::<Result<_, _>>().unwrap(), owners.collect::<Result<_, _>>().unwrap())
}

/// The visible rows that `domain::order` says, computed from the set of changes alone.
fn expected(changes: &[RecordChange]) -> BTreeMap<String, String> {
    let mut absences: BTreeMap<&Key, Absence> = BTreeMap::new();
    let mut newest: BTreeMap<&Key, (Order, String, u64, &Row, &Key)> = BTreeMap::new();
    for RecordChange { owner, effect, .. } in changes {
        let said = match effect {
            Effect::Delete { provider, stated } => Absence::deleted(*provider, *stated),
            Effect::Upsert { order, .. } if order.stated.0 < FLOOR => continue,
            Effect::Upsert { order, rows, complete } => {
                for row in rows {
                    let candidate = (*order, owner.encode(), row.hash().0, row, owner);
                    let best = newest.entry(&row.key).or_insert_with(|| candidate.clone());
                    if (candidate.0, &candidate.1, candidate.2) > (best.0, &best.1, best.2) {
                        *best = candidate;
                    }
                }
                if *complete { Absence::listed(*order) } else { Absence::default() }
            }
        };
        let known = absences.entry(owner).or_default();
        *known = known.join(said);
    }
    let shows = |(_, (order, _, _, _, owner)): &(&&Key, &(Order, String, u64, &Row, &Key))| {
        visible(order, &absences.get(*owner).copied().unwrap_or_default(), Millis(FLOOR))
    };
    let shown = newest.iter().filter(shows).map(|(key, (_, _, _, row, _))| {
        let Value::Text(word) = &row.values[1] else { panic!("things have words") };
        (key.encode(), word.clone())
    });
    shown.collect()
}

fn leaves_one_table(
    owner_is_key: bool,
    (changes, one, other): &(Vec<RecordChange>, Vec<Batch>, Vec<Batch>),
) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = store();
    let one = runtime.block_on(merged(&store, 1, owner_is_key, one));
    let other = runtime.block_on(merged(&store, 2, owner_is_key, other));
    prop_assert_eq!(&one, &other);
    let visible: BTreeMap<_, _> = one.0.into_iter().filter(|row| row.4).map(|row| (row.0, row.6)).collect();
    prop_assert_eq!(visible, expected(changes));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_order_batching_and_repetition_leaves_the_same_table(ways in two_ways(any_change())) {
        leaves_one_table(false, &ways)?;
    }

    #[test]
    fn so_it_does_where_a_rows_key_is_its_records(ways in two_ways(any_change_of_its_own_row())) {
        leaves_one_table(true, &ways)?;
    }
}
