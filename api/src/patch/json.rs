//! JSON patch, RFC 6902, with the liberties of the library that Kubernetes uses
//! (gopkg.in/evanphx/json-patch.v4): indices may count from the end of a list (`-1` is the last
//! item), an operation without a value has the value null, what stands before the first slash of a
//! path does not count, and to `test` a field that is not there for null succeeds.
//!
//! A text that is no list of operations is refused as such (400); an operation that cannot be
//! carried out, be it for its name, is one more patch that does not apply (422).

use serde_json::{Map, Value};

use super::pointer::{self, Key};
use super::{PatchError, parse};
use crate::decode::json_type;
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

/// An operation as it was sent; none of its fields need be there.
struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Option<Value>,
}

pub(super) fn apply(object: &Value, body: &[u8]) -> Result<Value, PatchError> {
    let operations = read(parse(body)?)?;
    if operations.len() > MAX_OPERATIONS {
        let got = operations.len();
        return Err(PatchError::TooManyOperations { limit: MAX_OPERATIONS, got });
    }
    let mut result = object.clone();
    let mut copied = 0_usize;
    for operation in operations {
        operate(&mut result, operation, &mut copied).ok_or(PatchError::Rejected)?;
    }
    Ok(result)
}

/// Reads the list of operations.
fn read(patch: Value) -> Result<Vec<Operation>, PatchError> {
    let refuse = |what: &Value, into: &str| {
        let kind = json_type(what);
        PatchError::Malformed(format!("json: cannot unmarshal {kind} into Go {into}"))
    };
    let list = match patch {
        Value::Null => Vec::new(),
        Value::Array(list) => list,
        other => return Err(refuse(&other, "value of type []handlers.jsonPatchOp")),
    };
    list.into_iter()
        .map(|operation| {
            let mut fields = match operation {
                Value::Null => Map::new(),
                Value::Object(fields) => fields,
                other => return Err(refuse(&other, "value of type handlers.jsonPatchOp")),
            };
            let mut text = |field: &str| match fields.remove(field) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text)),
                Some(other) => {
                    let place = format!("struct field jsonPatchOp.{field} of type string");
                    Err(refuse(&other, &place))
                }
            };
            let (op, path, from) = (text("op")?, text("path")?, text("from")?);
            let value = fields.remove("value");
            Ok(Operation { op: op.unwrap_or_default(), path, from, value })
        })
        .collect()
}

/// Carries out one operation; `None` if it cannot be. `copied`: bytes copied so far.
fn operate(document: &mut Value, operation: Operation, copied: &mut usize) -> Option<()> {
    let Operation { op, path, from, value } = operation;
    match op.as_str() {
        "add" => add(document, &path?, value.unwrap_or_default()),
        "remove" => pointer::find(document, &path?)?.remove().map(drop),
        "replace" => {
            let (path, value) = (path?, value.unwrap_or_default());
            fits(&path, &value)?;
            *pointer::find(document, &path)?.get()? = value;
            Some(())
        }
        "move" => {
            let moved = pointer::find(document, &from?)?.remove()?;
            add(document, &path?, moved)
        }
        "copy" => {
            let copy = pointer::find(document, &from?)?.get()?.clone();
            *copied = copied.saturating_add(copy.to_string().len());
            if *copied > MAX_RESULT_BYTES {
                return None;
            }
            add(document, &path?, copy)
        }
        "test" => {
            let mut place = pointer::find(document, &path?)?;
            let wanted = value.unwrap_or_default();
            let holds = match place.get() {
                Some(have) => *have == wanted,
                // That is how clients make sure to be the first to set a field.
                None => wanted.is_null() && matches!(place.key, Key::Field(_)),
            };
            holds.then_some(())
        }
        _ => None,
    }
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    fits(path, &value)?;
    pointer::find(document, path)?.add(value)
}

