//! What a delivery only hints at is asked for: once for many, again where it is wanted again, and never elsewhere.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use teal::domain::Mode;
use teal::pipeline::admin::RejectFilter;
use teal::pipeline::inbox::Fate;
use teal_pipeline_tests::{Bench, Setup, said};
use teal_stand_in::Kind;

const API: &str = "https://api.example.com";
const LAST_RULE: &str = "    limits: { per_second: 10 }";

fn fetching() -> Setup {
    let rule = r#"        - do: fetch
          when: .event == "talent.hint"
          stream: talents
          key: talent
          wait: 3s
          request: { base: "https://api.example.com/v1", path: '"/talents/\\(.talent)"', bearer: "${secret:api}" }
    limits: { per_second: 10 }"#;
    // Messages are delivered more than once here, and what is done with asks for nothing again.
    let by_id = "      dedupe: { by: [{ header: x-delivery-id }] }";
    let rule = rule.replace("\\\\", "\\");
    Setup::tiny().edit(LAST_RULE, &rule).edit("      id: { header: x-delivery-id }", by_id)
}

/// Answers with the source's record; keeps what was asked.
fn at_the_api(bench: &Bench, asked: &Arc<Mutex<Vec<String>>>) {
    let (blue, asked) = (bench.blue.clone(), asked.clone());
    bench.also_at(API, move |request, _| {
        asked.lock().unwrap().push(request.url.clone());
        let id = request.url.rsplit('/').next().and_then(|id| id.parse().ok()).unwrap_or(0);
        match blue.record(Kind::Talents, id) {
            Some(record) => said(200, &record),
            None => said(404, &Json::Null),
        }
    });
}

async fn bench(setup: Setup) -> (Bench, Arc<Mutex<Vec<String>>>) {
    let bench = Bench::new(setup).await;
    bench.world.secrets.set("api", "made-up-api-key");
    bench.synced().await;
    let asked = Arc::default();
    at_the_api(&bench, &asked);
    (bench, asked)
}

fn hint(talent: u64) -> Json {
    json!({ "event": "talent.hint", "talent": talent })
}

async fn deliver(bench: &Bench, id: &str, body: &Json) {
    let webhook = teal_stand_in::Webhook { id: id.into(), body: body.to_string().into() };
    assert_eq!(bench.deliver(&webhook).await.status, 202);
}

#[tokio::test]
async fn many_hints_about_one_object_are_one_request_and_the_newest_state() {
    let (bench, asked) = bench(fetching()).await;
    for nth in 0..20 {
        bench.blue.patch(Kind::Talents, 1, &json!({ "profile": { "city": format!("City {nth}") } }));
        deliver(&bench, &format!("h{nth}"), &hint(1)).await;
    }
    deliver(&bench, "other", &hint(2)).await;
    bench.runner.drain().await;
    let mut asked = asked.lock().unwrap().clone();
    asked.sort();
    assert_eq!(asked, ["https://api.example.com/v1/talents/1", "https://api.example.com/v1/talents/2"]);
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "City 19");
    let requests = bench.world.upstream.requests();
    assert!(!format!("{requests:?}").contains("made-up-api-key"));
    assert_eq!(bench.runner.export().await, bench.fresh().await);
    at_the_api(&bench, &Arc::default());
    bench.rebuild(true).await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "City 19", "what was fetched is kept as raw");
}

#[tokio::test]
async fn an_object_that_the_source_does_not_have_is_deleted() {
    let (bench, _) = bench(fetching()).await;
    bench.blue.delete(Kind::Talents, &[3]);
    bench.bring("h", &hint(3)).await;
    assert!(bench.row("talents", "3").await.is_none());
}

#[tokio::test]
async fn a_hint_that_comes_while_the_object_is_fetched_leads_to_another_request() {
    let (bench, _) = bench(fetching()).await;
    let asked: Arc<Mutex<u32>> = Arc::default();
    let count = asked.clone();
    let blue = bench.blue.clone();
    // The object changes while its old state is on its way, and the hint about that comes before the answer.
    let world = bench.world.clone();
    bench.also_at(API, move |_, _| {
        *count.lock().unwrap() += 1;
        let before = blue.record(Kind::Talents, 1).unwrap();
        if *count.lock().unwrap() == 1 {
            blue.patch(Kind::Talents, 1, &json!({ "profile": { "city": "Newest" } }));
            teal_pipeline_tests::at_once(async {
                let source = teal::domain::SourceId::new("blue");
                let items =
                    teal::ports::LedgerReader::list(world.ledger.as_ref(), "errand#-/-/blue", "", None, 2).await;
                let item = items.unwrap().pop().unwrap();
                let mut errand: teal::pipeline::errand::Errand = item.value.read().unwrap();
                errand.asked += 1;
                let when = teal::ports::Precondition::Matches(item.revision);
                let key = teal::pipeline::errand::key(&source, &item.key.sort);
                let write = teal::pipeline::ledger::put(key, &errand, when);
                teal::ports::Ledger::transact(world.ledger.as_ref(), vec![write]).await.unwrap();
            });
        }
        said(200, &before)
    });
    bench.bring("h1", &hint(1)).await;
    assert_eq!(*asked.lock().unwrap(), 2);
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Newest");
}

