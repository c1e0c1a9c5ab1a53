//! No manifest panics, overflows the stack or loads without end.
#![no_main]

#[allow(dead_code, reason = "each target has its own binary")]
#[path = "../../shared/connect/examples/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|text: &str| targets::manifest(text));
