//! No manifest's text panics, overflows the stack or blows up.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = teal_connect::manifest_yaml::load(text);
});