#[tokio::test]
async fn faults_that_pass_are_waited_for_and_refusals_are_seen() {
    let (bench, asked) = bench(fetching()).await;
    bench.blue.patch(Kind::Talents, 1, &json!({ "profile": { "city": "Farport" } }));
    let (blue, count) = (bench.blue.clone(), asked.clone());
    bench.also_at(API, move |request, _| {
        count.lock().unwrap().push(request.url.clone());
        match (count.lock().unwrap().len(), request.url.ends_with("/1")) {
            (_, false) => said(400, &Json::Null),
            (1, _) => said(503, &Json::Null),
            (2, _) => teal::ports::upstream::Response {
                headers: vec![("retry-after".into(), "90".into())],
                ..said(429, &Json::Null)
            },
            _ => said(200, &blue.record(Kind::Talents, 1).unwrap()),
        }
    });
    bench.bring("h", &hint(1)).await;
    assert_eq!(asked.lock().unwrap().len(), 3);
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Farport");
    bench.bring("bad", &hint(2)).await;
    let code = RejectFilter { code: Some("TEAL-R015".into()), id: Some("raw".into()), ..RejectFilter::default() };
    let rejects = bench.runner.admin.rejects(&code, 9).await.unwrap();
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    assert!(rejects[0].1.reason.message.contains("400"));
}

#[tokio::test]
async fn what_two_rules_of_a_delivery_are_refused_is_there_twice_also_after_a_replay() {
    let rule = |path: &str| {
        format!(
            "        - do: fetch\n          when: .event == \"talent.hint\"\n          stream: talents\n          key: talent\n          wait: 3s\n          request: {{ base: \"https://api.example.com/v1\", path: '\"/{path}\"' }}\n"
        )
    };
    let setup = fetching().edit(LAST_RULE, &format!("{}{}{LAST_RULE}", rule("one"), rule("other")));
    let (bench, _) = bench(setup).await;
    bench.also_at(API, |_, _| said(400, &Json::Null));
    bench.bring("bad", &hint(2)).await;
    let refused = async || {
        let filter = RejectFilter { code: Some("TEAL-R015".into()), ..RejectFilter::default() };
        bench.runner.admin.rejects(&filter, 9).await.unwrap()
    };
    let before = refused().await;
    assert_eq!(before.len(), 3, "{before:?}");
    bench.runner.admin.replay_rejects(&RejectFilter::default()).await.unwrap();
    bench.runner.drain().await;
    assert_eq!(refused().await, before, "a replay asks for nothing again");
    assert!(bench.world.queue.dead_letters().is_empty());
}

#[tokio::test]
async fn a_delivery_chooses_no_host() {
    let (bench, asked) = bench(fetching()).await;
    let evil = json!({ "event": "talent.hint", "talent": "../../@evil.example.com/" });
    bench.bring("evil", &evil).await;
    assert!(asked.lock().unwrap().is_empty());
    assert_eq!(bench.inbox().await[0].fate, Fate::Rejected);
}

#[tokio::test]
async fn a_lost_errand_is_found_by_upkeep() {
    let (bench, asked) = bench(fetching()).await;
    deliver(&bench, "h", &hint(1)).await;
    for received in bench.world.queue.receive(teal::domain::QueueName::Transform, 10) {
        bench.runner.transform.handle(received.message()).await.unwrap();
        bench.world.queue.delete(&received);
    }
    bench.world.clock.advance(Duration::from_secs(5));
    for received in bench.world.queue.receive(teal::domain::QueueName::Poll, 10) {
        bench.world.queue.delete(&received);
    }
    bench.world.clock.advance(Duration::from_secs(300));
    bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    bench.runner.drain().await;
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn everything_behind_a_cursor_is_fetched_and_the_cursor_moves_with_it() {
    let rules = r#"        - do: page
          when: .ping == true
          request: { base: "https://api.example.com", path: '"/changes?cursor=\\(.cursor // 1)"' }
          next: '{ cursor: .cursor, more: .more }'
    limits: { per_second: 10 }"#;
    let setup = Setup::tiny().edit(LAST_RULE, &rules.replace("\\\\", "\\")).edit(
        "      id: { header: x-delivery-id }",
        "      split: changes\n      dedupe: { by: [{ path: n }, { hash: body }] }",
    );
    let (bench, _) = bench(setup).await;
    let changes: Arc<Mutex<Vec<Json>>> = Arc::default();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (served, heard) = (changes.clone(), asked.clone());
    bench.also_at(API, move |request, _| {
        heard.lock().unwrap().push(request.url.clone());
        let from: usize = request.url.rsplit('=').next().unwrap().parse().unwrap();
        let all = served.lock().unwrap();
        let some: Vec<Json> = all.iter().skip(from - 1).take(2).cloned().collect();
        let next = from + some.len();
        said(200, &json!({ "changes": some, "cursor": next, "more": next <= all.len() }))
    });
    let change = |n: usize, talent: u64| {
        bench.blue.patch(Kind::Talents, talent, &json!({ "profile": { "city": format!("City {n}") } }));
        let webhook = bench.blue.webhook(teal_stand_in::Event::TalentUpdated, talent).unwrap();
        let mut event: Json = serde_json::from_slice(&webhook.body).unwrap();
        event["n"] = format!("n{n}").into();
        changes.lock().unwrap().push(event);
    };
    for n in 1..=5 {
        change(n, n as u64);
    }
    bench.bring("p1", &json!({ "ping": true, "at": 1 })).await;
    assert_eq!(asked.lock().unwrap().len(), 3);
    change(6, 1);
    bench.bring("p2", &json!({ "ping": true, "at": 2 })).await;
    let urls = asked.lock().unwrap().clone();
    assert_eq!(urls.last().unwrap(), "https://api.example.com/changes?cursor=6", "it goes on where it was");
    bench.bring("p3", &json!({ "ping": true, "at": 3 })).await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "City 6");
    assert_eq!(bench.runner.export().await, {
        bench.sync(Mode::Full).await;
        bench.runner.export().await
    });
    let applied = bench.inbox().await.into_iter().filter(|entry| entry.id.starts_with('n')).count();
    assert_eq!(applied, 6, "each of them once");
}
