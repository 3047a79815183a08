//! See `checks::server_side_apply`: two configurations of a pod, a line of JSON each for the spec.
#![no_main]

use serde_json::{Value, json};

#[path = "../../api/tests/laws/checks.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut specs = text.splitn(2, '\n').map(|line| serde_json::from_str::<Value>(line).ok());
    let (Some(Some(one)), Some(Some(two))) = (specs.next(), specs.next()) else { return };
    let pod =
        |spec| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
    checks::server_side_apply(&pod(one), &pod(two));
});
