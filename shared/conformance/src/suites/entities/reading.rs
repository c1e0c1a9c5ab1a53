//! What readers get: rows as they were written, in key order, in pages, by filter.

use std::sync::Arc;

use serde_json::json;
use teal::domain::{EntityName, Field, FieldType, GenerationId, Key, KeyPart, Row, Schema, Value};
use teal::ports::EntitiesError;
use teal::ports::entities::{Compare, Filter, Gate, GenerationSpec, ListQuery, Writer};
use teal::ports::fault::FaultKind;

use super::fixtures::*;
use super::{EntitiesHarness, EntityStore};

async fn store_rows(store: &dyn EntityStore, rows: &[Row]) {
    let changes: Vec<_> =
        rows.iter().zip(0..).map(|(row, owner)| upsert(owner, stated(110), std::slice::from_ref(row))).collect();
    let merged = live(store, "rows", &changes).await;
    assert_eq!(merged.new, rows.len() as u64);
}

fn filter(field: &str, compare: Compare, value: Value) -> Filter {
    Filter { field: field.to_owned(), compare, value }
}

async fn matching(store: &dyn EntityStore, filters: Vec<Filter>) -> Vec<Key> {
    let query = ListQuery { filters, limit: 100, after: None };
    store.list(&generation(1), &query).await.unwrap().into_iter().map(|row| row.key).collect()
}

fn keys(ids: &[i64]) -> Vec<Key> {
    ids.iter().copied().map(Key::int).collect()
}

pub async fn every_type_of_value_comes_back_as_it_was(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let jsons = [
        json!({"b": 1, "a": [null, true, 1.5, {"": "🦆"}], "big": u64::MAX}),
        json!([]),
        json!({}),
        json!("bare text"),
        json!("12"),
        json!(12),
        json!(1.0),
        json!(false),
    ];
    let mut values: Vec<(&str, Value)> = jsons.into_iter().map(|json| ("extra", Value::Json(json))).collect();
    for text in ["", " ", "12", "1e3", "null", "it's \"quoted\"; --", "a\0b\n\u{1}\u{2}", "Grüße 日本 🦆", "e\u{301}"]
    {
        values.push(("name", Value::Text(text.to_owned())));
    }
    values.push(("name", Value::Text("long ".repeat(20_000))));
    for number in [0.0, 1.0, -1.0, 0.1, 1e15, 9_007_199_254_740_993.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324] {
        values.push(("score", Value::Float(number)));
    }
    for integer in [i64::MIN, i64::MIN + 1, -1, 0, 1, 9_007_199_254_740_993, i64::MAX] {
        values.push(("rank", Value::Int(integer)));
    }
    values.extend([("active", Value::Bool(true)), ("active", Value::Bool(false)), ("active", Value::Null)]);
    values.push(("born", text("1931-02-28")));
    values.push(("seen", text("2030-01-01T00:00:00.000Z")));
    let mut rows: Vec<Row> = values.into_iter().zip(1..).map(|(value, id)| row_with(id, &[value])).collect();
    rows.insert(0, row_with(i64::MIN, &[]));
    rows.push(row_with(i64::MAX, &[]));
    store_rows(&*store, &rows).await;
    for row in &rows {
        assert_eq!(store.get(&id, &row.key).await.unwrap().as_ref(), Some(row));
    }
    assert_eq!(all(&*store, &id).await, rows);
    assert_head_is_true(&*store, &id).await;
}

pub async fn only_visible_rows_are_read(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    store_rows(&*store, &[row(1, "Ada"), row(2, "Bo"), row(3, "Cy")]).await;
    live(&*store, "s", &[delete(1, 900)]).await;
    assert_eq!(store.get(&id, &Key::int(2)).await.unwrap(), None);
    assert_eq!(store.get(&id, &Key::int(7)).await.unwrap(), None, "a key that never was");
    assert_eq!(store.get(&id, &Key::text("1")).await.unwrap(), None, "a text is not the integer that it looks like");
    assert_eq!(all(&*store, &id).await, [row(1, "Ada"), row(3, "Cy")]);
    assert_eq!(store.hashes(&id, None, 10).await.unwrap().len(), 2);
    let query = ListQuery { limit: 2, ..ListQuery::default() };
    assert_eq!(store.list(&id, &query).await.unwrap().len(), 2, "a hidden row takes no place in a page");
}

