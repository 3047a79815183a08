mod schemas;

use serde_json::{Value, json};

use crate::strategy::tests::{changed, create, refuses, resource};

fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.gold.io"},
        "spec": {"group": "gold.io", "names": {"kind": "Foo", "plural": "foos"}, "scope": "Namespaced",
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"n": {"type": "integer"}}}}}}}]}})
}

/// The definition with another schema of `spec`.
fn with_schema(schema: &Value) -> Value {
    json!({"spec": {"versions": [{"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema}}}}]}})
}

/// The definition with something more in its version.
fn with(field: &str, value: &Value) -> Value {
    let mut versions = definition()["spec"]["versions"].clone();
    versions[0][field] = value.clone();
    json!({"spec": {"versions": versions}})
}

#[test]
fn definitions_are_checked() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    let schema = "spec.validation.openAPIV3Schema";
    let two = |name: &str| {
        let mut versions = definition()["spec"]["versions"].clone();
        let mut second = versions[0].clone();
        second["name"] = name.into();
        versions.as_array_mut().expect("a list").push(second);
        json!({"spec": {"versions": versions}})
    };
    let cases = [
        (json!({"metadata": {"name": "foo.gold.io"}}), r#"metadata.name: Invalid value: "foo.gold.io": must be spec.names.plural+"."+spec.group"#.to_owned()),
        (json!({"spec": {"scope": "Galaxy"}}), r#"spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced""#.to_owned()),
        (json!({"spec": {"preserveUnknownFields": true}}), "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead".to_owned()),
        (json!({"spec": {"names": {"listKind": "Foo"}}}), r#"spec.names.listKind: Invalid value: "Foo": kind and listKind may not be the same"#.to_owned()),
        (two("v2"), "spec.versions: Invalid value: must have exactly one version marked as storage version".to_owned()),
        (with("schema", &json!(null)), "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required".to_owned()),
        (with_schema(&json!({"properties": {}})), format!("{schema}.properties[spec].type: Required value: must not be empty for specified object fields")),
        (with_schema(&json!({"type": "array"})), format!("{schema}.properties[spec].items: Required value: must be specified")),
        (with_schema(&json!({"type": "text"})), format!(r#"{schema}.properties[spec].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string""#)),
        (with_schema(&json!({"type": "string", "anyOf": [{"type": "string"}]})), format!("{schema}.properties[spec].anyOf[0].type: Forbidden: must be empty to be structural")),
        (with_schema(&json!({"type": "object", "$ref": "#/x"})), format!("{schema}.properties[spec].$ref: Forbidden: $ref is not supported")),
        (with_schema(&json!({"type": "integer", "default": "a"})), format!(r#"{schema}.properties[spec].default: Invalid value: "string":  in body must be of type integer: "string""#)),
        (with_schema(&json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"})), format!("{schema}.properties[spec].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map")),
        (with("subresources", &json!({"scale": {"specReplicasPath": ".status.n", "statusReplicasPath": ".status.n"}})),
         r#"spec.subresources.scale.specReplicasPath: Invalid value: ".status.n": should be a json path under .spec"#.to_owned()),
        (with("additionalPrinterColumns", &json!([{"name": "a", "type": "text", "jsonPath": ".a"}])),
         r#"spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string"#.to_owned()),
        (with("selectableFields", &json!([{"jsonPath": ".spec.other"}])),
         r#"spec.selectableFields[0].jsonPath: Invalid value: ".spec.other": is an invalid path: does not refer to a valid field"#.to_owned()),
        (with("selectableFields", &json!([{"jsonPath": ".spec['n']"}])),
         r#"spec.selectableFields[0].jsonPath: Invalid value: ".spec['n']": is an invalid path: array notation is not allowed"#.to_owned()),
        (with("selectableFields", &json!([{"jsonPath": "spec.n"}])),
         r#"spec.selectableFields[0].jsonPath: Invalid value: "spec.n": is an invalid path: expected [ or . but got: spec"#.to_owned()),
        (with("selectableFields", &json!([{"jsonPath": ".spec"}])),
         r#"spec.selectableFields[0].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."#.to_owned()),
        (with("selectableFields", &json!([{"jsonPath": ".spec.n"}, {"jsonPath": ".spec.n"}])),
         r#"spec.selectableFields[1].jsonPath: Duplicate value: ".spec.n""#.to_owned()),
        (with("deprecationWarning", &json!("old")), r#"spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions"#.to_owned()),
        (json!({"spec": {"conversion": {"strategy": "Magic"}}}), r#"spec.conversion.strategy: Unsupported value: "Magic": supported values: "None", "Webhook""#.to_owned()),
        (json!({"metadata": {"name": "foos.a.k8s.io"}, "spec": {"group": "a.k8s.io"}}),
         "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111".to_owned()),
    ];
    let cases: Vec<_> =
        cases.iter().map(|(change, want)| (change.clone(), want.as_str())).collect();
    refuses(row, &definition(), &cases);
}

#[test]
fn what_is_stored_stays_readable() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    let mut old = create(row, definition()).expect("a definition");
    assert_eq!(old["status"]["storedVersions"], json!(["v1"]));
    old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
    for (change, want) in [
        (
            json!({"spec": {"scope": "Cluster"}}),
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
        ),
        (
            json!({"spec": {"names": {"kind": "Bar"}}}),
            "spec.names.kind: Invalid value: \"Bar\": field is immutable",
        ),
        (
            json!({"spec": {"group": "silver.io"}}),
            "spec.group: Invalid value: \"silver.io\": field is immutable",
        ),
        (
            json!({"spec": {"names": {"plural": "bars"}}}),
            "spec.names.plural: Invalid value: \"bars\": field is immutable",
        ),
    ] {
        let mut new = changed(&old, &change);
        let status = crate::lifecycle::before_update(row, &mut new, &old).expect_err(want);
        assert!(status.message.contains(want), "{status}");
    }
    // Before it is established, it may still become something else, under its own name.
    let mut fresh = old.clone();
    fresh["status"]["conditions"] = json!([{"type": "Established", "status": "False"}]);
    let other = json!({"spec": {"scope": "Cluster", "names": {"kind": "Bar"}}});
    let mut new = changed(&fresh, &other);
    crate::lifecycle::before_update(row, &mut new, &fresh).expect("another scope and kind");
    // A new storage version is noted, and the old one must not go.
    let mut versions = old["spec"]["versions"].clone();
    versions[0]["name"] = "v2".into();
    let mut new = changed(&old, &json!({"spec": {"versions": versions}}));
    row.strategy.prepare_for_update(&mut new, &old);
    assert_eq!(new["status"]["storedVersions"], json!(["v1", "v2"]));
    let errors = row.strategy.validate_update(&new, &old);
    assert!(errors.iter().any(|error| error.field == "status.storedVersions[0]"), "{errors:?}");
}

#[test]
fn rules_that_are_not_evaluated_are_told() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    assert!(row.strategy.warnings(&definition()).is_empty());
    let rules = json!({"type": "object", "x-kubernetes-validations": [{"rule": "true"}]});
    let told = row.strategy.warnings(&changed(&definition(), &with_schema(&rules)));
    assert!(told[0].contains("x-kubernetes-validations"), "{told:?}");
}

#[test]
fn formats_that_mean_nothing_are_told() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    let field = |kind: &str, format: &str| json!({"type": kind, "format": format});
    let schema = json!({"type": "object", "properties": {
        "a": field("string", "date-time"), "b": field("integer", "int32"),
        "c": field("number", "double"), "d": field("string", "k8s-long-name"),
        "e": field("string", "semver"), "f": field("integer", "float"),
        "g": {"type": "array", "items": field("string", "semver")},
        "h": {"type": "string", "anyOf": [{"format": "path"}]}}});
    let new = changed(&definition(), &with_schema(&schema));
    let told = |old: &Value| row.strategy.warnings_of_change(&new, old);
    assert_eq!(
        told(&Value::Null),
        ["float", "path", "semver"].map(|format| format!("unrecognized format \"{format}\""))
    );
    // What was there before was told of before.
    let old = changed(
        &definition(),
        &with_schema(&json!({"type": "object", "properties": {"z": field("string", "semver")}})),
    );
    assert_eq!(told(&old), ["float", "path"].map(|f| format!("unrecognized format \"{f}\"")));
    assert!(told(&new).is_empty());
}

#[test]
fn columns_are_not_refused_for_their_paths() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    for path in [".a[-1:].b", ".a[", ".a[?(@.b)]", "..c"] {
        let columns = json!([{"name": "a", "type": "string", "jsonPath": path}]);
        let with = with("additionalPrinterColumns", &columns);
        create(row, changed(&definition(), &with)).expect("a definition");
    }
}

#[test]
fn what_versions_have_alike_is_told_once() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    let two = |second: Value| {
        let mut versions = definition()["spec"]["versions"].clone();
        versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = json!({"type": "array"});
        let mut other = versions[0].clone();
        other["name"] = "v2".into();
        other["storage"] = false.into();
        for (field, value) in second.as_object().expect("fields") {
            other[field] = value.clone();
        }
        versions.as_array_mut().expect("a list").push(other);
        let created = create(row, changed(&definition(), &json!({"spec": {"versions": versions}})));
        created.expect_err("no items").message
    };
    let same = two(json!({}));
    assert!(same.contains(" spec.validation.openAPIV3Schema.properties[spec].items: "), "{same}");
    let other = two(json!({"schema": {"openAPIV3Schema": {"type": "object"}}}));
    assert!(
        other.contains(" spec.versions[0].schema.openAPIV3Schema.properties[spec].items: "),
        "{other}"
    );
    let column = json!([{"name": "a", "type": "string", "jsonPath": "a"}]);
    let columns = two(json!({"additionalPrinterColumns": column}));
    assert!(
        columns.contains("spec.versions[1].additionalPrinterColumns[0].JSONPath: Invalid value: \"a\": must be a simple json path starting with ."),
        "{columns}"
    );
}

#[test]
fn webhooks_are_checked_beside_the_strategy() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    let with = |conversion: Value| json!({"spec": {"conversion": conversion}});
    let config = json!({"url": "https://example.com/convert"});
    let hook = |more: Value| {
        let mut hook = json!({"clientConfig": config, "conversionReviewVersions": ["v1"]});
        for (field, value) in more.as_object().expect("fields") {
            hook[field] = value.clone();
        }
        with(json!({"strategy": "Webhook", "webhook": hook}))
    };
    let cases = [
        (
            with(json!({"strategy": "Webhook"})),
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        ),
        (
            hook(json!({"clientConfig": {}})),
            "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
        ),
        (
            hook(json!({"clientConfig": {"url": "http://a"}})),
            r#"spec.conversion.webhookClientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme"#,
        ),
        (
            hook(json!({"conversionReviewVersions": ["v9"]})),
            r#"spec.conversion.conversionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1"#,
        ),
        (
            hook(json!({"conversionReviewVersions": ["v1", "v1"]})),
            r#"spec.conversion.conversionReviewVersions[1]: Invalid value: "v1": duplicate version"#,
        ),
        (
            with(
                json!({"strategy": "None", "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]}}),
            ),
            "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
        ),
    ];
    refuses(row, &definition(), &cases);
    create(row, changed(&definition(), &hook(json!({})))).expect("a webhook");
}

#[test]
fn approvals_are_asked_for_once() {
    let row = resource("apiextensions.k8s.io", "customresourcedefinitions");
    let mut base = definition();
    base["metadata"]["name"] = "foos.a.k8s.io".into();
    base["spec"]["group"] = "a.k8s.io".into();
    let annotated = |text: &str| {
        changed(&base, &json!({"metadata": {"annotations": {"api-approved.kubernetes.io": text}}}))
    };
    create(row, base.clone()).expect_err("not approved");
    create(row, annotated("because")).expect_err("no approval");
    create(row, annotated("unapproved, a test")).expect("said not to be");
    let approved = create(row, annotated("https://a.io/1")).expect("approved");
    let update = |old: &Value, new: &Value| {
        crate::lifecycle::before_update(row, &mut new.clone(), old).map_err(|status| status.message)
    };
    let mut bare = approved.clone();
    crate::meta::remove(&mut bare["metadata"], "annotations");
    assert!(update(&approved, &bare).is_err());
    assert_eq!(update(&bare, &bare), Ok(()), "was let pass before");
}
