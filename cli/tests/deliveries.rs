//! `teal deliveries sign`, `refused`, `explain` and `token`: how an owner gets a sender in, and learns why one is not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod trial;

use serde_json::json;
use trial::{Dev, Ran, Trial};

const YAML: &str = r#"
system: trial
sources:
  hub:
    connector: blue.yaml
    config: { base_url: "http://blue.example.com", api_key: "${secret:blue-api-key}" }
    webhook: { verify: github, secret: "${secret:hub-hook}", on: [{ do: sync, when: "false" }] }
  pay:
    connector: blue.yaml
    config: { base_url: "http://blue.example.com", api_key: "${secret:blue-api-key}" }
    webhook: { verify: stripe, secret: "${secret:pay-hook}", on: [{ do: sync, when: "false" }] }
  notes:
    connector: blue.yaml
    config: { base_url: "http://blue.example.com", api_key: "${secret:blue-api-key}" }
    webhook: { verify: notion, secret: "${secret:notes-token}", on: [{ do: sync, when: "false" }] }
  cloud:
    connector: blue.yaml
    config: { base_url: "http://blue.example.com", api_key: "${secret:blue-api-key}" }
    webhook:
      verify: sns
      topics: ["arn:aws:sns:eu-west-1:123456789012:changes"]
      on: [{ do: sync, when: "false" }]
  quiet:
    connector: blue.yaml
    config: { base_url: "http://blue.example.com", api_key: "${secret:blue-api-key}" }
entities:
  boards:
    from: hub.boards
    key: id
    fields:
      id: { type: integer, required: true }
"#;
const SECRET: &str = "made-up-hook-secret";
const BODY: &str = "{ \"action\": \"opened\" }\n";

fn trial() -> Trial {
    let trial = Trial::new(YAML);
    for name in ["blue-api-key", "hub-hook", "pay-hook"] {
        trial.secret(name, SECRET);
    }
    trial.write("body.json", BODY);
    trial
}