pub async fn rows_are_listed_in_key_order(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let in_order = [i64::MIN, -1000, -999, -10, -9, -1, 0, 1, 2, 9, 10, 99, 100, i64::MAX];
    let rows: Vec<Row> = in_order.iter().rev().map(|n| row(*n, "Ada")).collect();
    store_rows(&*store, &rows).await;
    let found: Vec<Key> = all(&*store, &id).await.into_iter().map(|row| row.key).collect();
    assert_eq!(found, keys(&in_order));
    let hashed: Vec<Key> = store.hashes(&id, None, 100).await.unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(hashed, keys(&in_order));
}

pub async fn keys_of_text_and_of_several_parts_keep_their_order(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let field = |name: &str, kind| Field { name: name.to_owned(), kind, required: true, index: false };
    let schema = Schema {
        entity: EntityName::new("labels"),
        fields: vec![field("language", FieldType::String), field("number", FieldType::Integer)],
        key: vec!["language".to_owned(), "number".to_owned()],
        relations: Vec::new(),
    };
    let id = GenerationId { entity: schema.entity.clone(), number: 1 };
    let spec = GenerationSpec { id: id.clone(), schema: Arc::new(schema.clone()), ..spec(1, Gate::Open) };
    store.create(spec).await.unwrap();
    let texts = ["", "\u{0}", "\u{1}", "\u{2}", " ", "A", "a", "a\u{0}", "a ", "a:b", "aa", "b", "~", "é", "日", "🦆"];
    let rows: Vec<Row> = texts
        .iter()
        .flat_map(|text| [-2i64, 0, 10].map(|number| vec![Value::Text((*text).to_owned()), Value::Int(number)]))
        .map(|values| Row { key: schema.key_of(&values).unwrap(), values })
        .collect();
    let changes: Vec<_> =
        rows.iter().rev().zip(0..).map(|(row, n)| upsert(n, stated(110), std::slice::from_ref(row))).collect();
    store.merge(&id, Writer::Live, "s", &changes).await.unwrap();
    assert_eq!(all(&*store, &id).await, rows);
    for row in &rows {
        assert_eq!(store.get(&id, &row.key).await.unwrap().as_ref(), Some(row));
    }
    let after = Key::new(vec![KeyPart::Text("a".to_owned()), KeyPart::Int(3)]);
    let query = ListQuery { after, limit: 2, filters: Vec::new() };
    let expected: Vec<Row> =
        rows.iter().skip_while(|row| row.key < *query.after.as_ref().unwrap()).take(2).cloned().collect();
    assert_eq!(store.list(&id, &query).await.unwrap(), expected);
}

pub async fn a_listing_can_be_cut_and_continued(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let rows: Vec<Row> = (0..11).map(|n| row(n * 2, "Ada")).collect();
    store_rows(&*store, &rows).await;
    for limit in [1, 3, 11, 50] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery { after: after.clone(), limit, filters: Vec::new() };
            let page = store.list(&id, &query).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            seen.extend(page);
            assert!(seen.len() <= rows.len(), "the listing does not end");
        }
        assert_eq!(seen, rows, "pages of {limit}");
    }
    let query = ListQuery { after: Some(Key::int(5)), limit: 1, filters: Vec::new() };
    assert_eq!(store.list(&id, &query).await.unwrap(), [row(6, "Ada")], "`after` need not be there");
    let query = ListQuery { after: Some(Key::int(99)), limit: 5, filters: Vec::new() };
    assert!(store.list(&id, &query).await.unwrap().is_empty());
    assert!(store.list(&id, &ListQuery::default()).await.unwrap().is_empty(), "a limit of zero gives nothing");
}

