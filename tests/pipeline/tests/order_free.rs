//! P5: whatever the order in which deliveries are applied, and however often, the rows are the same.

use serde_json::{Value as Json, json};
use teal::domain::Millis;
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Kind, Webhook};

/// Four things that were said of talent 3, a minute apart, the last of them `last` after the start.
fn story(bench: &Bench, deleted_at: usize) -> Vec<Webhook> {
    let base = bench.blue.record(Kind::Talents, 3).unwrap();
    let start = teal::ports::Clock::now(bench.world.clock.as_ref());
    (0..4)
        .map(|step| {
            let at = start.plus(std::time::Duration::from_secs(60 * (step as u64 + 1)));
            let mut record = base.clone();
            record["updatedAt"] = json!(Millis(at.0).to_string());
            record["profile"]["city"] = json!(format!("City {step}"));
            record["socials"].as_array_mut().unwrap().truncate(step);
            let (event, data) = if step == deleted_at {
                ("talent.deleted", json!({ "id": 3, "updatedAt": record["updatedAt"] }))
            } else {
                ("talent.updated", record)
            };
            let id = format!("s{step}");
            let body: Json = json!({ "id": id, "event": event, "sentAt": at.to_string(), "data": data });
            Webhook { id, body: body.to_string().into() }
        })
        .collect()
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for (at, first) in of.iter().enumerate() {
        let mut rest = of.to_vec();
        rest.remove(at);
        out.extend(permutations(&rest).into_iter().map(|mut tail| {
            tail.insert(0, *first);
            tail
        }));
    }
    out
}

#[tokio::test]
async fn all_orders_of_four_states_one_of_them_a_deletion_give_the_same_rows() {
    for deleted_at in 0..4 {
        let mut expected: Option<Vec<String>> = None;
        for order in permutations(&[0, 1, 2, 3]) {
            let bench = Bench::new(Setup::tiny()).await;
            bench.synced().await;
            let story = story(&bench, deleted_at);
            bench.world.clock.advance(std::time::Duration::from_secs(300));
            for step in &order {
                assert_eq!(bench.deliver(&story[*step]).await.status, 202);
                bench.runner.drain().await;
            }
            assert_eq!(bench.deliver(&story[order[0]]).await.status, 202, "a repetition");
            bench.runner.drain().await;
            assert_eq!(bench.row("talents", "3").await.is_none(), deleted_at == 3, "{order:?}");
            let export = bench.runner.export().await;
            assert_eq!(*expected.get_or_insert(export.clone()), export, "{order:?}, deleted at {deleted_at}");
        }
    }
}
