//! The ledger's contract: whole transactions, preconditions, revisions, listings.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};
use teal::ports::fault::FaultKind;
use teal::ports::ledger::{Item, MAX_WRITES, pointer_key};
use teal::ports::{ItemKey, Ledger, LedgerError, Precondition, Write};

#[async_trait]
pub trait LedgerHarness: Sync {
    /// An empty ledger.
    async fn fresh(&self) -> Arc<dyn Ledger>;

    /// The ledger that `fresh` gave last, opened once more as another process would.
    async fn again(&self) -> Arc<dyn Ledger>;
}

#[macro_export]
macro_rules! ledger_suite {
    ($harness:expr) => {
        $crate::suite_tests!(
            ledger,
            $harness,
            [
                a_put_is_read_back_with_its_mark,
                what_is_not_there_is_none,
                every_kind_of_json_comes_back_as_it_was,
                a_transaction_happens_whole_or_not_at_all,
                a_refusal_names_the_write_that_was_refused,
                a_put_when_absent_makes_but_never_overwrites,
                a_put_that_matches_goes_through_once,
                a_stale_mark_is_refused_and_an_equal_one_is_not,
                a_check_writes_nothing_and_can_stop_everything,
                a_delete_follows_its_precondition,
                a_key_twice_is_refused_whole,
                the_largest_transaction_goes_through_and_a_larger_one_is_refused,
                an_empty_transaction_is_nothing,
                revisions_grow_with_each_write,
                revisions_grow_over_a_delete,
                add_makes_the_item_and_adds_to_it,
                add_to_what_is_no_object_of_numbers_is_refused_whole,
                a_listing_is_in_byte_order_of_one_part,
                a_listing_can_be_cut_and_continued,
                a_prefix_is_taken_literally,
                concurrent_compare_and_set_loses_nothing,
                concurrent_adds_lose_nothing,
                of_concurrent_creators_one_wins,
                what_was_written_is_there_for_the_next_process,
                the_pointers_item_is_an_item_like_any_other,
            ]
        );
    };
}

fn key(sort: &str) -> ItemKey {
    ItemKey::new("part", sort)
}

fn put(sort: &str, value: Value, when: Precondition) -> Write {
    Write::Put { key: key(sort), value: value.into(), mark: 0, when }
}

fn marked(sort: &str, mark: u64, when: Precondition) -> Write {
    Write::Put { key: key(sort), value: json!(mark).into(), mark, when }
}

fn add(sort: &str, numbers: &[(&str, i64)]) -> Write {
    Write::Add { key: key(sort), numbers: numbers.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect() }
}

async fn read(ledger: &dyn Ledger, sort: &str) -> Option<Item> {
    ledger.get(&key(sort)).await.unwrap()
}

async fn value(ledger: &dyn Ledger, sort: &str) -> Option<Value> {
    read(ledger, sort).await.map(|item| item.value.read().expect("it is JSON"))
}

async fn sorts(ledger: &dyn Ledger, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let items = ledger.list("part", prefix, after, limit).await.unwrap();
    items.into_iter().map(|item| item.key.sort).collect()
}

#[track_caller]
fn assert_refused(result: Result<(), LedgerError>, at: usize, sort: &str) {
    match result {
        Err(LedgerError::Refused { index, key: refused }) => assert_eq!((index, refused), (at, key(sort))),
        other => panic!("write {at} should have been refused, got {other:?}"),
    }
}

#[track_caller]
fn assert_permanent(result: Result<(), LedgerError>) {
    match result {
        Err(LedgerError::Fault(fault)) => assert_eq!(fault.kind, FaultKind::Permanent, "{fault}"),
        other => panic!("a wrong request should be a permanent fault, got {other:?}"),
    }
}

pub async fn a_put_is_read_back_with_its_mark(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![marked("a", 7, Precondition::None)]).await.unwrap();
    let item = read(&*ledger, "a").await.unwrap();
    assert_eq!((item.key, item.value, item.mark), (key("a"), json!(7).into(), 7));
    ledger.transact(vec![put("a", json!("plain"), Precondition::None)]).await.unwrap();
    let item = read(&*ledger, "a").await.unwrap();
    assert_eq!(
        (item.value, item.mark),
        (json!("plain").into(), 0),
        "the last writer's mark counts, also when it chose none"
    );
}