pub async fn filters_compare_by_the_fields_type(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    open(&*store).await;
    let talent = |id, name: &str, score: f64, active, born: &str, rank| {
        let values = [
            ("name", text(name)),
            ("score", Value::Float(score)),
            ("active", Value::Bool(active)),
            ("born", text(born)),
            ("rank", Value::Int(rank)),
        ];
        row_with(id, &values)
    };
    let rows = [
        talent(1, "Zoe", -1.5, true, "1999-12-31", 9),
        talent(2, "ada", 9.0, false, "2000-01-01", 10),
        talent(3, "ada b", 10.0, true, "2000-01-01", -10),
        talent(4, "Ädele", 10.5, false, "2010-06-15", i64::MAX),
    ];
    store_rows(&*store, &rows).await;
    let cases = [
        (filter("name", Compare::Equal, text("ada")), vec![2]),
        (filter("name", Compare::Equal, text("ADA")), vec![]),
        (filter("name", Compare::Equal, text("a%")), vec![]),
        (filter("name", Compare::Less, text("ada")), vec![1]),
        (filter("name", Compare::Greater, text("ada")), vec![3, 4]),
        (filter("score", Compare::Greater, Value::Float(9.0)), vec![3, 4]),
        (filter("score", Compare::GreaterOrEqual, Value::Float(10.0)), vec![3, 4]),
        (filter("score", Compare::Less, Value::Float(10.0)), vec![1, 2]),
        (filter("score", Compare::Equal, Value::Float(-1.5)), vec![1]),
        (filter("active", Compare::Equal, Value::Bool(true)), vec![1, 3]),
        (filter("active", Compare::Equal, Value::Bool(false)), vec![2, 4]),
        (filter("born", Compare::LessOrEqual, text("2000-01-01")), vec![1, 2, 3]),
        (filter("born", Compare::Less, text("2000-01-01")), vec![1]),
        (filter("rank", Compare::Greater, Value::Int(9)), vec![2, 4]),
        (filter("rank", Compare::LessOrEqual, Value::Int(9)), vec![1, 3]),
        (filter("rank", Compare::Equal, Value::Int(i64::MAX)), vec![4]),
        (filter("rank", Compare::Equal, Value::Int(i64::MAX - 1)), vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(matching(&*store, vec![filter.clone()]).await, keys(&expected), "{filter:?}");
    }
    let both = vec![
        filter("rank", Compare::Greater, Value::Int(-11)),
        filter("rank", Compare::Less, Value::Int(10)),
        filter("name", Compare::Greater, text("a")),
    ];
    assert_eq!(matching(&*store, both).await, keys(&[3]), "all filters must hold");
}

pub async fn a_null_fits_no_filter(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    open(&*store).await;
    store_rows(&*store, &[row_with(1, &[]), row_with(2, &[("rank", Value::Int(5))])]).await;
    for (compare, value, expected) in [
        (Compare::Less, 9, vec![2]),
        (Compare::LessOrEqual, 5, vec![2]),
        (Compare::Greater, i64::MIN, vec![2]),
        (Compare::GreaterOrEqual, 5, vec![2]),
        (Compare::Equal, 0, vec![]),
    ] {
        let found = matching(&*store, vec![filter("rank", compare, Value::Int(value))]).await;
        assert_eq!(found, keys(&expected), "{compare:?} {value}");
    }
}

pub async fn filters_and_pages_go_together(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let rows: Vec<Row> = (0..30).map(|n| row_with(n, &[("rank", Value::Int(n % 3))])).collect();
    store_rows(&*store, &rows).await;
    live(&*store, "s", &[delete(1, 900), delete(3, 900)]).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filters = vec![filter("rank", Compare::Equal, Value::Int(1))];
        let query = ListQuery { after: after.clone(), limit: 4, filters };
        let page = store.list(&id, &query).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() == 4 || last.key == Key::int(28), "a page is full while there are rows");
        after = Some(last.key.clone());
        seen.extend(page.into_iter().map(|row| row.key));
        assert!(seen.len() <= rows.len(), "the listing does not end");
    }
    assert_eq!(seen, keys(&[4, 7, 10, 13, 16, 19, 22, 25, 28]));
}

pub async fn a_filter_needs_an_index(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    for field in ["boss", "nonsense", "name\" = '' OR 1=1 --", ""] {
        let query = ListQuery { filters: vec![filter(field, Compare::Equal, Value::Int(1))], limit: 1, after: None };
        match store.list(&id, &query).await {
            Err(EntitiesError::Fault(fault)) => assert_eq!(fault.kind, FaultKind::Permanent, "{fault}"),
            other => panic!("filtering by {field:?} should be refused, got {other:?}"),
        }
    }
}

