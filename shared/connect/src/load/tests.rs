//! References, parameters, defaults and older versions of a manifest, and what is refused with its place.

use crate::value::json;

use super::load;

#[test]
fn references_are_resolved_and_members_beside_them_win() {
    let text = "type: DeclarativeSource\nversion: '1'\ndefinitions:\n  base: {a: 1, b: {c: 2}}\nuse:\n  $ref: '#/definitions/base'\n  a: 3\nplain: '#/definitions/base/b/c'\n";
    let manifest = load(text).unwrap();
    assert_eq!(manifest.root["use"], json!({"a": 3, "b": {"c": 2}}));
    assert_eq!(manifest.root["plain"], json!(2));
}

#[test]
fn a_reference_that_leads_back_to_itself_is_named() {
    let text = "definitions:\n  a:\n    $ref: '#/definitions/b'\n  b:\n    $ref: '#/definitions/a'\n";
    let problems = load(text).unwrap_err();
    assert!(problems[0].to_string().contains("leads back to itself"), "{}", problems[0]);
}

#[test]
fn references_that_grow_beyond_every_bound_are_refused() {
    let mut text = String::from("definitions:\n  a0: [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("'#/definitions/a{}'", level - 1); 10].join(", ");
        text.push_str(&format!("  a{level}: [{items}]\n"));
    }
    let problems = load(&text).unwrap_err();
    assert!(problems[0].to_string().contains("grow"), "{}", problems[0]);
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let text = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(load(&text).is_err());
}

#[test]
fn parameters_reach_every_component_below_and_the_nearest_wins() {
    let text = "streams:\n  - type: DeclarativeStream\n    $parameters: {path: outer, name: things}\n    retriever:\n      requester:\n        $parameters: {path: inner}\n";
    let root = load(text).unwrap().root;
    let stream = &root["streams"][0];
    assert_eq!(stream["name"], "things");
    assert_eq!(stream["retriever"]["type"], "SimpleRetriever");
    assert_eq!(stream["retriever"]["requester"]["type"], "HttpRequester");
    assert_eq!(stream["retriever"]["requester"]["path"], "inner");
}

#[test]
fn json_schemas_get_no_parameters() {
    let text = "streams:\n  - type: DeclarativeStream\n    $parameters: {name: a}\n    schema_loader: {type: InlineSchemaLoader, schema: {type: object, properties: {}}}\n";
    let root = load(text).unwrap().root;
    assert_eq!(root["streams"][0]["schema_loader"]["schema"], json!({"type": "object", "properties": {}}));
}
