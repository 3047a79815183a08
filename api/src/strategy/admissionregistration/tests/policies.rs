use serde_json::{Value, json};

use super::{GROUP, rule};
use crate::lifecycle::{before_status_update, before_update};
use crate::strategy::tests::{changed, create, refuses, refuses_update, resource};

fn validating() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": [rule()]},
        "validations": [{"expression": "true"}]}})
}

fn mutating() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": [rule()]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]}})
}

fn spec(change: Value) -> Value {
    json!({"spec": change})
}

#[test]
fn what_policies_of_both_kinds_are_about() {
    let constraints = |change: Value| spec(json!({"matchConstraints": change}));
    let named = |names: Value| {
        constraints(json!({"resourceRules": [changed(&rule(), &json!({"resourceNames": names}))]}))
    };
    let param = |version: &str, kind: &str| {
        spec(json!({"paramKind": {"apiVersion": version, "kind": kind}}))
    };
    let cases = [
        (
            spec(json!({"failurePolicy": "X"})),
            "spec.failurePolicy: Unsupported value: \"X\": supported values: \"Fail\", \"Ignore\"",
        ),
        (spec(json!({"matchConstraints": null})), "spec.matchConstraints: Required value"),
        (
            constraints(json!({"resourceRules": []})),
            "spec.matchConstraints.resourceRules: Required value",
        ),
        (
            constraints(json!({"matchPolicy": "X"})),
            "spec.matchConstraints.matchPolicy: Unsupported value: \"X\": supported values: \"Equivalent\", \"Exact\"",
        ),
        (
            constraints(
                json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            ),
            "spec.matchConstraints.namespaceSelector.matchExpressions[0].values: Required value",
        ),
        (
            constraints(
                json!({"excludeResourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"]}]}),
            ),
            "spec.matchConstraints.excludeResourceRules[0].resources: Required value",
        ),
        (named(json!(["a/b"])), "resourceRules[0].resourceNames[0]: Invalid value: \"a/b\""),
        (named(json!(["a", "a"])), "resourceRules[0].resourceNames[1]: Duplicate value: \"a\""),
        (param("", "K"), "spec.paramKind.apiVersion: Required value"),
        (param("v1", ""), "spec.paramKind.kind: Required value"),
        (
            param("a/b/c", "K"),
            "apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
        ),
        (param("x.io/", "K"), "apiVersion: Invalid value: \"x.io/\": version must be specified"),
        (
            param("X/v1", "K"),
            "spec.paramKind.apiVersion: Invalid value: \"X\": a lowercase RFC 1123 subdomain",
        ),
        (
            param("v1", "K k"),
            "spec.paramKind.kind: Invalid value: \"K k\": may have mixed case, but should otherwise match: a DNS-1035 label",
        ),
        (
            spec(json!({"matchConditions": [{"name": "a b", "expression": "true"}]})),
            "spec.matchConditions[0].name: Invalid value: \"a b\"",
        ),
        (
            spec(json!({"variables": [{"name": "if", "expression": "1"}]})),
            "spec.variables[0].name: Invalid value: \"if\": name is not a valid CEL identifier",
        ),
        (
            spec(json!({"variables": [{"name": "a", "expression": ""}]})),
            "spec.variables[0].expression: Required value: expression is not specified",
        ),
    ];
    refuses(resource(GROUP, "validatingadmissionpolicies"), &validating(), &cases);
    refuses(resource(GROUP, "mutatingadmissionpolicies"), &mutating(), &cases);
}

#[test]
fn rules_of_validating_policies() {
    let validation = |change: Value| {
        spec(json!({"validations": [changed(&json!({"expression": "true"}), &change)]}))
    };
    let annotation = |key: &str, value: &str| {
        spec(json!({"auditAnnotations": [{"key": key, "valueExpression": value}]}))
    };
    let many: Vec<Value> =
        (0..21).map(|n| json!({"key": format!("k{n}"), "valueExpression": "'x'"})).collect();
    refuses(
        resource(GROUP, "validatingadmissionpolicies"),
        &validating(),
        &[
            (
                spec(json!({"validations": null})),
                "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            ),
            (
                validation(json!({"expression": " "})),
                "spec.validations[0].expression: Required value: expression is not specified",
            ),
            (
                validation(json!({"messageExpression": " "})),
                "messageExpression: Invalid value: \" \": must be non-empty if specified",
            ),
            (
                validation(json!({"message": " "})),
                "message: Invalid value: \" \": message must be non-empty if specified",
            ),
            (
                validation(json!({"message": "a\nb"})),
                "message: Invalid value: \"a\\nb\": message must not contain line breaks",
            ),
            (
                validation(json!({"reason": "Because"})),
                "reason: Unsupported value: \"Because\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
            ),
            (annotation("a b", "'x'"), "spec.auditAnnotations[0].key: Invalid value: \"p/a b\""),
            (
                annotation("a", ""),
                "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified",
            ),
            (
                annotation("a", &"x".repeat(5 * 1024 + 1)),
                "valueExpression: Required value: must not exceed 5120 bytes in length",
            ),
            (
                spec(json!({"auditAnnotations": many})),
                "must not have more than 20 auditAnnotations",
            ),
        ],
    );
}

#[test]
fn mutations_of_mutating_policies() {
    let mutation = |mutation: Value| spec(json!({"mutations": [mutation]}));
    let policies = resource(GROUP, "mutatingadmissionpolicies");
    let deleting = json!({"matchConstraints": {"resourceRules":
        [changed(&rule(), &json!({"operations": ["DELETE"]}))]}});
    refuses(
        policies,
        &mutating(),
        &[
            (
                spec(deleting),
                "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
            ),
            (
                spec(json!({"mutations": []})),
                "spec.mutations: Required value: mutations must contain at least one item",
            ),
            (mutation(json!({})), "spec.mutations[0].patchType: Required value"),
            (
                mutation(json!({"patchType": "X"})),
                "patchType: Unsupported value: \"X\": supported values: \"ApplyConfiguration\", \"JSONPatch\"",
            ),
            (
                mutation(json!({"patchType": "JSONPatch"})),
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            ),
            (
                mutation(json!({"patchType": "ApplyConfiguration", "applyConfiguration": {}})),
                "spec.mutations[0].applyConfiguration.expression: Required value",
            ),
            (
                mutation(json!({"patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": "Object{}"}, "jsonPatch": {"expression": "[]"}})),
                "spec.mutations[0].jsonPatch: Invalid value: \"{jsonPatch}\": must not be specified when patchType is ApplyConfiguration",
            ),
            (spec(json!({"reinvocationPolicy": null})), "spec.reinvocationPolicy: Required value"),
            (
                spec(json!({"reinvocationPolicy": "X"})),
                "reinvocationPolicy: Unsupported value: \"X\": supported values: \"IfNeeded\", \"Never\"",
            ),
        ],
    );
    let made = create(policies, mutating()).expect("valid");
    assert_eq!(made["spec"]["matchConstraints"]["matchPolicy"], "Equivalent");
    assert_eq!(made.get("status"), None);
}

