use serde_json::{Value, json};

use crate::lifecycle::{before_status_update, before_update};
use crate::strategy::tests::{accepts_update, changed, create, refuses, refuses_update, resource};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

fn schema() -> Value {
    json!({"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "l"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "u"}}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/", "/healthz", "/a/*"]}]}]}})
}

#[test]
fn flow_schemas() {
    let spec = |spec: Value| json!({"spec": spec});
    refuses(
        resource(GROUP, "flowschemas"),
        &schema(),
        &[
            (
                spec(json!({"matchingPrecedence": -1})),
                "spec.matchingPrecedence: Invalid value: -1: must be a positive value",
            ),
            (
                spec(json!({"matchingPrecedence": 10_001})),
                "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
            ),
            (
                spec(json!({"matchingPrecedence": 1})),
                "only the schema named 'exempt' may have matchingPrecedence 1",
            ),
            (
                spec(json!({"distinguisherMethod": {"type": "ByName"}})),
                "spec.distinguisherMethod.type: Unsupported value: \"ByName\": supported values: \"ByNamespace\", \"ByUser\"",
            ),
            (
                spec(json!({"priorityLevelConfiguration": {"name": ""}})),
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            ),
            (
                spec(json!({"priorityLevelConfiguration": {"name": "A"}})),
                "spec.priorityLevelConfiguration.name: Invalid value: \"A\"",
            ),
            (
                json!({"metadata": {"name": "catch-all"}}),
                "spec of 'catch-all' must equal the fixed value",
            ),
        ],
    );
}

