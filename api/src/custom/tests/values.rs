//! Values: what a schema refuses, and how it is told.

use serde_json::json;

use super::schema;
use crate::custom::validate::validate;
use crate::field::Path;

#[test]
fn values_are_refused_in_kubernetes_words() {
    for (rules, value, want) in [
        (
            json!({"type": "integer"}),
            json!("string"),
            r#"spec.a: Invalid value: "string": spec.a in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "string"}),
            json!(null),
            r#"spec.a: Invalid value: "null": spec.a in body must be of type string: "null""#,
        ),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            "spec.a: Invalid value: 1: spec.a in body should be greater than 1",
        ),
        (
            json!({"type": "number", "maximum": 1.5}),
            json!(2),
            // Integers are compared with integers.
            "spec.a: Invalid value: 2: spec.a in body should be less than or equal to 1",
        ),
        (
            json!({"type": "number", "maximum": 1.5}),
            json!(2.5),
            "spec.a: Invalid value: 2.5: spec.a in body should be less than or equal to 1.5",
        ),
        (
            json!({"type": "number", "maximum": 1_000_000}),
            json!(2_000_000),
            "spec.a: Invalid value: 2000000: spec.a in body should be less than or equal to 1000000",
        ),
        (
            json!({"type": "number", "minimum": 1_000_000}),
            json!(0.5),
            "spec.a: Invalid value: 0.5: spec.a in body should be greater than or equal to 1e+06",
        ),
        (
            json!({"type": "number", "multipleOf": 0.25}),
            json!(0.6),
            "spec.a: Invalid value: 0.6: spec.a in body should be a multiple of 0.25",
        ),
        (
            json!({"type": "integer", "multipleOf": -2}),
            json!(4),
            "spec.a: Invalid value: -2: factor MultipleOf declared for spec.a must be positive: -2",
        ),
        // Formats of numbers.
        (
            json!({"type": "integer", "format": "int32"}),
            json!(2_147_483_648_i64),
            r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.a"#,
        ),
        (
            json!({"type": "number", "format": "float"}),
            json!(3.5e38),
            r#"<nil>: Invalid value: "": Checked value must be of type number with format float in spec.a"#,
        ),
        (
            json!({"type": "integer", "format": "int32", "maximum": 4_294_967_295_i64}),
            json!(1),
            r#"<nil>: Invalid value: "": Maximum boundary value must be of type integer with format int32 in spec.a"#,
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(true),
            r#"spec.a: Invalid value: "": spec.a in body must be of type int32: """#,
        ),
        (
            json!({"type": "integer"}),
            json!(9_223_372_036_854_775_808_u64),
            r#"spec.a: Invalid value: "number": spec.a in body must be of type integer: "number""#,
        ),
        (
            json!({"type": "string", "maxLength": 1, "minLength": 3, "pattern": "^b"}),
            json!("aa"),
            "spec.a: Too long: may not be more than 1 bytes",
        ),
        (
            json!({"type": "object", "maxProperties": 0, "required": ["c"]}),
            json!({"b": 1}),
            "spec.a: Too many: 1: must have at most 0 items",
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            json!({"b": 1}),
            r#"spec.a: Invalid value: "b": spec.a.b in body is a forbidden property"#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "pattern": r"^\d+%$"}),
            json!("٣%"),
            r#"spec.a: Invalid value: "٣%": spec.a in body should match '^\d+%$'"#,
        ),
        (
            json!({"type": "integer", "multipleOf": 2}),
            json!(3),
            "spec.a: Invalid value: 3: spec.a in body should be a multiple of 2",
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            r#"spec.a: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("äöü"),
            "spec.a: Too long: may not be more than 2 bytes",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("a"),
            r#"spec.a: Invalid value: "a": spec.a in body should be at least 2 chars long"#,
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            r#"spec.a: Invalid value: "b": spec.a in body should match '^a+$'"#,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("noon"),
            r#"spec.a: Invalid value: "noon": spec.a in body must be of type date-time: "noon""#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec.a: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            "spec.a: Invalid value: 0: spec.a in body should have at least 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!([1]),
            r#"spec.a[0]: Invalid value: "integer": spec.a[0] in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "number", "maximum": 5, "exclusiveMaximum": true}),
            json!(5),
            "spec.a: Invalid value: 5: spec.a in body should be less than 5",
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            r#"spec.a: Unsupported value: 3: supported values: "1", "2""#,
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}),
            json!({"b": "1", "c": "2"}),
            "spec.a: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}),
            json!({}),
            "spec.a: Invalid value: 0: spec.a in body should have at least 1 properties",
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}),
            json!({}),
            "spec.a.b: Required value",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"k": true}),
            r#"spec.a.k: Invalid value: "boolean": spec.a.k in body must be of type integer: "boolean""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!({}),
            r#"spec.a: Invalid value: "object": spec.a in body must be of type integer,string: "object""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(1.5),
            r#"spec.a: Invalid value: "number": spec.a in body must be of type integer,string: "number""#,
        ),
        (
            json!({"type": "string", "format": "k8s-short-name"}),
            json!("A_b"),
            r#"spec.a: Invalid value: "A_b": spec.a in body must be of type k8s-short-name: "A_b""#,
        ),
        (
            json!({"type": "integer", "oneOf": [{"minimum": 5}, {"minimum": 6}]}),
            json!(7),
            r#"spec.a: Invalid value: "": "spec.a" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
        ),
        (
            json!({"type": "integer", "not": {"minimum": 5}}),
            json!(7),
            r#"spec.a: Invalid value: "": "spec.a" must not validate the schema (not)"#,
        ),
    ] {
        let errors = validate(&schema(&rules), &value, &Path::new("spec").child("a"));
        let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said, [want], "{rules} {value}");
    }
}

