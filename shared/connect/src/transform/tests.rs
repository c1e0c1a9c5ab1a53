//! Changes to configs; those to records are compared with the reference elsewhere.

use crate::value::json;

use super::*;

fn changed(component: Value, mut config: Value) -> Result<Value, TransformError> {
    let context = Context::new("2026-11-25T10:20:30Z".parse().unwrap());
    ConfigTransformation::compile(&component)?.apply(&mut config, &context)?;
    Ok(config)
}

#[test]
fn a_config_gets_loses_and_remaps_fields() {
    let add = json!({ "type": "ConfigAddFields", "condition": "{{ config.a == 1 }}", "fields": [
        { "path": ["b", "c"], "value": "{{ config.a + 1 }}" }, { "path": ["d"], "value": "{{ config.b.c }}" },
    ] });
    assert_eq!(changed(add.clone(), json!({ "a": 1 })).unwrap(), json!({ "a": 1, "b": { "c": 2 }, "d": 2 }));
    let remove =
        json!({ "type": "ConfigRemoveFields", "field_pointers": [["a"], ["x", "y"]], "condition": "{{ config.go }}" });
    assert_eq!(changed(remove.clone(), json!({ "a": 1, "go": true })).unwrap(), json!({ "go": true }));
    assert_eq!(changed(remove, json!({ "a": 1, "go": false })).unwrap(), json!({ "a": 1, "go": false }));
    let remap = json!({ "type": "ConfigRemapField", "field_path": ["auth", "kind"], "map": { "old": "{{ config.new }}", "n": 5 } });
    let config = |kind: Value| json!({ "auth": { "kind": kind }, "new": "newer" });
    assert_eq!(changed(remap.clone(), config(json!("old"))).unwrap(), config(json!("newer")));
    assert_eq!(changed(remap.clone(), config(json!("n"))).unwrap(), config(json!(5)));
    assert_eq!(changed(remap.clone(), config(json!("other"))).unwrap(), config(json!("other")));
    assert_eq!(changed(remap, json!({ "auth": 1 })).unwrap(), json!({ "auth": 1 }));
}

#[test]
fn what_a_transformation_cannot_be_is_said_when_it_is_compiled() {
    for (component, part) in [
        (json!({ "type": "CustomTransformation" }), "CustomTransformation"),
        (json!({ "type": "AddFields", "fields": [{ "path": [], "value": "x" }] }), "must not be empty"),
        (json!({ "type": "AddFields", "fields": [{ "path": ["a"], "value": "{{ 1 +" }] }), "can't be read"),
        (json!({ "type": "KeysReplace", "old": "a" }), "'new'"),
    ] {
        let error = Transformation::compile(&component).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
