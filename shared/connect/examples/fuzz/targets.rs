//! What is given random inputs, by the example that this is part of and by `fuzz/` at the root.

use std::collections::BTreeMap;
use std::sync::Arc;

use teal_connect::interpolate::{Context, Template};
use teal_connect::manifest_yaml;
use teal_connect::node::NoFiles;
use teal_connect::source::Source;
use teal_connect::source::catalog::Catalog;
use teal_connect::value::json;

pub fn interpolation(text: &str) {
    let Ok(template) = Template::compile(text) else { return };
    let config = json!({ "name": "amber", "list": [1, "a", null], "nested": { "a": 1.5 }, "yes": true });
    let context = Context::new(jiff::Timestamp::UNIX_EPOCH).with("config", &config).with("record", &config);
    let _ = template.render(&context);
    let _ = template.render_bool(&context);
}

pub fn yaml(text: &str) {
    let _ = manifest_yaml::load(text);
}

/// Loaded, checked, and its streams compiled.
pub fn manifest(text: &str) {
    let config = json!({ "url": "https://api.example.com", "key": "k", "mode": "second" });
    let now = jiff::Timestamp::UNIX_EPOCH;
    let source = Source::new(text, Some(config), Arc::new(NoFiles), Catalog::default(), BTreeMap::new(), now);
    let Ok(source) = source else { return };
    let (Ok(mut session), Ok(mut building)) = (source.session(Arc::new(|| 0)), source.building(None)) else { return };
    let _ = building.step(&mut session, now);
}