/// The headers that `sign` gives.
fn signed(trial: &Trial, source: &str) -> Vec<(String, String)> {
    let ran = trial.run(&["deliveries", "sign", source, "body.json", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let headers = ran.json();
    let headers = headers.as_object().unwrap().iter();
    headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn captured(headers: &[(String, String)], body: &str) -> String {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    format!("POST /hooks/a HTTP/1.1\n{lines}\n{body}")
}

fn explain(trial: &Trial, source: &str, request: &str) -> Ran {
    trial.write("captured.http", request);
    trial.run(&["deliveries", "explain", "--request", "captured.http", "--source", source])
}

async fn post(dev: &Dev, path: &str, headers: &[(String, String)], body: &str) -> u16 {
    teal_local::upstream::install_tls();
    let mut request = reqwest::Client::builder().no_proxy().build().unwrap().post(dev.url(path)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.send().await.unwrap().status().as_u16()
}

#[test]
fn what_is_signed_for_curl_is_explained_as_right_and_one_changed_byte_as_wrong() {
    let trial = trial();
    let line = trial.run(&["deliveries", "sign", "hub", "body.json"]);
    let ends = "--data-binary '@body.json' 'http://127.0.0.1:8080/hooks/hub'\n";
    assert!(line.out.starts_with("curl -i -H 'x-hub-signature-256: sha256=") && line.out.ends_with(ends), "{line:?}");
    for source in ["hub", "pay"] {
        let headers = signed(&trial, source);
        let right = explain(&trial, source, &captured(&headers, BODY));
        assert_eq!(right.code, Some(0), "{right:?}");
        assert!(right.out.contains(&format!("the body ({})", BODY.len())) && !right.out.contains("WRONG"), "{right:?}");
        let wrong = explain(&trial, source, &captured(&headers, &BODY.replace("opened", "openec")));
        assert_eq!(wrong.code, Some(1), "{wrong:?}");
        assert!(wrong.out.contains("WRONG the signature is what a key gives over these bytes"), "{wrong:?}");
        // What is often done to a body on the way.
        let parsed = explain(&trial, source, &captured(&headers, "{\"action\":\"opened\"}"));
        assert_eq!(parsed.code, Some(1), "{parsed:?}");
        for ran in [line.out.as_str(), &right.out, &wrong.out, &wrong.err, &parsed.out] {
            assert!(!ran.contains(SECRET), "{ran}");
        }
    }
    let old = explain(&trial, "pay", &captured(&[("stripe-signature".into(), "t=1600000000,v1=00".into())], BODY));
    assert!(old.code == Some(1) && old.out.contains("WRONG it was signed"), "{old:?}");
}

#[test]
fn a_secret_that_is_missing_or_another_one_is_said_and_not_shown() {
    let trial = trial();
    let headers = signed(&trial, "hub");
    trial.secret("hub-hook", "made-up-other-secret");
    let ran = explain(&trial, "hub", &captured(&headers, BODY));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(!ran.out.contains("made-up-other-secret") && !ran.err.contains("made-up-other-secret"), "{ran:?}");
    std::fs::remove_file(trial.dir.path().join(".teal/secrets/hub-hook")).unwrap();
    let ran = explain(&trial, "hub", &captured(&headers, BODY));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("there is no secret 'hub-hook' here"), "{ran:?}");
    let ran = trial.run(&["deliveries", "sign", "hub", "body.json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("there is no secret 'hub-hook' here"), "{ran:?}");
}

#[test]
fn what_can_not_be_signed_or_explained_is_refused_in_words() {
    let trial = trial();
    trial.write("captured.http", "no request");
    trial.write("right.http", &captured(&[], BODY));
    for (args, code, says) in [
        (&["sign", "hub", "nothing.json"][..], 1, "can't read 'nothing.json'"),
        (&["sign", "hubb", "body.json"], 1, "there is no source 'hubb'"),
        (&["sign", "quiet", "body.json"], 1, "has no webhook"),
        (&["sign", "cloud", "body.json"], 1, "only the sender of 'cloud' can sign"),
        (&["sign", "hub"], 2, "FILE"),
        (&["explain"], 2, "<ID>"),
        (&["explain", ""], 2, "value"),
        (&["explain", "--request", "right.http"], 2, "--source"),
        (&["explain", "x", "--request", "right.http", "--source", "hub"], 2, "cannot be used with"),
        (&["explain", "--request", "nothing.http", "--source", "hub"], 1, "can't read 'nothing.http'"),
        (&["explain", "--request", "captured.http", "--source", "hub"], 1, "a request line such as"),
        (&["explain", "--request", "right.http", "--source", "hubb"], 1, "there is no source 'hubb'"),
        (&["token"], 2, "SOURCE"),
    ] {
        let ran = trial.run(&[&["deliveries"], args].concat());
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{args:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_kept_with_the_reason_and_explained_by_its_id() {
    let trial = trial();
    let dev = trial.dev();
    let headers = signed(&trial, "hub");
    assert_eq!(post(&dev, "/hooks/hub", &headers, BODY).await, 202);
    assert_eq!(post(&dev, "/hooks/hub", &headers, "{}").await, 401);
    assert_eq!(post(&dev, "/hooks/hub", &[], BODY).await, 401);
    let refused = trial.run(&["deliveries", "refused", "--json"]).json();
    let refused = refused["refused"].as_array().unwrap();
    let reasons: Vec<_> = refused.iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    for one in refused {
        let ran = trial.run(&["deliveries", "explain", one["id"].as_str().unwrap()]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.contains("WRONG") && !ran.out.contains(SECRET), "{ran:?}");
    }
    let shown = trial.run(&["deliveries", "refused", "--source", "pay"]);
    assert!(shown.out.contains("nothing was refused"), "{shown:?}");
    for id in ["nothing-like-it", "../../secrets/hub-hook"] {
        let ran = trial.run(&["deliveries", "explain", id]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("nothing that was refused has the id"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_sender_proposes_is_taken_only_when_awaited_and_shown_once() {
    let trial = trial();
    let dev = trial.dev();
    let proposal = json!({ "verification_token": "secret_made-up-token" }).to_string();
    let token = |more: &[&str]| trial.run(&[&["deliveries", "token", "notes"], more].concat());
    assert_ne!(post(&dev, "/hooks/notes", &[], &proposal).await, 200, "nobody awaits one");
    assert!(token(&[]).out.contains("no secret was proposed"));
    assert!(token(&["--await"]).out.contains("is taken as a candidate"));
    assert_eq!(post(&dev, "/hooks/notes", &[], &proposal).await, 200);
    assert_ne!(post(&dev, "/hooks/notes", &[], &proposal.replace("made-up", "attackers")).await, 200);
    let shown = token(&[]);
    assert!(shown.out.starts_with("secret_made-up-token\n"), "{shown:?}");
    assert!(!token(&[]).out.contains("made-up-token"), "it is shown once");
    for (source, says) in [("hub", "proposes no secret"), ("nobody", "nobody")] {
        let ran = trial.run(&["deliveries", "token", source, "--await"]);
        assert!(ran.code != Some(0) && ran.err.contains(says), "{ran:?}");
    }
}