pub async fn what_is_not_there_is_none(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    assert_eq!(read(&*ledger, "a").await, None);
    assert!(sorts(&*ledger, "", None, 10).await.is_empty());
    ledger.transact(vec![put("a", json!(1), Precondition::None)]).await.unwrap();
    assert_eq!(ledger.get(&ItemKey::new("other", "a")).await.unwrap(), None, "a part is a part of the key");
}

pub async fn every_kind_of_json_comes_back_as_it_was(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let kinds = json!({
        "null": null, "yes": true, "least": i64::MIN, "most": i64::MAX, "large": u64::MAX, "fraction": 0.1,
        "tiny": 5e-324, "text": "Grüße 🦆 \"'\\\u{0}\n", "list": [1, [], {}], "": {"deep": {"er": [null]}},
    });
    let whole = [("object", kinds), ("null", Value::Null), ("text", json!("")), ("list", json!([1, 2]))];
    for (sort, value) in &whole {
        ledger.transact(vec![put(sort, value.clone(), Precondition::None)]).await.unwrap();
    }
    for (sort, expected) in whole {
        assert_eq!(value(&*ledger, sort).await, Some(expected));
    }
}

pub async fn a_transaction_happens_whole_or_not_at_all(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![put("old", json!(1), Precondition::None)]).await.unwrap();
    let doomed = vec![
        put("new", json!(1), Precondition::None),
        Write::Delete { key: key("old"), when: Precondition::None },
        add("sum", &[("n", 1)]),
        put("last", json!(1), Precondition::Matches(1)),
    ];
    assert_refused(ledger.transact(doomed).await, 3, "last");
    assert_eq!(sorts(&*ledger, "", None, 10).await, ["old"]);

    let whole = vec![
        put("new", json!(1), Precondition::Absent),
        Write::Delete { key: key("old"), when: Precondition::None },
        add("sum", &[("n", 1)]),
    ];
    ledger.transact(whole).await.unwrap();
    assert_eq!(sorts(&*ledger, "", None, 10).await, ["new", "sum"]);
}

pub async fn a_refusal_names_the_write_that_was_refused(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![put("there", json!(1), Precondition::None)]).await.unwrap();
    for at in 0..3 {
        let mut writes: Vec<Write> = ["a", "b"].iter().map(|sort| put(sort, json!(1), Precondition::Absent)).collect();
        writes.insert(at, put("there", json!(2), Precondition::Absent));
        assert_refused(ledger.transact(writes).await, at, "there");
    }
    assert_eq!(value(&*ledger, "there").await, Some(json!(1)));
}

pub async fn a_put_when_absent_makes_but_never_overwrites(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![put("a", json!("first"), Precondition::Absent)]).await.unwrap();
    assert_refused(ledger.transact(vec![put("a", json!("second"), Precondition::Absent)]).await, 0, "a");
    assert_eq!(value(&*ledger, "a").await, Some(json!("first")));
}

pub async fn a_put_that_matches_goes_through_once(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    assert_refused(ledger.transact(vec![put("a", json!(0), Precondition::Matches(0))]).await, 0, "a");
    ledger.transact(vec![put("a", json!(1), Precondition::None)]).await.unwrap();
    let seen = read(&*ledger, "a").await.unwrap().revision;
    ledger.transact(vec![put("a", json!(2), Precondition::Matches(seen))]).await.unwrap();
    assert_refused(ledger.transact(vec![put("a", json!(3), Precondition::Matches(seen))]).await, 0, "a");
    assert_eq!(value(&*ledger, "a").await, Some(json!(2)));
}

