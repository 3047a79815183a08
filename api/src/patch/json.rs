//! JSON patch, RFC 6902.

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::{PatchError, parse};
use crate::field::go_quote;

/// Operations of one patch at most, as in Kubernetes.
const MAX_OPERATIONS: usize = 10_000;

/// The fields of an operation.
const FIELDS: &[&str] = &["op", "path", "from", "value"];

/// Problems told of one patch at most: whoever sends more means no good.
const MAX_PROBLEMS: usize = 100;

/// Size of the result relative to what a client may send: a chain of `copy` operations doubles an
/// object each time.
const MAX_RESULT_BYTES: usize = 3 * 1024 * 1024;

pub(super) fn apply(object: &Value, body: &[u8]) -> Result<Value, PatchError> {
    let operations = parse(body)?;
    let Some(list) = operations.as_array() else {
        return Err(PatchError::Malformed(format!(
            "json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
            crate::decode::json_type(&operations)
        )));
    };
    if list.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations { limit: MAX_OPERATIONS, got: list.len() });
    }
    let Patch(patch) = serde_json::from_value(operations)
        .map_err(|error: serde_json::Error| PatchError::Malformed(error.to_string()))?;
    let mut result = object.clone();
    let mut copied = 0_usize;
    for operation in &patch {
        if let PatchOperation::Copy(copy) = operation {
            let size = result.pointer(copy.from.as_str()).map_or(0, |v| v.to_string().len());
            copied = copied.saturating_add(size);
            if copied > MAX_RESULT_BYTES {
                return Err(PatchError::Rejected);
            }
        }
        if let PatchOperation::Test(test) = operation
            && test.value.is_null()
            && is_absent(&result, test.path.as_str())
        {
            continue;
        }
        let one = std::slice::from_ref(operation);
        json_patch::patch(&mut result, one).map_err(|_| PatchError::Rejected)?;
    }
    if result.is_object() { Ok(result) } else { Err(PatchError::Rejected) }
}

/// Whether `path` names a field that an object could have and has not. To `test` such a field for `null`
/// succeeds in Kubernetes, unlike in RFC 6902; that is how clients make sure to be the first to set it.
fn is_absent(object: &Value, path: &str) -> bool {
    let Some((parent, field)) = path.rsplit_once('/') else { return false };
    let field = field.replace("~1", "/").replace("~0", "~");
    let parent = object.pointer(parent).and_then(Value::as_object);
    parent.is_some_and(|parent| !parent.contains_key(&field))
}

/// Fields that operations do not have, and those that are there twice, operation by operation.
pub(super) fn problems(operations: &Value, duplicates: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, operation) in operations.as_array().into_iter().flatten().enumerate() {
        let fields = operation.as_object().into_iter().flat_map(serde_json::Map::keys);
        for field in fields.filter(|field| !FIELDS.contains(&field.as_str())) {
            let path = format!("[{index}].{field}");
            found.push((index, format!("json patch unknown field {}", go_quote(&path))));
        }
    }
    for path in duplicates {
        let index = path.strip_prefix('[').and_then(|path| path.split(']').next()?.parse().ok());
        let problem = format!("json patch duplicate field {}", go_quote(path));
        found.push((index.unwrap_or_default(), problem));
    }
    found.sort_by_key(|(index, _)| *index);
    found.truncate(MAX_PROBLEMS);
    found.into_iter().map(|(_, problem)| problem).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(object: &Value, patch: &Value) -> Result<Value, PatchError> {
        apply(object, patch.to_string().as_bytes())
    }

    #[test]
    fn applies_or_refuses_as_a_whole() {
        let object = json!({"data": {"a": "1"}});
        let patch = json!([{"op": "add", "path": "/data/b", "value": "2"},
            {"op": "test", "path": "/data/a", "value": "1"}, {"op": "remove", "path": "/data/a"}]);
        assert_eq!(run(&object, &patch), Ok(json!({"data": {"b": "2"}})));
        let cases = [
            json!([{"op": "remove", "path": "/data/nope"}]),
            json!([{"op": "test", "path": "/data/a", "value": "2"}]),
            json!([{"op": "replace", "path": "", "value": 1}]),
        ];
        for patch in cases {
            assert_eq!(run(&object, &patch), Err(PatchError::Rejected), "{patch}");
        }
        let error = run(&object, &json!({"a": 1})).expect_err("no list");
        assert_eq!(
            error.to_string(),
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        );
        assert!(matches!(run(&object, &json!([{"op": "jump"}])), Err(PatchError::Malformed(_))));
    }

    #[test]
    fn a_field_that_is_not_there_passes_a_test_for_null() {
        let object = json!({"metadata": {"name": "x", "annotations": {"a/b": "1"}}, "list": []});
        let add = json!({"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]});
        let test = |path: &str| json!([{"op": "test", "path": path, "value": null}, add]);
        for path in ["/metadata/finalizers", "/metadata/annotations/a~1c"] {
            let patched = run(&object, &test(path)).expect(path);
            assert_eq!(patched["metadata"]["finalizers"], json!(["a/b"]), "{path}");
        }
        for path in ["/metadata/name", "/metadata/annotations/a~1b", "/status/phase", "/list/0", ""]
        {
            assert_eq!(run(&object, &test(path)), Err(PatchError::Rejected), "{path}");
        }
    }

    #[test]
    fn a_chain_of_copies_cannot_exhaust_memory() {
        let object = json!({"a": "x".repeat(1000)});
        let mut patch = Vec::new();
        for n in 0..40 {
            patch.push(json!({"op": "copy", "from": "", "path": format!("/c{n}")}));
        }
        assert_eq!(run(&object, &Value::Array(patch)), Err(PatchError::Rejected));
    }
}
