//! See `checks::schema`: the schema of a definition in a line of JSON, and an object of it.
#![no_main]

#[path = "../../api/tests/laws/checks.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (schema, object) = text.split_once('\n').unwrap_or((text, "{}"));
    if let Ok(schema) = serde_json::from_str(schema) {
        checks::schema(&schema, object.as_bytes());
    }
});