/// Each operation can put what others have made into itself, twice as deep as it was: none may make
/// it deeper than what a client may send.
fn fits(path: &str, value: &Value) -> Option<()> {
    let fields = path.bytes().filter(|byte| *byte == b'/').count();
    crate::decode::fits_below(fields, value).then_some(())
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
            json!([{"op": "test", "path": "/data/a"}]),
            json!([{"op": "replace", "path": "/data/nope", "value": "2"}]),
            json!([{"op": "replace", "path": "", "value": {}}]),
            json!([{"op": "add", "path": "/none/a", "value": 1}]),
            json!([{"op": "add", "path": "data", "value": 1}]),
            json!([{"op": "add", "value": 1}]),
            json!([{"op": "copy", "path": "/data/b"}]),
            json!([{"op": "move", "from": "/data/none", "path": "/data/b"}]),
            json!([{"op": "jump", "path": "/data/a"}]),
            json!([{"path": "/data/a", "value": "2"}]),
            json!([{}]),
            json!([null]),
        ];
        for patch in cases {
            assert_eq!(run(&object, &patch), Err(PatchError::Rejected), "{patch}");
        }
        assert_eq!(run(&object, &json!([])), Ok(object));
    }

    #[test]
    fn no_operation_makes_an_object_too_deep() {
        // Each copy puts all of the chain at its end.
        let mut path = "/data/a".to_owned();
        let mut operations = vec![json!({"op": "add", "path": "/data", "value": {"a": {}}})];
        for _ in 0..18 {
            operations.push(json!({"op": "copy", "from": "/data", "path": format!("{path}/a")}));
            path = format!("{path}/a{}", &path["/data".len()..]);
            if path.len() > 100_000 {
                break;
            }
        }
        assert_eq!(run(&json!({}), &json!(operations)), Err(PatchError::Rejected));
        operations.truncate(4);
        assert!(run(&json!({}), &json!(operations)).is_ok());
        let deep = (0..97).fold(json!(1), |value, _| json!({ "a": value }));
        let object = json!({"a": deep, "b": {"c": {"d": {"e": 1}}}});
        for (op, path, fits) in [
            ("add", "/b/c/d", true),
            ("add", "/b/c/d/e", false),
            ("replace", "/b/c/d", true),
            ("replace", "/b/c/d/e", false),
        ] {
            let done = run(&object, &json!([{"op": op, "path": path, "value": deep}]));
            assert_eq!(done.is_ok(), fits, "{op} {path}");
        }
        let patch = json!([{"op": "move", "from": "/a", "path": "/b/c/d/f"}]);
        assert_eq!(run(&object, &patch), Err(PatchError::Rejected));
    }

    #[test]
    fn what_is_no_list_of_operations_is_told_from_what_does_not_apply() {
        for (patch, want) in [
            (
                "{\"a\": 1}",
                "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ),
            ("[1]", "json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
            (
                "[{\"op\": 1}]",
                "json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
            ),
            (
                "[{\"op\": \"add\", \"path\": []}]",
                "json: cannot unmarshal array into Go struct field jsonPatchOp.path of type string",
            ),
            ("[", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
        ] {
            let error = apply(&json!({}), patch.as_bytes()).expect_err(patch);
            assert_eq!(error, PatchError::Malformed(want.to_owned()), "{patch}");
            assert_eq!(error.to_string(), format!("error decoding patch: {want}"));
        }
        let many = vec![json!({"op": "add", "path": "/a"}); MAX_OPERATIONS + 1];
        let error = run(&json!({}), &many.into()).expect_err("too many");
        let want = "Request entity too large: The allowed maximum operations in a JSON patch is \
                    10000, got 10001";
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn operations_have_their_liberties() {
        let object = json!({"l": ["a", "b"], "m": {"a/b": 1, "c~d": 2}});
        for (patch, want) in [
            (
                json!([{"op": "add", "path": "/l/-", "value": "c"}]),
                json!({"l": ["a", "b", "c"], "m": object["m"]}),
            ),
            (
                json!([{"op": "add", "path": "/l/-1", "value": "c"}]),
                json!({"l": ["a", "b", "c"], "m": object["m"]}),
            ),
            (
                json!([{"op": "add", "path": "/l/0", "value": "c"}]),
                json!({"l": ["c", "a", "b"], "m": object["m"]}),
            ),
            (json!([{"op": "remove", "path": "/l/-1"}]), json!({"l": ["a"], "m": object["m"]})),
            (
                json!([{"op": "replace", "path": "/l/-2", "value": "x"}]),
                json!({"l": ["x", "b"], "m": object["m"]}),
            ),
            (
                json!([{"op": "move", "from": "/l", "path": "/m/l"}]),
                json!({"m": {"a/b": 1, "c~d": 2, "l": ["a", "b"]}}),
            ),
            (
                json!([{"op": "remove", "path": "/m/a~1b"}, {"op": "copy", "from": "/m/c~0d", "path": "/m/e"}]),
                json!({"l": ["a", "b"], "m": {"c~d": 2, "e": 2}}),
            ),
            (
                json!([{"op": "add", "path": "/n"}, {"op": "add", "path": "x/o", "value": 1}]),
                json!({"l": ["a", "b"], "m": object["m"], "n": null, "o": 1}),
            ),
        ] {
            assert_eq!(run(&object, &patch), Ok(want), "{patch}");
        }
        for path in ["/l/3", "/l/-4", "/l/x", "/l/", "/l/a/b", "/m/a~1b/c"] {
            let patch = json!([{"op": "add", "path": path, "value": 1}]);
            assert_eq!(run(&object, &patch), Err(PatchError::Rejected), "{path}");
        }
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
        let object = json!({"a": {"b": "x".repeat(1000)}});
        let mut patch = Vec::new();
        for n in 0..40 {
            patch.push(json!({"op": "copy", "from": "/a", "path": format!("/a/c{n}")}));
        }
        assert_eq!(run(&object, &Value::Array(patch)), Err(PatchError::Rejected));
    }
}
