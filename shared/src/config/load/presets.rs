//! Requests and answers of senders that are known: how their subscriptions are kept, how what they sent is listed.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::config::after::{Closing, Lease, Sent, Template};
use crate::config::jq::{Compile, Program};

/// What has to stand under `with`.
pub fn needs(preset: &str) -> &'static [&'static str] {
    match preset {
        "google-calendar" => &["calendar"],
        "airtable" => &["base", "webhook"],
        "websub" => &["topic"],
        "github" => &["hook"],
        _ => &[],
    }
}

pub fn no_lease() -> Lease {
    Lease {
        create: None,
        refresh: None,
        stop: None,
        read: None,
        confirm: false,
        with: Json::Null,
        secrets: BTreeMap::new(),
        address: String::new(),
        life: std::time::Duration::ZERO,
        cover: std::time::Duration::ZERO,
    }
}

pub fn lease(preset: &str, compile: Compile) -> Lease {
    let jq = |program| jq(program, compile);
    let post = |base, path, body, form| template(http::Method::POST, base, jq(path), Some(jq(body)), form);
    match preset {
        // A channel's id is used once, and nothing prolongs it: a new one is made, then the old one stopped.
        "google-calendar" => Lease {
            create: Some(post(
                "https://www.googleapis.com",
                r#""/calendar/v3/calendars/\(.with.calendar | @uri)/events/watch""#,
                r#"{ id, type: "web_hook", address, token: .secret.token, expiration: (.until | tostring) }"#,
                false,
            )),
            stop: Some(post(
                "https://www.googleapis.com",
                r#""/calendar/v3/channels/stop""#,
                "{ id: .channel.id, resourceId: .channel.resource }",
                false,
            )),
            read: Some(jq("{ resource: .resourceId, until: (.expiration | tonumber?) }")),
            ..no_lease()
        },
        // The secret of a new webhook is told once and would have to be kept: people make it, Teal keeps it alive.
        "airtable" => Lease {
            refresh: Some(post(
                "https://api.airtable.com",
                r#""/v0/bases/\(.with.base | @uri)/webhooks/\(.with.webhook | @uri)/refresh""#,
                "{}",
                false,
            )),
            read: Some(jq("{ until: .expirationTime }")),
            ..no_lease()
        },
        // Asking again for the same topic prolongs it; the hub asks back before it is so.
        "websub" => Lease {
            create: Some(post(
                "https://pubsubhubbub.appspot.com",
                r#""/subscribe""#,
                r#"{ "hub.callback": .address, "hub.mode": "subscribe", "hub.topic": .with.topic,
                     "hub.lease_seconds": (.life | tostring) }
                   + (if .secret.secret then { "hub.secret": .secret.secret } else {} end)"#,
                true,
            )),
            confirm: true,
            ..no_lease()
        },
        _ => no_lease(),
    }
}

/// GitHub repeats nothing by itself and lists what it sent for some days. What was answered with a 2xx came.
pub fn gaps(with: &Json, compile: Compile) -> Closing {
    let jq = |program: &str| jq(program, compile);
    let get = |base, path: &str| template(http::Method::GET, base, jq(path), None, false);
    let hook = with["hook"].as_str().unwrap_or_default().trim_matches('/').to_owned();
    let start = serde_json::to_string(&format!("/{hook}/deliveries")).unwrap_or_default();
    Closing::Sent(Box::new(Sent {
        list: get(
            "https://api.github.com",
            &format!("{start} + \"?per_page=100\" + (if .cursor then \"&cursor=\\(.cursor | @uri)\" else \"\" end)"),
        ),
        missed: jq(r#"{ missed: [.body[] | { id: .guid, number: .id }],
                 cursor: ((.headers.link // "") | [splits(", *")] | map(select(test("rel=\"next\""))) | first // ""
                          | capture("[?&]cursor=(?<c>[^&>]+)").c? // null) }"#),
        get: get("https://api.github.com", &format!("{start} + \"/\\(.number)\"")),
        delivery: jq("{ headers: .body.request.headers, body: .body.request.payload }"),
    }))
}

fn template(method: http::Method, base: &str, path: Program, body: Option<Program>, form: bool) -> Template {
    let (base, headers) = (base.to_owned(), BTreeMap::new());
    Template { method, base, path, body, form, headers, bearer: None }
}

fn jq(program: &str, compile: Compile) -> Program {
    compile(program).expect("the programs of presets are tried by their test")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_preset_asks_for_what_it_should() {
        let input = json!({
            "id": "c1", "address": "https://a.example.com/hooks/x", "until": 86_400_000, "life": 86_400, "now": 0,
            "with": { "calendar": "a b", "base": "app1", "webhook": "ach1", "topic": "https://t.example.com/f" },
            "secret": { "token": "t" }, "channel": { "id": "c0", "resource": "r0" },
        });
        let path = |template: &Template| template.path.run(&input, 1).unwrap().remove(0);
        let body = |template: &Template| template.body.as_ref().unwrap().run(&input, 1).unwrap().remove(0);
        let google = lease("google-calendar", Program::compile);
        assert_eq!(path(google.create.as_ref().unwrap()), "/calendar/v3/calendars/a%20b/events/watch");
        assert_eq!(body(google.create.as_ref().unwrap())["expiration"], "86400000");
        assert_eq!(body(google.stop.as_ref().unwrap()), json!({ "id": "c0", "resourceId": "r0" }));
        assert_eq!(
            path(lease("airtable", Program::compile).refresh.as_ref().unwrap()),
            "/v0/bases/app1/webhooks/ach1/refresh"
        );
        assert_eq!(body(lease("websub", Program::compile).create.as_ref().unwrap())["hub.lease_seconds"], "86400");
    }

    #[test]
    fn githubs_deliveries_are_listed_to_their_end_and_fetched_one_by_one() {
        let Closing::Sent(sent) = gaps(&json!({ "hook": "repos/o/r/hooks/1" }), Program::compile) else { panic!() };
        let Sent { list, missed, get, delivery } = *sent;
        let run = |program: &Program, input: &Json| program.run(input, 1).unwrap().remove(0);
        assert_eq!(run(&list.path, &json!({ "cursor": null })), "/repos/o/r/hooks/1/deliveries?per_page=100");
        assert_eq!(
            run(&list.path, &json!({ "cursor": "v1_1" })),
            "/repos/o/r/hooks/1/deliveries?per_page=100&cursor=v1_1"
        );
        let link = r#"<https://api.github.com/x?per_page=100&cursor=v1_9>; rel="next""#;
        let page = json!({ "headers": { "link": link }, "body": [{ "id": 7, "guid": "g" }] });
        assert_eq!(run(&missed, &page), json!({ "missed": [{ "id": "g", "number": 7 }], "cursor": "v1_9" }));
        assert_eq!(run(&missed, &json!({ "headers": {}, "body": [] })), json!({ "missed": [], "cursor": null }));
        assert_eq!(run(&get.path, &json!({ "id": "g", "number": 7 })), "/repos/o/r/hooks/1/deliveries/7");
        let one = json!({ "body": { "request": { "headers": { "X-GitHub-Event": "ping" }, "payload": { "a": 1 } } } });
        assert_eq!(run(&delivery, &one)["body"], json!({ "a": 1 }));
    }
}
