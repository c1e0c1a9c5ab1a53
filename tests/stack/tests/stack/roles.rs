//! The emulator's IAM is enforced: each function works under its own role.

use serde_json::json;
use teal_emulator::Emulator;
use teal_stack_tests::events;
use teal_stack_tests::stack::Stack;
use teal_stand_in::blue::Event;

use crate::nowrep::{blue, bundle, ended, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_function_works_under_its_own_role_and_is_denied_what_is_anothers() {
    if teal_emulator::shared().is_none() {
        return;
    }
    let strict: &'static Emulator = Box::leak(Box::new(Emulator::start_with(&[("AUTH", "true")]).unwrap()));
    let stack = Stack::create_on(strict, "strict", &[("DeletionProtection", "false")]);
    let blue = blue().await;
    stack.invoke("admin", &json!({ "do": "deploy", "body": { "bundle": bundle(&blue) } })).await.unwrap();
    let (hooks, secret) = (format!("{}/hooks/blue", stack.api()), events::SECRETS[0].1);
    let taken = blue.send_webhook(&hooks, secret, Event::Sync, 0).await.unwrap();
    assert_eq!(taken, 202, "{}", stack.log("webhook"));
    let full = until("the full run ends", || ended(&stack, "webhook")).await;
    assert_eq!(full["outcome"], "complete", "{full}");
    stack.invoke("upkeep", &json!({})).await.unwrap();
    let all = events::all(events::ANY_CONFIG);
    let event = |name: &str| &all.iter().find(|event| event.name == name).unwrap().json;
    assert_eq!(stack.invoke("serve", event("serve/list")).await.unwrap()["statusCode"], 200);

    // Under serve's role webhook may read the ledger and no bucket: it takes no delivery in.
    stack.swap_code("serve", "webhook");
    let answer = stack.invoke("serve", event("webhook/http-api")).await.unwrap();
    assert_eq!(answer["statusCode"], 503, "{answer}");
}