#[test]
fn subjects_of_flow_schemas() {
    let subject = |subject: Value| {
        json!({"spec": {"rules": [{"subjects": [subject],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}})
    };
    let account =
        |account: Value| subject(json!({"kind": "ServiceAccount", "serviceAccount": account}));
    refuses(
        resource(GROUP, "flowschemas"),
        &schema(),
        &[
            (
                subject(json!({"kind": "Robot"})),
                "spec.rules[0].subjects[0].kind: Unsupported value: \"Robot\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
            ),
            (
                subject(json!({"kind": "Group"})),
                "subjects[0].group: Required value: group is required when subject kind is 'Group'",
            ),
            (
                subject(json!({"kind": "Group", "group": {"name": ""}})),
                "subjects[0].group.name: Required value",
            ),
            (
                subject(json!({"kind": "Group", "group": {"name": "g"}, "user": {"name": "u"}})),
                "subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
            ),
            (
                account(json!({"name": "A_", "namespace": "n"})),
                "subjects[0].serviceAccount.name: Invalid value: \"A_\"",
            ),
            (
                account(json!({"name": "*", "namespace": ""})),
                "subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account",
            ),
        ],
    );
}

#[test]
fn rules_of_flow_schemas() {
    let rule = |rule: Value| {
        let mut rule = rule;
        rule["subjects"] = json!([{"kind": "Group", "group": {"name": "g"}}]);
        json!({"spec": {"rules": [rule]}})
    };
    let resources = |change: Value| {
        let base = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["n"]});
        rule(json!({"resourceRules": [changed(&base, &change)]}))
    };
    let url = |url: &str| {
        rule(json!({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": [url]}]}))
    };
    refuses(
        resource(GROUP, "flowschemas"),
        &schema(),
        &[
            (
                json!({"spec": {"rules": [{"subjects": []}]}}),
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
            ),
            (
                rule(json!({})),
                "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ),
            (
                resources(json!({"verbs": []})),
                "resourceRules[0].verbs: Required value: verbs must contain at least one value",
            ),
            (
                resources(json!({"verbs": ["*", "get"]})),
                "resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs",
            ),
            (
                resources(json!({"verbs": ["fly"]})),
                "resourceRules[0].verbs: Unsupported value: [\"fly\"]: supported values: \"create\", \"delete\"",
            ),
            (
                resources(json!({"apiGroups": []})),
                "apiGroups: Required value: resource rules must supply at least one api group",
            ),
            (
                resources(json!({"resources": ["*", "pods"]})),
                "resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources",
            ),
            (
                resources(json!({"namespaces": null})),
                "namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
            ),
            (
                resources(json!({"namespaces": ["A"]})),
                "namespaces[0]: Invalid value: \"A\": each member of this list must be '*' or a DNS-1123 label; a lowercase",
            ),
            (url(""), "nonResourceURLs[0]: Invalid value: \"\": must not be empty"),
            (url("a"), "must start with slash"),
            (url("/a b"), "must not contain white-space"),
            (url("/a//b"), "must not contain double slash"),
            (url("/a*"), "wildcard can only do suffix matching"),
            (url("/*/*"), "wildcard can only do suffix matching"),
        ],
    );
}

#[test]
fn priority_levels() {
    let levels = resource(GROUP, "prioritylevelconfigurations");
    let base = json!({"metadata": {"name": "l"}, "spec": {"type": "Limited",
        "limited": {"nominalConcurrencyShares": 0, "limitResponse": {"type": "Queue", "queuing": {}}}}});
    let made = create(levels, base.clone()).expect("valid");
    assert_eq!(
        made["spec"]["limited"],
        json!({"nominalConcurrencyShares": 0, "lendablePercent": 0, "limitResponse": {
            "type": "Queue", "queuing": {"handSize": 8, "queues": 64, "queueLengthLimit": 50}}})
    );
    let limited = |limited: Value| json!({"spec": {"limited": limited}});
    let queuing = |queuing: Value| limited(json!({"limitResponse": {"queuing": queuing}}));
    refuses(
        levels,
        &base,
        &[
            (
                json!({"spec": {"type": "Exempt", "limited": null}}),
                "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
            ),
            (
                json!({"spec": {"type": "X"}}),
                "spec.type: Unsupported value: \"X\": supported values: \"Exempt\", \"Limited\"",
            ),
            (
                json!({"spec": {"limited": null}}),
                "spec.limited: Required value: must not be empty when type is Limited",
            ),
            (
                json!({"spec": {"exempt": {}}}),
                "spec.exempt: Forbidden: must be nil if the type is Limited",
            ),
            (
                limited(json!({"nominalConcurrencyShares": -1})),
                "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
            ),
            (
                limited(json!({"lendablePercent": 101})),
                "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            ),
            (
                limited(json!({"borrowingLimitPercent": -1})),
                "borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
            ),
            (
                limited(json!({"limitResponse": {"type": "Reject"}})),
                "spec.limited.limitResponse.queuing: Forbidden",
            ),
            (
                limited(json!({"limitResponse": {"queuing": null}})),
                "spec.limited.limitResponse.queuing: Required value",
            ),
            (
                limited(json!({"limitResponse": {"type": "Wait"}})),
                "spec.limited.limitResponse.type: Unsupported value: \"Wait\": supported values: \"Queue\", \"Reject\"",
            ),
            (
                queuing(json!({"queueLengthLimit": -1})),
                "queueLengthLimit: Invalid value: -1: must be positive",
            ),
            (
                queuing(json!({"queues": 10_000_001})),
                "queues: Invalid value: 10000001: must not be greater than 10000000",
            ),
            (
                queuing(json!({"queues": 4})),
                "handSize: Invalid value: 8: should not be greater than queues (4)",
            ),
            (
                queuing(json!({"queues": 64, "handSize": 11})),
                "required entropy bits of deckSize 64 and handSize 11 should not be greater than 60",
            ),
        ],
    );
    create(levels, changed(&base, &queuing(json!({"queues": 64, "handSize": 10}))))
        .expect("60 bits");
}

#[test]
fn the_exempt_level_is_fixed_but_for_its_shares() {
    let levels = resource(GROUP, "prioritylevelconfigurations");
    let exempt = json!({"metadata": {"name": "exempt"}, "spec": {"type": "Exempt", "exempt": {}}});
    accepts_update(levels, &exempt, &[json!({"spec": {"exempt": {"lendablePercent": 50}}})]);
    refuses_update(
        levels,
        &exempt,
        &[
            (
                json!({"spec": {"exempt": {"lendablePercent": -1}}}),
                "spec.exempt.lendablePercent: Invalid value: -1: must be between 0 and 100, inclusive",
            ),
            (
                json!({"spec": {"limited": {"limitResponse": {"type": "Reject"}}}}),
                "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
            ),
        ],
    );
}

/// The server's own objects, as recorded, are valid.
#[test]
fn recorded_bootstrap_objects_are_valid() {
    let mut seen = 0;
    for line in include_str!("../../../../fixtures/wire/bootstrap.jsonl").lines() {
        let record: Value = serde_json::from_str(line).expect("a record per line");
        let path = record["path"].as_str().expect("a path");
        let Some(rest) = path.strip_prefix("/apis/flowcontrol.apiserver.k8s.io/v1/") else {
            continue;
        };
        for item in record["response"]["items"].as_array().expect("items") {
            let object =
                json!({"metadata": {"name": item["metadata"]["name"]}, "spec": item["spec"]});
            let made = create(resource(GROUP, rest), object).expect("valid");
            assert_eq!(made["spec"], item["spec"]);
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} objects were recorded");
}

#[test]
fn status_has_its_own_path() {
    let schemas = resource(GROUP, "flowschemas");
    let old = create(schemas, schema()).expect("valid");
    let dangling = json!({"type": "Dangling", "status": "False"});
    let mut new = changed(
        &old,
        &json!({"metadata": {"labels": {"a": "b"}, "managedFields": [{"manager": "m"}]},
            "spec": {"matchingPrecedence": 5}, "status": {"conditions": [dangling]}}),
    );
    let sent = new.clone();
    before_status_update(schemas, &mut new, &old).expect("valid");
    assert_eq!(new["spec"], old["spec"]);
    assert_eq!(new["metadata"]["labels"], Value::Null);
    assert_eq!(new["metadata"]["managedFields"], sent["metadata"]["managedFields"]);
    assert_eq!(new["status"]["conditions"], json!([dangling]));
    let mut twice = changed(&old, &json!({"status": {"conditions": [dangling, dangling, {}]}}));
    let status = before_status_update(schemas, &mut twice, &old).expect_err("twice");
    for wanted in [
        "status.conditions[1].type: Duplicate value: \"Dangling\"",
        "status.conditions[2].type: Required value: must not be empty",
    ] {
        assert!(status.message.contains(wanted), "{status}");
    }
    let mut spec = sent;
    before_update(schemas, &mut spec, &old).expect("valid");
    assert_eq!((&spec["status"], &spec["metadata"]["generation"]), (&json!({}), &json!(2)));
}
