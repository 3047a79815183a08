//! Merge patch, RFC 7386.

use serde_json::Value;

use super::{PatchError, parse};

pub(super) fn apply(object: &Value, body: &[u8]) -> Result<Value, PatchError> {
    let patch = parse(body)?;
    if patch.is_null() {
        return Err(PatchError::Directive("Invalid JSON Patch".to_owned()));
    }
    if !patch.is_object() {
        return Err(PatchError::Malformed(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            crate::decode::json_type(&patch)
        )));
    }
    let mut result = object.clone();
    json_patch::merge(&mut result, &patch);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merges_maps_and_replaces_lists() {
        let object = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        let patch = json!({"a": {"b": null, "c": [3]}, "e": {"f": null}});
        let result = apply(&object, patch.to_string().as_bytes());
        assert_eq!(result, Ok(json!({"a": {"c": [3]}, "d": 1, "e": {}})));
        assert!(apply(&object, b"[]").is_err());
        let nothing = apply(&object, b"null").expect_err("no patch");
        assert_eq!(nothing.to_string(), "Invalid JSON Patch");
        assert!(apply(&object, b"{").is_err());
    }
}
