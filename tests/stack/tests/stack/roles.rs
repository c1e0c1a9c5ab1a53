//! The emulator's IAM is enforced: each function works under its own role.

use serde_json::json;
use teal_stack_tests::events;
use teal_stack_tests::stack::Stack;
use teal_stand_in::blue::Event;

use crate::nowrep::{blue, bundle, deploy, edit, ended, strict, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_function_works_under_its_own_role_and_is_denied_what_is_anothers() {
    let Some(strict) = strict() else { return };
    let parameters = [("DeletionProtection", "false"), ("BackupBucket", "teal-second")];
    let stack = Stack::create_on(strict, "strict", &parameters);
    strict.clients("test").s3().create_bucket().bucket("teal-second").send().await.unwrap();
    let blue = blue().await;
    let backups = "system: nowrep\nbackups: { full: rate(1 day), second: teal-second }\n";
    deploy(&stack, &edit(bundle(&blue), "system: nowrep\n", backups)).await;
    let (hooks, secret) = (format!("{}/hooks/blue", stack.api()), events::SECRETS[0].1);
    let taken = blue.send_webhook(&hooks, secret, Event::Sync, 0).await.unwrap();
    assert_eq!(taken, 202, "{}", stack.log("webhook"));
    let full = until("the full run ends", || ended(&stack, "webhook")).await;
    assert_eq!(full["outcome"], "complete", "{full}");
    let upkept = stack.invoke("upkeep", &json!({})).await.unwrap();
    assert_eq!(upkept["backups"]["made"].as_array().unwrap().len(), 1, "{upkept}");
    let listed = stack.admin("backups").await;
    assert_eq!(listed["backups"][0]["places"], json!(["here", "second"]), "{listed}");
    let all = events::all(events::ANY_CONFIG);
    let event = |name: &str| &all.iter().find(|event| event.name == name).unwrap().json;
    assert_eq!(stack.invoke("serve", event("serve/list")).await.unwrap()["statusCode"], 200);

    // Under serve's role webhook may read the ledger and no bucket: it takes no delivery in.
    stack.swap_code("serve", "webhook");
    let answer = stack.invoke("serve", event("webhook/http-api")).await.unwrap();
    assert_eq!(answer["statusCode"], 503, "{answer}");
}
