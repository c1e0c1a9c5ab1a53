//! Downloads, counts and truncation; paths are compared with the reference elsewhere.

use crate::value::json;

use super::*;

fn context() -> Context<'static> {
    Context::new("2026-11-25T10:20:30Z".parse().unwrap())
}

fn extracted(component: Value, body: &'static str) -> Result<Vec<Option<Value>>, ExtractError> {
    let extractor = Extractor::compile(&component)?;
    let (body, headers, context) = (Bytes::from(body), HeaderMap::new(), context());
    let answer = Answer { decoder: &Decoder::Json, body: &body, headers: &headers };
    extractor.extract(answer, &context)?.collect::<Result<_, _>>()
}

#[test]
fn empty_records_that_are_left_out_still_count() {
    let path = |name: &str| json!({ "type": "DpathExtractor", "field_path": [name] });
    let component = json!({
        "type": "CombinedExtractor", "mode": "first_match", "skip_empty_records": true,
        "extractors": [path("none"), path("some")],
    });
    let found = extracted(component, r#"{"none": [null, {}], "some": [null, {"id": 1}]}"#).unwrap();
    assert_eq!(found, [None, Some(json!({ "id": 1 }))]);
}

#[test]
fn a_download_is_csv_whose_missing_cells_are_null() {
    let body = "a,b\nNA,x\n,\"y, z\"\n";
    let rows = |keep: bool| {
        let rows = extracted(json!({ "type": "ResponseToFileExtractor", "preserve_na_values": keep }), body).unwrap();
        rows.into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(rows(false), [json!({ "a": null, "b": "x" }), json!({ "a": null, "b": "y, z" })]);
    assert_eq!(rows(true), [json!({ "a": "NA", "b": "x" }), json!({ "a": null, "b": "y, z" })]);
}

#[test]
fn a_path_that_leads_to_many_places_needs_a_star() {
    let component = json!({ "type": "DpathExtractor", "field_path": ["a?"] });
    assert!(extracted(component, r#"{"a1": [1], "a2": [2]}"#).unwrap_err().to_string().contains("'*'"));
}

#[test]
fn a_truncated_list_is_told_and_fetched_items_get_the_same_context() {
    let component = json!({
        "expand_records_from_field": ["items", "data"], "truncation_indicator_path": ["items", "has_more"],
        "parent_fields": [{ "parent_path": ["id"], "record_path": ["parent"] }],
    });
    let expander = RecordExpander::compile(&component).unwrap();
    let record = json!({ "id": 1, "items": { "data": [{ "x": 1 }], "has_more": true } });
    assert!(expander.is_truncated(&record, &context()).unwrap());
    let fetched = expander.with_parent(json!({ "x": 2 }), &record, &context()).unwrap();
    assert_eq!(fetched, json!({ "x": 2, "parent": 1 }));
}