pub async fn a_stale_mark_is_refused_and_an_equal_one_is_not(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![marked("a", 5, Precondition::NoneNewer(5))]).await.unwrap();
    ledger.transact(vec![marked("a", 5, Precondition::NoneNewer(5))]).await.unwrap();
    assert_refused(ledger.transact(vec![marked("a", 4, Precondition::NoneNewer(4))]).await, 0, "a");
    ledger.transact(vec![marked("a", 6, Precondition::NoneNewer(6))]).await.unwrap();
    assert_eq!(read(&*ledger, "a").await.unwrap().mark, 6);
    let check = |mark| Write::Check { key: key("a"), when: Precondition::NoneNewer(mark) };
    assert_refused(ledger.transact(vec![put("b", json!(1), Precondition::None), check(5)]).await, 1, "a");
    assert_eq!(read(&*ledger, "b").await, None);
    ledger.transact(vec![Write::Delete { key: key("a"), when: Precondition::NoneNewer(6) }]).await.unwrap();
    ledger.transact(vec![check(1)]).await.unwrap();
}

pub async fn a_check_writes_nothing_and_can_stop_everything(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![put("a", json!(1), Precondition::None)]).await.unwrap();
    let before = read(&*ledger, "a").await.unwrap();
    let check = |sort: &str, when| Write::Check { key: key(sort), when };
    ledger
        .transact(vec![check("a", Precondition::Matches(before.revision)), check("b", Precondition::Absent)])
        .await
        .unwrap();
    assert_eq!(read(&*ledger, "a").await, Some(before));
    assert_eq!(read(&*ledger, "b").await, None);
    let stopped = vec![put("c", json!(1), Precondition::None), check("a", Precondition::Absent)];
    assert_refused(ledger.transact(stopped).await, 1, "a");
    assert_eq!(read(&*ledger, "c").await, None);
}

pub async fn a_delete_follows_its_precondition(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let delete = |when| vec![Write::Delete { key: key("a"), when }];
    ledger.transact(delete(Precondition::None)).await.expect("deleting what is not there is no error");
    ledger.transact(vec![marked("a", 3, Precondition::None)]).await.unwrap();
    assert_refused(ledger.transact(delete(Precondition::Absent)).await, 0, "a");
    assert_refused(ledger.transact(delete(Precondition::NoneNewer(2))).await, 0, "a");
    let seen = read(&*ledger, "a").await.unwrap().revision;
    assert_refused(ledger.transact(delete(Precondition::Matches(seen + 1))).await, 0, "a");
    ledger.transact(delete(Precondition::Matches(seen))).await.unwrap();
    assert_eq!(read(&*ledger, "a").await, None);
    ledger.transact(vec![put("a", json!(1), Precondition::Absent)]).await.unwrap();
}

pub async fn a_key_twice_is_refused_whole(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let twice = vec![put("a", json!(1), Precondition::None), put("a", json!(2), Precondition::None)];
    assert_permanent(ledger.transact(twice).await);
    let mixed = vec![Write::Check { key: key("a"), when: Precondition::Absent }, add("a", &[("n", 1)])];
    assert_permanent(ledger.transact(mixed).await);
    assert_eq!(read(&*ledger, "a").await, None);
}

pub async fn the_largest_transaction_goes_through_and_a_larger_one_is_refused(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let writes = |count: usize| (0..count).map(|n| put(&format!("{n:03}"), json!(n), Precondition::Absent)).collect();
    assert_permanent(ledger.transact(writes(MAX_WRITES + 1)).await);
    assert!(sorts(&*ledger, "", None, 1).await.is_empty());
    ledger.transact(writes(MAX_WRITES)).await.unwrap();
    assert_eq!(sorts(&*ledger, "", None, 1000).await.len(), MAX_WRITES);
}

pub async fn an_empty_transaction_is_nothing(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(Vec::new()).await.unwrap();
    assert!(sorts(&*ledger, "", None, 1).await.is_empty());
}