pub async fn hashes_are_those_of_the_rows(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let rows: Vec<Row> = (0..7).map(|n| row(n, &format!("name {n}"))).collect();
    store_rows(&*store, &rows).await;
    let expected: Vec<_> = rows.iter().map(|row| (row.key.clone(), row.hash())).collect();
    assert_eq!(store.hashes(&id, None, 100).await.unwrap(), expected);
    assert_eq!(store.hashes(&id, Some(&Key::int(2)), 3).await.unwrap(), expected[3..6]);
    assert_eq!(store.hashes(&id, Some(&Key::int(6)), 3).await.unwrap(), []);
    assert_eq!(store.hashes(&id, None, 0).await.unwrap(), []);
}

pub async fn dangling_values_are_found_in_slices(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let boss = |id, boss| row_with(id, &[("boss", boss)]);
    let rows = [
        boss(1, Value::Null),
        boss(2, Value::Int(1)),
        boss(3, Value::Int(77)),
        boss(4, Value::Int(4)),
        boss(5, Value::Int(88)),
        boss(6, Value::Int(5)),
        boss(7, Value::Int(77)),
    ];
    store_rows(&*store, &rows).await;
    let expected = vec![(Key::int(3), Value::Int(77)), (Key::int(5), Value::Int(88)), (Key::int(7), Value::Int(77))];
    for limit in [1, 2, 3, 7, 50] {
        let (mut found, mut looked_at, mut after) = (Vec::new(), 0, None);
        loop {
            let slice = store.dangling(&id, "boss", &id, after.as_ref(), limit).await.unwrap();
            assert!(slice.looked_at <= limit);
            assert!(slice.looked_at == limit || slice.next.is_none(), "a slice that falls short is the last");
            looked_at += slice.looked_at;
            found.extend(slice.found);
            match slice.next {
                None => break,
                next => after = next,
            }
        }
        assert_eq!((looked_at, &found), (rows.len(), &expected), "slices of {limit}");
    }
    store.create(spec(2, Gate::Open)).await.unwrap();
    let other = store.dangling(&id, "boss", &generation(2), None, 50).await.unwrap();
    assert_eq!(other.found.len(), 6, "an empty target leaves every reference dangling, and no null");
    assert_eq!(store.dangling(&generation(2), "boss", &id, None, 50).await.unwrap().looked_at, 0);
}

pub async fn a_reference_to_a_hidden_row_dangles(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    store_rows(&*store, &[row(1, "Ada"), row_with(2, &[("boss", Value::Int(1))])]).await;
    assert!(store.dangling(&id, "boss", &id, None, 9).await.unwrap().found.is_empty());
    live(&*store, "s", &[delete(0, 900)]).await;
    let slice = store.dangling(&id, "boss", &id, None, 9).await.unwrap();
    assert_eq!((slice.looked_at, slice.found), (1, vec![(Key::int(2), Value::Int(1))]));
}

pub async fn a_relation_by_text_is_followed(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let field = Field { name: "code".to_owned(), kind: FieldType::String, required: true, index: false };
    let schema = Schema {
        entity: EntityName::new("codes"),
        fields: vec![field],
        key: vec!["code".to_owned()],
        relations: Vec::new(),
    };
    let codes = GenerationId { entity: schema.entity.clone(), number: 1 };
    store.create(GenerationSpec { id: codes.clone(), schema: Arc::new(schema), ..spec(1, Gate::Open) }).await.unwrap();
    let code = Row { key: Key::text("it's:1"), values: vec![text("it's:1")] };
    store.merge(&codes, Writer::Live, "s", &[upsert(1, stated(110), &[code])]).await.unwrap();
    store_rows(&*store, &[row(1, "it's:1"), row(2, "1"), row(3, "it's")]).await;
    let slice = store.dangling(&id, "name", &codes, None, 9).await.unwrap();
    assert_eq!(slice.found, [(Key::int(2), text("1")), (Key::int(3), text("it's"))]);
}

pub async fn what_was_merged_is_there_for_the_next_process(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada")]), delete(2, 500)]).await;
    let before = head(&*store, &id).await;
    drop(store);
    let store = harness.again().await;
    assert_eq!(head(&*store, &id).await, before);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")]);
    assert_eq!(live(&*store, "s2", &[upsert(2, stated(200), &[row(2, "Bo")])]).await, SUPERSEDED);
    assert_eq!(live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada")])]).await, NEW);
}
