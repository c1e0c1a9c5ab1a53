//! No manifest panics, overflows the stack or loads without end.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use teal_connect::node::NoFiles;
use teal_connect::source::Source;
use teal_connect::source::catalog::Catalog;
use teal_connect::value::json;

fuzz_target!(|text: &str| {
    let config = json!({ "url": "https://api.example.com", "key": "k", "mode": "second" });
    let now = jiff::Timestamp::UNIX_EPOCH;
    let source = Source::new(text, Some(config), Arc::new(NoFiles), Catalog::default(), BTreeMap::new(), now);
    let Ok(source) = source else { return };
    let (Ok(mut session), Ok(mut building)) = (source.session(Arc::new(|| 0)), source.building(None)) else { return };
    let _ = building.step(&mut session, now);
});
