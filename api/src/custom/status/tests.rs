use serde_json::{Value, json};

use super::*;

fn at() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().expect("a time")
}

/// A definition of the group with these names.
fn with(name: &str, plural: &str, kind: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"group": "gold.io",
        "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")}}})
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

#[test]
fn names_go_to_who_came_first() {
    let mut first = with("foos.gold.io", "foos", "Foo");
    let taken = accept(&first, [].iter(), None, at());
    assert!(taken.served);
    first["status"] = taken.status;
    let conditions: Vec<_> = first["status"]["conditions"]
        .as_array()
        .expect("conditions")
        .iter()
        .map(|c| format!("{}={} {}", c["type"], c["status"], c["reason"]))
        .collect();
    assert_eq!(
        conditions,
        [
            r#""NamesAccepted"="True" "NoConflicts""#,
            r#""Established"="True" "InitialNamesAccepted""#
        ]
    );
    // Nothing more to do, and no time changes.
    let later = "2027-01-01T00:00:00Z".parse().expect("a time");
    assert_eq!(accept(&first, [].iter(), None, later).status, first["status"]);

    let second = with("foos2.gold.io", "foos2", "Foo");
    let refused = accept(&second, [&first].into_iter(), None, at());
    assert!(!refused.served);
    // Of several conflicts the last is told.
    assert_eq!(refused.status["conditions"][0]["reason"], "ListKindConflict");
    assert_eq!(refused.status["conditions"][0]["message"], "\"FooList\" is already in use");
    assert_eq!(refused.status["conditions"][1]["reason"], "NotAccepted");
    assert_eq!(refused.status["acceptedNames"], json!({"plural": "foos2", "kind": ""}));
    let mut elsewhere = second;
    elsewhere["spec"]["group"] = json!("other.io");
    assert!(accept(&elsewhere, [&first].into_iter(), None, at()).served);

    // Who was established stays, whatever becomes of the names.
    let mut renamed = first.clone();
    renamed["spec"]["names"]["shortNames"] = json!(["bar"]);
    let mut other = with("bars.gold.io", "bars", "Bar");
    other["status"] = accept(&other, [].iter(), None, at()).status;
    let kept = accept(&renamed, [&other].into_iter(), None, at());
    assert!(kept.served);
    assert_eq!(kept.status["conditions"][0]["status"], "False");
    assert_eq!(kept.status["conditions"][1]["status"], "True");
}

#[test]
fn every_name_can_be_taken() {
    let mut first = with("foos.gold.io", "foos", "Foo");
    first["spec"]["names"]["shortNames"] = json!(["fo", "f"]);
    first["status"] = accept(&first, [].iter(), None, at()).status;
    for (field, value, reason, message) in [
        ("plural", json!("foo"), "PluralConflict", r#""foo" is already in use"#),
        ("singular", json!("foos"), "SingularConflict", r#""foos" is already in use"#),
        ("shortNames", json!(["x", "f"]), "ShortNamesConflict", r#""f" is already in use"#),
        (
            "shortNames",
            json!(["fo", "foos"]),
            "ShortNamesConflict",
            r#"["fo" is already in use, "foos" is already in use]"#,
        ),
        ("kind", json!("FooList"), "KindConflict", r#""FooList" is already in use"#),
        ("listKind", json!("Foo"), "ListKindConflict", r#""Foo" is already in use"#),
    ] {
        let mut second = with("bars.gold.io", "bars", "Bar");
        second["spec"]["names"][field] = value;
        let found = accept(&second, [&first].into_iter(), None, at());
        let told = condition(&found.status, "NamesAccepted");
        assert_eq!(
            (&told["status"], &told["reason"], &told["message"]),
            (&json!("False"), &json!(reason), &json!(message)),
            "{field}"
        );
        assert!(!found.served);
        assert_ne!(found.status["acceptedNames"][field], second["spec"]["names"][field]);
    }
}

#[test]
fn groups_of_kubernetes_want_an_approval() {
    let url = "https://github.com/kubernetes/kubernetes/pull/1";
    for (annotation, status, reason, message) in [
        (
            "",
            "False",
            "MissingAnnotation",
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        ),
        (url, "True", "ApprovedAnnotation", &*format!("approved in {url}")),
        (
            "unapproved, an experiment",
            "False",
            "UnapprovedAnnotation",
            "not approved: \"unapproved, an experiment\"",
        ),
        (
            "yes",
            "False",
            "InvalidAnnotation",
            "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111",
        ),
    ] {
        let mut definition = with("foos.a.k8s.io", "foos", "Foo");
        definition["spec"]["group"] = json!("a.k8s.io");
        definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": annotation});
        let found = accept(&definition, [].iter(), None, at());
        let told = condition(&found.status, "KubernetesAPIApprovalPolicyConformant");
        assert_eq!(
            (&told["status"], &told["reason"], &told["message"]),
            (&json!(status), &json!(reason), &json!(message)),
        );
        assert!(found.served, "it is told, not enforced");
    }
    let other = accept(&with("foos.gold.io", "foos", "Foo"), [].iter(), None, at());
    assert!(condition(&other.status, "KubernetesAPIApprovalPolicyConformant").is_null());
}

#[test]
fn what_is_not_structural_is_told_while_it_is() {
    let mut definition = with("foos.gold.io", "foos", "Foo");
    definition["spec"]["preserveUnknownFields"] = json!(true);
    definition["spec"]["versions"] = json!([{"name": "v1", "schema": {"openAPIV3Schema": {
        "type": "object", "properties": {"spec": {"properties": {}}}}}}]);
    let found = violations(&definition);
    assert_eq!(
        found.as_deref(),
        Some(
            "[spec.preserveUnknownFields: Invalid value: true: must be false, \
             spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields]"
        )
    );
    let status = accept(&definition, [].iter(), found.as_deref(), at()).status;
    let told = condition(&status, "NonStructuralSchema");
    assert_eq!((&told["status"], &told["reason"]), (&json!("True"), &json!("Violations")));
    definition["status"] = status;
    let later = accept(&definition, [].iter(), None, at()).status;
    assert!(condition(&later, "NonStructuralSchema").is_null());
}

#[test]
fn the_end_of_a_definition_is_told() {
    let mut definition = with("foos.gold.io", "foos", "Foo");
    let ended = terminating(&definition, at());
    assert_eq!(condition(&ended, "Terminating")["reason"], "NeverEstablished");
    definition["status"] = accept(&definition, [].iter(), None, at()).status;
    let ended = terminating(&definition, at());
    let told = condition(&ended, "Terminating");
    assert_eq!(
        (&told["status"], &told["reason"], &told["message"]),
        (
            &json!("True"),
            &json!("InstanceDeletionInProgress"),
            &json!("CustomResource deletion is in progress")
        )
    );
    assert_eq!(condition(&ended, "Established")["status"], "True");
}