#[test]
fn a_wrong_type_is_not_all_that_is_wrong() {
    for (rules, value, want) in [
        (
            json!({"type": "integer", "format": "int64"}),
            json!(1.5),
            vec![
                r#"a: Invalid value: "float64": a in body must be of type int64: "float64""#,
                r#"<nil>: Invalid value: "": Checked value must be of type integer with format int64 in a"#,
            ],
        ),
        (
            json!({"type": "string", "enum": ["x"]}),
            json!(1),
            vec![
                r#"a: Invalid value: "integer": a in body must be of type string: "integer""#,
                r#"a: Unsupported value: 1: supported values: "x""#,
            ],
        ),
        (
            json!({"type": "integer", "format": "int32", "minimum": 4_294_967_295_i64}),
            json!(1),
            vec![
                r#"<nil>: Invalid value: "": Minimum boundary value must be of type integer with format int32 in a"#,
                "a: Invalid value: 1: a in body should be greater than or equal to 4.294967295e+09",
            ],
        ),
        (
            json!({"type": "string", "minLength": 3, "format": "date"}),
            json!("1"),
            vec![
                r#"a: Invalid value: "1": a in body should be at least 3 chars long"#,
                r#"a: Invalid value: "1": a in body must be of type date: "1""#,
            ],
        ),
    ] {
        let errors = validate(&schema(&rules), &value, &Path::new("a"));
        let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said, want, "{rules} {value}");
    }
}

#[test]
fn values_are_accepted() {
    for (rules, value) in [
        (json!({"type": "integer"}), json!(1.0)),
        (json!({"type": "number"}), json!(1)),
        (json!({"type": "string", "nullable": true}), json!(null)),
        (json!({"x-kubernetes-int-or-string": true}), json!("50%")),
        (json!({"x-kubernetes-int-or-string": true}), json!(50)),
        (json!({"x-kubernetes-int-or-string": true}), json!(50.0)),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), json!([1, {"a": "b"}])),
        (json!({"type": "string", "format": "unheard-of"}), json!("x")),
        (json!({"type": "string", "format": "ipv4"}), json!("10.0.0.1")),
        (json!({"type": "string", "format": "duration"}), json!("1h30m")),
        (json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}), json!(7)),
        (json!({"type": "integer", "format": "int32"}), json!(-2_147_483_648)),
        (json!({"type": "integer", "format": "uint8"}), json!(-1)),
        (json!({"type": "number", "format": "double"}), json!(1e300)),
        (json!({"type": "integer", "enum": [1]}), json!(1.0)),
        (json!({"type": "number", "minimum": 0.5}), json!(0)),
        (json!({"type": "number", "multipleOf": 0.1}), json!(0.3)),
        (json!({"type": "integer", "multipleOf": 0.5}), json!(3)),
        (json!({"type": "string", "pattern": "^[[&&]+$"}), json!("[&")),
        (json!({"type": "string", "maxLength": 2}), json!("éé")),
        (json!({"allOf": [{"format": "ipv4"}], "type": "string"}), json!("10.0.0.1")),
    ] {
        let errors = validate(&schema(&rules), &value, &Path::new("a"));
        assert!(errors.is_empty(), "{rules} {value}: {errors:?}");
    }
}