pub async fn revisions_grow_with_each_write(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let mut last = 0;
    for round in 0..5 {
        ledger.transact(vec![put("a", json!("same"), Precondition::None)]).await.unwrap();
        let revision = read(&*ledger, "a").await.unwrap().revision;
        assert!(revision > last || round == 0, "revision {revision} came after {last}");
        last = revision;
    }
    ledger.transact(vec![put("a", json!({}), Precondition::None)]).await.unwrap();
    let before = read(&*ledger, "a").await.unwrap().revision;
    ledger.transact(vec![add("a", &[("n", 1)])]).await.unwrap();
    assert!(read(&*ledger, "a").await.unwrap().revision > before, "Add is a write too");
}

pub async fn revisions_grow_over_a_delete(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![put("a", json!(1), Precondition::None)]).await.unwrap();
    let before = read(&*ledger, "a").await.unwrap().revision;
    ledger.transact(vec![Write::Delete { key: key("a"), when: Precondition::None }]).await.unwrap();
    ledger.transact(vec![put("a", json!(1), Precondition::None)]).await.unwrap();
    let after = read(&*ledger, "a").await.unwrap().revision;
    assert!(after > before, "whoever saw revision {before} must not match the item made later ({after})");
    assert_refused(ledger.transact(vec![put("a", json!(2), Precondition::Matches(before))]).await, 0, "a");
}

pub async fn add_makes_the_item_and_adds_to_it(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![add("a", &[("rows.talents.new", 3), ("down", -2)])]).await.unwrap();
    assert_eq!(value(&*ledger, "a").await, Some(json!({"rows.talents.new": 3, "down": -2})));
    assert_eq!(read(&*ledger, "a").await.unwrap().mark, 0);
    let more = [("rows.talents.new", 4), ("down", -1), ("it's \"new\"", i64::MAX)];
    ledger.transact(vec![add("a", &more)]).await.unwrap();
    let expected = json!({"rows.talents.new": 7, "down": -3, "it's \"new\"": i64::MAX});
    assert_eq!(value(&*ledger, "a").await, Some(expected));
    ledger.transact(vec![put("b", json!({"n": 40}), Precondition::None)]).await.unwrap();
    ledger.transact(vec![add("b", &[("n", 2)])]).await.unwrap();
    assert_eq!(value(&*ledger, "b").await, Some(json!({"n": 42})), "what was put as numbers can be added to");
    ledger.transact(vec![Write::Add { key: key("c"), numbers: BTreeMap::new() }]).await.unwrap();
    assert_eq!(value(&*ledger, "c").await, Some(json!({})));
}

pub async fn add_to_what_is_no_object_of_numbers_is_refused_whole(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    for wrong in [json!("text"), json!([1]), json!({"n": "text"})] {
        ledger.transact(vec![put("a", wrong.clone(), Precondition::None)]).await.unwrap();
        let result = ledger.transact(vec![put("b", json!(1), Precondition::None), add("a", &[("n", 1)])]).await;
        assert_permanent(result);
        assert_eq!(value(&*ledger, "a").await, Some(wrong));
        assert_eq!(read(&*ledger, "b").await, None);
    }
}

pub async fn a_listing_is_in_byte_order_of_one_part(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let in_order = ["", "#", "A", "B", "a", "a#1", "a/1", "a0", "aa", "b", "~", "é", "日", "🦆"];
    for sort in in_order.iter().rev() {
        ledger.transact(vec![put(sort, json!(1), Precondition::None)]).await.unwrap();
    }
    for part in ["par", "parts", "part#", "Part"] {
        let write =
            Write::Put { key: ItemKey::new(part, "a"), value: json!(1).into(), mark: 0, when: Precondition::None };
        ledger.transact(vec![write]).await.unwrap();
    }
    assert_eq!(sorts(&*ledger, "", None, 100).await, in_order);
}

