//! Many writers at the same rows, each as a process of its own.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use futures::future::join_all;
use teal::domain::{Effect, Fence, GenerationId, Key, Millis, RecordChange};
use teal::ports::entities::{Gate, ListQuery, Writer};
use teal::ports::{EntitiesError, EntityAdmin, EntityReader, EntityWriter};
use teal_aws::dynamodb::entities::DynamoEntities;
use teal_aws_tests::harness::{Account, SYSTEM};
use teal_aws_tests::talents::{generation, row, spec, upsert};
use teal_conformance::Seed;
use teal_conformance::memory::MemoryEntities;

/// Records that fight over rows, some of which go.
fn random_changes(seed: &mut Seed, owner_is_key: bool) -> Vec<RecordChange> {
    let number = |seed: &mut Seed, end| i64::try_from(seed.below(end)).unwrap();
    let change = |seed: &mut Seed| {
        let (owner, stated) = (number(seed, 12), number(seed, 40));
        if seed.once_in(5) {
            let effect = Effect::Delete { provider: None, stated: Millis(stated) };
            return RecordChange::new(Key::int(owner), effect);
        }
        let ids = if owner_is_key { vec![owner] } else { (0..24).filter(|_| seed.once_in(4)).collect() };
        upsert(owner, stated, ids.into_iter().map(|id| row(id, &format!("{owner} at {stated}"))).collect())
    };
    (0..8).map(|_| change(seed)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_first_the_rows_are_the_same() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let account = Account::new(emulator);
    let (_, table) = account.new_table().await;
    for number in 1..=6u32 {
        let (id, owner_is_key) = (generation(number), number % 2 == 0);
        let model = MemoryEntities::default();
        model.create(spec(number, owner_is_key)).await.unwrap();
        let mut seed = Seed(u64::from(number));
        let mut stores = Vec::new();
        for _ in 0..6 {
            stores.push(DynamoEntities::new(account.clients(), &table, SYSTEM));
        }
        stores[0].create(spec(number, owner_is_key)).await.unwrap();
        let work: Vec<Vec<Vec<RecordChange>>> =
            stores.iter().map(|_| (0..6).map(|_| random_changes(&mut seed, owner_is_key)).collect()).collect();
        join_all(stores.iter().zip(&work).enumerate().map(|(at, (store, merges))| {
            let id = &id;
            async move {
                for (nth, changes) in merges.iter().enumerate() {
                    store.merge(id, Writer::Live, &format!("{at}-{nth}"), changes).await.unwrap();
                }
            }
        }))
        .await;
        for changes in work.iter().flatten() {
            model.merge(&id, Writer::Live, "any", changes).await.unwrap();
        }
        let all = ListQuery { limit: 1000, ..ListQuery::default() };
        assert_eq!(stores[0].list(&id, &all).await.unwrap(), model.list(&id, &all).await.unwrap(), "{id}");
        let (head, expected) = (stores[0].head(&id).await.unwrap(), model.head(&id).await.unwrap());
        assert_eq!((head.rows, head.sum), (expected.rows, expected.sum), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_gates_are_closed_nothing_gets_in_any_more() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let account = Account::new(emulator);
    let (clients, table) = account.new_table().await;
    let mover = DynamoEntities::new(clients, &table, SYSTEM);
    let ids: Vec<GenerationId> = (1..=3).map(generation).collect();
    for number in 1..=3 {
        mover.create(spec(number, true)).await.unwrap();
    }
    let writers: Vec<_> = (0..4).map(|_| account.clients()).collect();
    let writers = writers.into_iter().map(|clients| DynamoEntities::new(clients, &table, SYSTEM));
    let (ids, mover) = (&ids, &mover);
    let written = writers.enumerate().map(|(writer, store)| async move {
        let mut written = 0;
        for n in 0.. {
            let id = i64::try_from(writer * 10_000 + n).unwrap();
            let change = [upsert(id, 10, vec![row(id, "live")])];
            match store.merge(&ids[n % 3], Writer::Live, &format!("{writer}-{n}"), &change).await {
                Ok(_) => written += 1,
                Err(EntitiesError::GateClosed(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        written
    });
    let close = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        mover.set_gates(ids, Gate::Closed, Fence(2)).await.unwrap();
        let mut rows = Vec::new();
        for id in ids {
            rows.push(mover.head(id).await.unwrap().rows);
        }
        rows
    };
    let (written, at_closing) = futures::join!(join_all(written), close);
    let mut after = Vec::new();
    for id in ids {
        after.push(mover.head(id).await.unwrap().rows);
    }
    assert_eq!(at_closing, after, "what got in got in before `set_gates` returned");
    assert_eq!(after.iter().sum::<u64>(), written.iter().sum::<u64>(), "and nobody was told yes who did not");
}
