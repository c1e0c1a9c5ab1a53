//! Components, against what the reference makes of the same input. `golden/record.py` says how the expected
//! outcomes came about, `golden/cases.py` has the inputs.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use teal_connect::datetime;
use teal_connect::decode::Decoder;
use teal_connect::extract::{Answer, Extractor};
use teal_connect::interpolate::{Context, StreamSlice};
use teal_connect::manifest_yaml;
use teal_connect::normalize::Normalizer;
use teal_connect::transform::Transformation;
use teal_connect::value::{Value, json};

fn read(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    serde_json::from_str(&text).expect(&path)
}

/// What Teal deliberately treats otherwise: what the case holds, and the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("<a><b>1</b></a><c/>", "what is no XML is an error, not an empty record"),
    ("<a><b></a>", "what is no XML is an error, not an empty record"),
    ("no xml", "what is no XML is an error, not an empty record"),
    ("a: =", "the reference fails on a lone '='; here it is a text"),
];

fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn outcome(case: &Value, context: &Context) -> Result<Value, String> {
    let text = |name: &str| case[name].as_str().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in case["headers"].as_object().into_iter().flatten() {
        let value = HeaderValue::from_str(value.as_str().expect("a text")).expect("a header");
        headers.insert(HeaderName::from_bytes(name.as_bytes()).expect("a header"), value);
    }
    let body = Bytes::copy_from_slice(text("body").as_bytes());
    match text("kind") {
        "transform" => {
            let mut record = case["record"].clone();
            let transformation = Transformation::compile(&case["component"]).map_err(message)?;
            transformation.apply(&mut record, context).map_err(message)?;
            Ok(record)
        }
        "extract" => {
            let extractor = Extractor::compile(&case["component"]).map_err(message)?;
            let answer = Answer { decoder: &Decoder::Json, body: &body, headers: &headers };
            let records = extractor.extract(answer, context).map_err(message)?;
            records.filter_map(|record| record.map_err(message).transpose()).collect()
        }
        "decode" => {
            let decoder = Decoder::compile(Some(&case["component"])).map_err(message)?;
            decoder.decode(&body, &headers).map_err(message)?.map(|value| value.map_err(message)).collect()
        }
        "normalize" => {
            let mut record = case["record"].clone();
            Normalizer::compile(&case["schema"]).apply(&mut record);
            Ok(record)
        }
        "yaml" => manifest_yaml::load(text("text")).map(|document| document.value).map_err(message),
        "parse" => {
            let mut out = String::new();
            datetime::parse(text("text"), text("format")).map_err(message)?.write_iso(&mut out, 'T');
            Ok(out.into())
        }
        _ => {
            let moment = datetime::parse(text("text"), "%Y-%m-%dT%H:%M:%S.%f%z")
                .or_else(|_| datetime::parse(text("text"), "%Y-%m-%dT%H:%M:%S%z"))
                .map_err(message)?;
            Ok(datetime::format(&moment, text("format")).into())
        }
    }
}

#[test]
fn every_component_does_what_the_reference_does_with_the_same_input() {
    let shown = read("context");
    let slice = &shown["stream_slice"];
    let members = |name: &str| slice[name].as_object().expect("a mapping").clone();
    let slice = StreamSlice::new(members("partition"), members("cursor_slice"), members("extra_fields"));
    let now = shown["now"].as_str().expect("a text").parse().expect("a moment");
    let context = Context::new(now).with("config", &shown["config"]).with("stream_slice", &slice);
    let mut wrong = Vec::new();
    for case in read("cases").as_array().expect("a list") {
        let mut input = case.clone();
        let expected = ["value", "error"].map(|name| input.as_object_mut().and_then(|case| case.remove(name)));
        let input = input.to_string();
        if DIFFERENT.iter().any(|(part, _)| input.contains(part)) {
            continue;
        }
        let found = outcome(case, &context);
        let right = match (&found, &expected[0]) {
            (Ok(found), Some(expected)) => found == expected,
            (Err(_), None) => true,
            _ => false,
        };
        if !right {
            let found = found.map_or_else(|error| json!({ "error": error }), |value| json!({ "value": value }));
            wrong.push(format!("{input}\n    expected {}\n    found    {found}", Value::from_iter(expected)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
