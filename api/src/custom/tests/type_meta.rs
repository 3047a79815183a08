//! What objects say that they are.

use super::*;
use crate::status::Status;

/// A body and the refusal of it.
fn sent(body: &Value) -> Option<Status> {
    let row = row(&json!({"type": "object"}), &json!({}));
    decode::decode(&row, body.to_string().as_bytes()).err()
}

#[test]
fn an_object_says_its_kind_and_its_version() {
    let named = json!({"name": "a"});
    let foo =
        |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": named});
    assert_eq!(sent(&foo("gold.io/v1", "Foo")), None);
    for (body, code, message) in [
        (
            json!({"apiVersion": "gold.io/v1"}),
            400,
            "the object provided is unrecognized (must be of type Foo): Object 'Kind' is missing in \
             '{\"apiVersion\":\"gold.io/v1\"}' ({\"apiVersion\":\"gold.io/v1\"})",
        ),
        (
            json!({"kind": "Foo"}),
            400,
            "the API version in the data () does not match the expected API version (gold.io/v1)",
        ),
        (
            foo("gold.io/v2", "Foo"),
            400,
            "the API version in the data (gold.io/v2) does not match the expected API version (gold.io/v1)",
        ),
        (
            foo("v1", "ConfigMap"),
            400,
            "the API version in the data (v1) does not match the expected API version (gold.io/v1)",
        ),
        (
            json!({"apiVersion": "a/b/c", "kind": "Foo"}),
            400,
            "the object provided is unrecognized (must be of type Foo): Object 'Kind' is missing in \
             '{\"apiVersion\":\"a/b/c\",\"kind\":\"Foo\"}' ({\"apiVersion\":\"a/b/c\",\"kind\":\" ...)",
        ),
        (
            foo("gold.io/v1", "Bar"),
            422,
            "Bar.gold.io \"a\" is invalid: kind: Invalid value: \"Bar\": must be Foo",
        ),
    ] {
        let status = sent(&body).expect("refused");
        assert_eq!((status.code, &*status.message), (code, message), "{body}");
    }
    let status = sent(&foo("gold.io/v1", "Bar")).expect("refused");
    let details = status.details.expect("details");
    assert_eq!((&*details.kind, &*details.group, &*details.name), ("Bar", "gold.io", "a"));
    assert_eq!(details.causes[0].field, "kind");
    assert_eq!(sent(&json!([])).map(|status| status.code), Some(400));
}

#[test]
fn a_patch_leaves_the_kind_as_it_is() {
    let row = row(&json!({"type": "object"}), &json!({}));
    for (object, code, message) in [
        (
            json!({"apiVersion": "gold.io/v1", "metadata": {"name": "a"}}),
            422,
            " \"\" is invalid: patch: Invalid value: \
             \"{\\\"apiVersion\\\":\\\"gold.io/v1\\\",\\\"metadata\\\":{\\\"name\\\":\\\"a\\\"}}\": \
             Object 'Kind' is missing in '{\"apiVersion\":\"gold.io/v1\",\"metadata\":{\"name\":\"a\"}}'",
        ),
        (
            json!({"kind": "Foo", "metadata": {"name": "a"}}),
            500,
            "Internal error occurred: Object 'apiVersion' is missing in 'unstructured object has no version'",
        ),
        (
            json!({"apiVersion": "gold.io/v2", "kind": "Foo", "metadata": {"name": "a"}}),
            422,
            "Foo.gold.io \"a\" is invalid: apiVersion: Invalid value: \"gold.io/v2\": must be gold.io/v1",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Bar", "metadata": {"name": "a"}}),
            422,
            "Bar \"a\" is invalid: [kind: Invalid value: \"Bar\": must be Foo, \
             apiVersion: Invalid value: \"v1\": must be gold.io/v1]",
        ),
    ] {
        let status = decode::check(&row, object.clone()).expect_err("refused");
        assert_eq!((status.code, &*status.message), (code, message), "{object}");
    }
}
