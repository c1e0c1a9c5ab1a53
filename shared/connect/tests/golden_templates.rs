//! Templates, against what the reference makes of them. `golden/record.py` says how the expected values came about.

use teal_connect::interpolate::{Context, StreamSlice, Template, TemplateError};
use teal_connect::value::{Value, json};

fn read(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    serde_json::from_str(&text).expect(&path)
}

/// Templates that Teal deliberately, or for want of a way, treats otherwise; each with its reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("0xfffffffffffffffff", "an integer beyond 64 bits keeps its digits as a text"),
    ("123456789012345678901234567890", "an integer beyond 64 bits keeps its digits as a text"),
    ("{{ 10000000000000000000000 }}", "an integer beyond 64 bits keeps its digits as a text"),
    ("{{ 10 ** 20 }}", "an integer beyond 64 bits keeps its digits as a text"),
    ("{{ 99999999999 * 99999999999 }}", "an integer beyond 64 bits keeps its digits as a text"),
    ("{'a': [1, {'b': 2}], 1: 2, None: 3, True: 4, 1.5: 6}", "the keys 1 and True stay two"),
    ("{1, 2}", "a set has no JSON value"),
    ("b'bytes'", "bytes have no JSON value"),
    ("1e400", "an infinite number has no JSON value"),
    ("{{ config.items() }}", "the reference prints 'dict_items(…)', which is of no use to anyone"),
    ("{{ 'abc'.__class__ }}x", "the reference prints nothing; a forbidden name is an error from the start"),
];

#[test]
fn every_template_renders_to_what_the_reference_makes_of_it() {
    let shown = read("context");
    let slice = &shown["stream_slice"];
    let members = |name: &str| slice[name].as_object().expect("a mapping").clone();
    let slice = StreamSlice::new(members("partition"), members("cursor_slice"), members("extra_fields"));
    let mut context = Context::new(shown["now"].as_str().expect("a text").parse().expect("a moment"));
    for name in ["config", "parameters", "record", "response", "next_page_token"] {
        context = context.with(name, &shown[name]);
    }
    let headers = teal_connect::interpolate::Variable::Headers(&shown["headers"]);
    let context = context.with("headers", headers).with("stream_slice", &slice);

    let cases = read("templates");
    let mut wrong = Vec::new();
    for case in cases.as_array().expect("a list") {
        let text = case["template"].as_str().expect("a text");
        if DIFFERENT.iter().any(|(template, _)| *template == text) {
            continue;
        }
        let compiled = Template::compile(text);
        let outcome = |render: &dyn Fn(&Template) -> Result<Value, TemplateError>| {
            compiled.as_ref().map_err(Clone::clone).and_then(render)
        };
        for (kind, outcome) in [
            ("string", outcome(&|template| template.render(&context))),
            ("member", outcome(&|template| template.render_or_null(&context))),
            ("bool", outcome(&|template| template.render_bool(&context).map(Value::Bool))),
        ] {
            let expected = &case[kind];
            let right = match (&outcome, expected.get("value")) {
                (Ok(value), Some(expected)) => value == expected,
                (Err(_), None) => true,
                _ => false,
            };
            if !right {
                let found = outcome
                    .map_or_else(|error| json!({ "error": error.to_string() }), |value| json!({ "value": value }));
                wrong.push(format!("{kind}: {text}\n    expected {expected}\n    found    {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
