//! No template panics, overflows the stack or runs without end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use teal_connect::interpolate::{Context, Template};
use teal_connect::value::json;

fuzz_target!(|text: &str| {
    let Ok(template) = Template::compile(text) else { return };
    let config = json!({ "name": "amber", "list": [1, "a", null], "nested": { "a": 1.5 }, "yes": true });
    let context = Context::new(jiff::Timestamp::UNIX_EPOCH).with("config", &config).with("record", &config);
    let _ = template.render(&context);
    let _ = template.render_bool(&context);
});
