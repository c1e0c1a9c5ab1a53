//! What a delivery's bytes say: JSON, or a form as a tree. And what is hidden of it before it is stored.
//!
//! Always holds: a pure function of bytes and content type, because a rebuild reads the same again; nesting has a bound.

use serde_json::{Map, Value as Json};

use crate::config::path::{Path, Step};

const HIDDEN: &str = "***";

/// The body as a tree. A form's names nest by brackets, `data[merges][FNAME]`; a name that comes twice is a list; a
/// value of a name without brackets may be JSON itself.
pub fn read(headers: &[(String, String)], body: &[u8]) -> Option<Json> {
    if is_form(headers) { Some(form(body)) } else { serde_json::from_slice(body).ok() }
}

fn is_form(headers: &[(String, String)]) -> bool {
    let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    kind.is_some_and(|(_, kind)| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    })
}

fn form(body: &[u8]) -> Json {
    let mut tree = teal_gate::form::tree(body);
    for value in tree.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let json = value.as_str().filter(|text| text.trim_start().starts_with(['{', '[']));
        if let Some(json) = json.and_then(|text| serde_json::from_str(text).ok()) {
            *value = json;
        }
    }
    tree
}

/// Hides what these paths lead to. Says whether there was anything.
pub fn hide(body: &mut Json, masks: &[Vec<Path>]) -> bool {
    let mut hidden = false;
    for mask in masks {
        let steps: Vec<&Step> = mask.iter().flat_map(|path| &path.steps).collect();
        hidden |= hide_at(body, &steps);
    }
    hidden
}

fn hide_at(place: &mut Json, steps: &[&Step]) -> bool {
    match (steps.split_first(), place) {
        (None, Json::Null) => false,
        (None, place) => {
            *place = HIDDEN.into();
            true
        }
        (Some((Step::Member(name), rest)), Json::Object(members)) => {
            members.get_mut(name).is_some_and(|place| hide_at(place, rest))
        }
        (Some((Step::Element(index), rest)), Json::Array(list)) => {
            list.get_mut(*index).is_some_and(|place| hide_at(place, rest))
        }
        (Some((Step::Every, rest)), Json::Array(list)) => {
            list.iter_mut().map(|place| hide_at(place, rest)).fold(false, |any, one| any | one)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_form(body: &str) -> Json {
        let kind = "application/x-www-form-urlencoded; charset=UTF-8".to_owned();
        read(&[("Content-Type".into(), kind)], body.as_bytes()).unwrap()
    }

    #[test]
    fn a_form_with_brackets_is_a_tree() {
        let tree =
            of_form("type=subscribe&data[id]=8a&data[merges][FNAME]=Zo%C3%AB+K&data%5Btags%5D%5B%5D=a&data[tags][]=b");
        let expected =
            json!({ "type": "subscribe", "data": { "id": "8a", "merges": { "FNAME": "Zoë K" }, "tags": ["a", "b"] } });
        assert_eq!(tree, expected);
    }

    #[test]
    fn repeated_broken_and_deep_names_lose_nothing() {
        assert_eq!(of_form("a=1&a=2&a=3"), json!({ "a": ["1", "2", "3"] }));
        assert_eq!(of_form("a=1&a[b]=2"), json!({ "a": { "": "1", "b": "2" } }));
        assert_eq!(of_form("a[b=1&=2"), json!({ "a[b": "1", "": "2" }));
        let deep = of_form(&format!("a{}=1", "[b]".repeat(5000)));
        assert!(deep.to_string().contains("\"1\""));
    }

    #[test]
    fn json_in_a_form_is_json() {
        let tree = of_form("mandrill_events=%5B%7B%22_id%22%3A%22x%22%7D%5D&text=%5Bnot+json");
        assert_eq!(tree, json!({ "mandrill_events": [{ "_id": "x" }], "text": "[not json" }));
    }

    #[test]
    fn what_is_masked_is_hidden_wherever_it_stands() {
        let masks = ["data.email", "events[].msg.email"].map(|path| Path::parse_each(path).unwrap());
        let mut body = json!({ "data": { "email": "ada@example.com", "id": 1 },
                               "events": [{ "msg": { "email": "b@example.com" } }, { "msg": {} }] });
        assert!(hide(&mut body, &masks));
        assert_eq!(body["data"], json!({ "email": "***", "id": 1 }));
        assert_eq!(body["events"], json!([{ "msg": { "email": "***" } }, { "msg": {} }]));
        assert!(!hide(&mut json!({ "data": { "email": null } }), &masks));
    }
}
