//! See `checks::protobuf_body`. The magic number in front is given: nothing is found without it.
#![no_main]

#[path = "../../api/tests/laws/checks.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::protobuf_body(&[b"k8s\0", bytes].concat()));
