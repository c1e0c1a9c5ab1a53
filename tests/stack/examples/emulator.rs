//! The whole stack on an emulator, in one command, for trying it: template, binaries, NowRep and its source.
//!
//! ```sh
//! cargo run -p teal-stack-tests --example emulator
//! ```
//!
//! Ends, with all that it started, at the end of its input: Ctrl-D, or Ctrl-C.

#![expect(clippy::unwrap_used, reason = "for people to try; what fails says why")]

use serde_json::json;
use teal::config::Bundle;
use teal_stack_tests::stack::Stack;
use teal_stack_tests::{events, root};
use teal_stand_in::{Blue, BlueOptions};

#[tokio::main]
async fn main() {
    println!("building the functions and deploying the template …");
    let parameters = [("DeletionProtection", "false")];
    let Some(stack) = Stack::create("nowrep", &parameters) else { std::process::exit(1) };
    let blue = Blue::start(BlueOptions::default()).await.unwrap();
    let file = root().join("systems/nowrep/teal.yaml");
    let bundle = Bundle::collect(
        &file.to_string_lossy(),
        |path| std::fs::read_to_string(path),
        |name| (name == "BLUE_URL").then(|| blue.url()),
    );
    stack.invoke("admin", &json!({ "do": "deploy", "body": { "bundle": bundle.unwrap() } })).await.unwrap();
    let [(_, hook), _, (_, token)] = events::SECRETS;
    println!("NowRep is deployed. In another terminal:\n");
    println!("export TEAL_AT={} TEAL_TOKEN={token}", stack.api());
    println!("teal sync --full; teal status");
    println!("curl -H \"Authorization: Bearer {token}\" \"$TEAL_AT/v1/talents?limit=3\"");
    println!("curl -H 'x-sync-secret-key: {hook}' -d '{{\"event\": \"sync\"}}' \"$TEAL_AT/hooks/blue\"");
    println!("export AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test", stack.emulator.url);
    println!("export AWS_REGION={}    # and `aws …` sees its tables, queues and logs\n", teal_emulator::REGION);
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {}
}
