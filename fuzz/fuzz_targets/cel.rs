//! See `checks::cel`.
#![no_main]

#[path = "../../api/tests/laws/checks.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &str| checks::cel(text));
