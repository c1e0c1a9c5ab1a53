//! What the sender sent and nobody got is fetched, stored and applied as if it had come.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use teal::domain::SourceId;
use teal::pipeline::gaps::Gaps;
use teal::pipeline::inbox::Fate;
use teal::pipeline::ledger;
use teal_pipeline_tests::{Bench, Setup, said};
use teal_stand_in::{Event, Kind, Webhook};

const API: &str = "https://api.example.com";

fn setup() -> Setup {
    let with = "      dedupe: { by: [{ header: x-delivery-id }] }\n      gaps: { preset: github, with: { hook: repos/o/r/hooks/1 }, base: \"https://api.example.com\", every: 6h }";
    Setup::tiny().edit("      id: { header: x-delivery-id }", with)
}

#[tokio::test]
async fn what_was_missed_in_an_outage_is_fetched_and_applied_once() {
    let bench = Bench::new(setup()).await;
    bench.synced().await;
    let sent: Arc<Mutex<Vec<(String, Json)>>> = Arc::default();
    let fetched: Arc<Mutex<Vec<String>>> = Arc::default();
    let (list, count) = (sent.clone(), fetched.clone());
    bench.also_at(API, move |request, _| {
        let all = list.lock().unwrap();
        if let Some((_, number)) = request.url.split_once("/deliveries/") {
            count.lock().unwrap().push(number.to_owned());
            let (guid, payload) = &all[number.parse::<usize>().unwrap()];
            let headers =
                json!({ "X-Delivery-Id": guid, "Authorization": "Bearer x", "Content-Type": "application/json" });
            return said(200, &json!({ "request": { "headers": headers, "payload": payload } }));
        }
        let page: Vec<Json> =
            all.iter().enumerate().rev().map(|(n, (guid, _))| json!({ "id": n, "guid": guid })).collect();
        said(200, &Json::Array(page))
    });
    let change = |id: &str, talent: u64, city: &str| {
        bench.blue.patch(Kind::Talents, talent, &json!({ "profile": { "city": city } }));
        let webhook = bench.blue.webhook(Event::TalentUpdated, talent).unwrap();
        sent.lock().unwrap().push((id.to_owned(), serde_json::from_slice(&webhook.body).unwrap()));
        Webhook { id: id.into(), body: webhook.body }
    };
    for (id, talent) in [("g1", 1), ("g2", 2)] {
        let webhook = change(id, talent, "Came");
        assert_eq!(bench.deliver(&webhook).await.status, 202);
    }
    bench.runner.drain().await;
    // Teal is away; nothing is repeated by the sender.
    for (id, talent) in [("g3", 3), ("g4", 4), ("g5", 1)] {
        change(id, talent, "Missed");
    }
    bench.world.clock.advance(Duration::from_secs(7 * 3600));
    bench.runner.wake_up().await.unwrap();
    bench.runner.drain().await;
    for talent in ["1", "3", "4"] {
        assert_eq!(bench.row("talents", talent).await.unwrap()["city"], "Missed", "{talent}");
    }
    let key = ledger::gaps_key(&SourceId::new("blue"));
    let state = ledger::read::<Gaps>(bench.world.ledger.as_ref(), &key).await.unwrap().unwrap().value;
    assert_eq!((state.found, state.closed, state.why), (3, 3, None));
    bench.world.clock.advance(Duration::from_secs(7 * 3600));
    bench.runner.wake_up().await.unwrap();
    bench.runner.drain().await;
    assert_eq!(fetched.lock().unwrap().len(), 3, "nothing is fetched twice");
    // The sender brings one after all.
    let late = sent.lock().unwrap()[3].clone();
    bench.bring(&late.0, &late.1).await;
    let inbox = bench.inbox().await;
    assert_eq!(inbox.iter().filter(|entry| entry.fate == Fate::Applied).count(), 5);
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}