#[test]
fn bindings() {
    let param = |reference: Value| spec(json!({"paramRef": reference}));
    let base = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p"}});
    let both = [
        (spec(json!({"policyName": ""})), "spec.policyName: Required value"),
        (spec(json!({"policyName": "A"})), "spec.policyName: Invalid value: \"A\""),
        (
            param(json!({"parameterNotFoundAction": "Deny"})),
            "spec.paramRef: Required value: one of name or selector must be specified",
        ),
        (
            param(json!({"name": "n", "selector": {}, "parameterNotFoundAction": "Deny"})),
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
        ),
        (param(json!({"name": "a/b"})), "spec.paramRef.name: Invalid value: \"a/b\""),
        (param(json!({"name": "n"})), "spec.paramRef.parameterNotFoundAction: Required value"),
        (
            param(json!({"name": "n", "parameterNotFoundAction": "Panic"})),
            "parameterNotFoundAction: Unsupported value: \"Panic\": supported values: \"Deny\", \"Allow\"",
        ),
        (
            spec(json!({"matchResources": {"resourceRules": [{}]}})),
            "spec.matchResources.resourceRules[0].operations: Required value",
        ),
    ];
    let mutating = resource(GROUP, "mutatingadmissionpolicybindings");
    refuses(mutating, &base, &both);
    let deleting = changed(&rule(), &json!({"operations": ["DELETE"]}));
    let deleting = spec(json!({"matchResources": {"resourceRules": [deleting]}}));
    let wanted = "spec.matchResources.resourceRules.operations: Unsupported value: \"DELETE\"";
    refuses(mutating, &base, &[(deleting, wanted)]);

    let actions = |actions: Value| spec(json!({"validationActions": actions}));
    let base = changed(&base, &actions(json!(["Deny", "Audit"])));
    let validating = resource(GROUP, "validatingadmissionpolicybindings");
    refuses(validating, &base, &both);
    refuses(
        validating,
        &base,
        &[
            (
                actions(json!([])),
                "spec.validationActions: Required value: at least one validation action is required",
            ),
            (
                actions(json!(["Scold"])),
                "validationActions[0]: Unsupported value: \"Scold\": supported values: \"Audit\", \"Deny\", \"Warn\"",
            ),
            (actions(json!(["Warn", "Warn"])), "validationActions[1]: Duplicate value: \"Warn\""),
            (actions(json!(["Warn", "Deny"])), "must not contain both Deny and Warn"),
        ],
    );
    refuses_update(
        validating,
        &base,
        &[(actions(json!(null)), "spec.validationActions: Required")],
    );
}

#[test]
fn status_of_validating_policies() {
    let policies = resource(GROUP, "validatingadmissionpolicies");
    let old = create(policies, validating()).expect("valid");
    let warning = |text: &str| {
        json!({"status": {"observedGeneration": 1, "typeChecking":
        {"expressionWarnings": [{"fieldRef": "spec.validations[0].expression", "warning": text}]}}})
    };
    let mut new = changed(&old, &warning("odd"));
    new["spec"]["failurePolicy"] = "Ignore".into();
    before_status_update(policies, &mut new, &old).expect("valid");
    assert_eq!((&new["spec"], &new["status"]["observedGeneration"]), (&old["spec"], &json!(1)));
    let mut bad = changed(&old, &warning(""));
    let status = before_status_update(policies, &mut bad, &old).expect_err("empty");
    let wanted = "status.typeChecking.expressionWarnings[0].warning: Required value";
    assert!(status.message.contains(wanted), "{status}");
    let mut spec = changed(
        &old,
        &json!({"spec": {"failurePolicy": "Ignore"}, "status": {"observedGeneration": 7}}),
    );
    before_update(policies, &mut spec, &old).expect("valid");
    assert_eq!((&spec["status"], &spec["metadata"]["generation"]), (&json!({}), &json!(2)));
}
