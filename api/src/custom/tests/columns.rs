//! Printer columns: what their paths lead to, as cells of their types.

use super::*;
use crate::table::{IncludeObject, render};

#[test]
fn columns_show_what_their_paths_lead_to() {
    let columns = json!({"additionalPrinterColumns": [
        {"name": "N", "type": "integer", "jsonPath": ".spec.n"},
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status", "priority": 1},
        {"name": "When", "type": "date", "jsonPath": ".spec.when", "description": "then"},
        {"name": "List", "type": "string", "jsonPath": ".spec.list"},
        {"name": "None", "type": "boolean", "jsonPath": ".spec.none"},
    ]});
    let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let row = row(&spec, &columns);
    let object = json!({"metadata": {"name": "a"},
        "spec": {"n": 3, "when": "2026-11-21T09:59:00Z", "list": ["a", "b"]},
        "status": {"conditions": [{"type": "Old", "status": "False"}, {"type": "Ready", "status": "True"}]}});
    let table = render(&row, &[&object], json!({}), IncludeObject::None, true, at());
    assert_eq!(table["rows"][0]["cells"], json!(["a", 3, "True", "60s", "[\"a\",\"b\"]", null]));
    let defined = table["columnDefinitions"].as_array().expect("columns");
    let names: Vec<_> =
        defined.iter().map(|column| column["name"].as_str().unwrap_or("")).collect();
    assert_eq!(names, ["Name", "N", "Ready", "When", "List", "None"]);
    assert_eq!(defined[2]["priority"], 1);
    assert_eq!(defined[3]["description"], "then");
}

/// The cell of a column of that type over a value.
fn cell(kind: &str, value: &Value) -> Value {
    let columns = json!({"additionalPrinterColumns": [
        {"name": "V", "type": kind, "jsonPath": ".spec.v"}]});
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let object = json!({"metadata": {"name": "a"}, "spec": {"v": value}});
    let row = row(&open, &columns);
    let table = render(&row, &[&object], json!({}), IncludeObject::None, true, at());
    table["rows"][0]["cells"][1].clone()
}

#[test]
fn cells_are_of_the_type_of_their_column() {
    for (kind, value, want) in [
        ("string", json!("x"), json!("x")),
        ("string", json!(3), json!("3")),
        ("string", json!(1.5), json!("1.5")),
        ("string", json!(2_500_000.0), json!("2.5e+06")),
        ("string", json!(true), json!("true")),
        ("string", json!(null), json!("<no value>")),
        ("string", json!({"b": [1, "<&>"]}), json!("{\"b\":[1,\"\\u003c\\u0026\\u003e\"]}")),
        ("integer", json!(3), json!(3)),
        ("integer", json!(3.9), json!(3)),
        ("integer", json!("3"), json!(null)),
        ("integer", json!(null), json!(null)),
        ("number", json!(3), json!(3)),
        ("number", json!(1.5), json!(1.5)),
        ("number", json!(true), json!(null)),
        ("boolean", json!(false), json!(false)),
        ("boolean", json!("false"), json!(null)),
        ("date", json!("2026-11-21T09:59:00Z"), json!("60s")),
        ("date", json!("2026-11-19T10:00:00+01:00"), json!("2d1h")),
        ("date", json!("2026-11-21T10:00:09Z"), json!("<invalid>")),
        ("date", json!("yesterday"), json!("<invalid>")),
        ("date", json!(""), json!("<unknown>")),
        ("date", json!(5), json!(null)),
    ] {
        assert_eq!(cell(kind, &value), want, "{kind} {value}");
    }
}

#[test]
fn columns_end_where_a_path_cannot_be_read() {
    let names = |columns: Value| {
        let row = row(&json!({"type": "object"}), &json!({"additionalPrinterColumns": columns}));
        let object = json!({"metadata": {"name": "a"}});
        let table = render(&row, &[&object], json!({}), IncludeObject::None, true, at());
        let names = table["columnDefinitions"].as_array().into_iter().flatten();
        names.map(|column| column["name"].clone()).collect::<Vec<_>>()
    };
    let column = |name: &str, path: &str| json!({"name": name, "type": "string", "jsonPath": path});
    let (good, bad) = (column("A", ".a"), column("B", ".b["));
    assert_eq!(names(json!([])), ["Name", "Age"]);
    assert_eq!(names(json!([good, bad, good])), ["Name", "A"]);
    assert_eq!(names(json!([bad])), ["Name"]);
}