pub async fn a_listing_can_be_cut_and_continued(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    for n in 0..7 {
        ledger.transact(vec![put(&format!("run#{n}"), json!(n), Precondition::None)]).await.unwrap();
    }
    ledger.transact(vec![put("slot#1", json!(0), Precondition::None)]).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let slice = sorts(&*ledger, "run#", after.as_deref(), 3).await;
        assert!(slice.len() <= 3);
        let Some(last) = slice.last() else { break };
        after = Some(last.clone());
        seen.extend(slice);
        assert!(seen.len() < 20, "the listing does not end");
    }
    assert_eq!(seen, (0..7).map(|n| format!("run#{n}")).collect::<Vec<_>>());
    assert_eq!(sorts(&*ledger, "run#", Some("run#45"), 2).await, ["run#5", "run#6"], "`after` need not be there");
    assert_eq!(sorts(&*ledger, "run#", Some("a"), 1).await, ["run#0"], "`after` may lie before the prefix");
    assert!(sorts(&*ledger, "run#", Some("s"), 5).await.is_empty());
    assert!(sorts(&*ledger, "", None, 0).await.is_empty());
}

pub async fn a_prefix_is_taken_literally(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    for sort in ["a%b", "a_b", "axb", "a*b", "A%b", "a%c"] {
        ledger.transact(vec![put(sort, json!(1), Precondition::None)]).await.unwrap();
    }
    assert_eq!(sorts(&*ledger, "a%", None, 10).await, ["a%b", "a%c"]);
    assert_eq!(sorts(&*ledger, "a_", None, 10).await, ["a_b"]);
    assert_eq!(sorts(&*ledger, "a*", None, 10).await, ["a*b"]);
}

pub async fn concurrent_compare_and_set_loses_nothing(harness: &dyn LedgerHarness) {
    const WRITERS: usize = 8;
    const EACH: usize = 5;
    let ledger = harness.fresh().await;
    ledger.transact(vec![put("n", json!(0), Precondition::Absent)]).await.unwrap();
    join_all((0..WRITERS).map(|_| async {
        for _ in 0..EACH {
            loop {
                let seen = read(&*ledger, "n").await.unwrap();
                let next = json!(seen.value.read::<u64>().unwrap() + 1);
                match ledger.transact(vec![put("n", next, Precondition::Matches(seen.revision))]).await {
                    Ok(()) => break,
                    Err(LedgerError::Refused { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }))
    .await;
    assert_eq!(value(&*ledger, "n").await, Some(json!(WRITERS * EACH)));
}

pub async fn concurrent_adds_lose_nothing(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let results = join_all((0..40).map(|_| ledger.transact(vec![add("n", &[("n", 2)])]))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(value(&*ledger, "n").await, Some(json!({"n": 80})));
}

pub async fn of_concurrent_creators_one_wins(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let creators = (0..12).map(|n| ledger.transact(vec![put("a", json!(n), Precondition::Absent)]));
    let results = join_all(creators).await;
    let winners: Vec<usize> = (0..12).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    assert_eq!(value(&*ledger, "a").await, Some(json!(winners[0])));
}

pub async fn what_was_written_is_there_for_the_next_process(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    ledger.transact(vec![marked("a", 9, Precondition::None), add("sum", &[("n", 1)])]).await.unwrap();
    let before = ledger.list("part", "", None, 10).await.unwrap();
    drop(ledger);
    let ledger = harness.again().await;
    assert_eq!(ledger.list("part", "", None, 10).await.unwrap(), before);
    assert_eq!(before.len(), 2);
    ledger.transact(vec![put("a", json!(2), Precondition::Matches(before[0].revision))]).await.unwrap();
    assert!(read(&*ledger, "a").await.unwrap().revision > before[0].revision);
}

pub async fn the_pointers_item_is_an_item_like_any_other(harness: &dyn LedgerHarness) {
    let ledger = harness.fresh().await;
    let pointer = json!({"version": 0, "previous": null, "generations": {}, "fence": 1, "at": 0});
    let write = |value: &Value, when| Write::Put { key: pointer_key(), value: value.clone().into(), mark: 1, when };
    ledger.transact(vec![write(&pointer, Precondition::Absent)]).await.unwrap();
    let item = ledger.get(&pointer_key()).await.unwrap().unwrap();
    assert_eq!((item.value, item.mark), (pointer.clone().into(), 1));
    assert!(ledger.transact(vec![write(&pointer, Precondition::Absent)]).await.is_err());
    ledger.transact(vec![write(&pointer, Precondition::Matches(item.revision))]).await.unwrap();
}
