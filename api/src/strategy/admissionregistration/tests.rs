mod policies;

use serde_json::{Value, json};

use crate::strategy::tests::{accepts_update, changed, create, refuses, resource};

const GROUP: &str = "admissionregistration.k8s.io";

fn rule() -> Value {
    json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]})
}

fn hook() -> Value {
    json!({"name": "a.b.c", "clientConfig": {"service": {"name": "s", "namespace": "n"}},
        "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule()]})
}

fn base() -> Value {
    json!({"metadata": {"name": "c"}, "webhooks": [hook()]})
}

fn webhook(change: Value) -> Value {
    json!({"webhooks": [changed(&hook(), &change)]})
}

#[test]
fn webhooks_of_both_kinds() {
    let cases = [
        (webhook(json!({"name": ""})), "webhooks[0].name: Required value"),
        (webhook(json!({"name": "A"})), "webhooks[0].name: Invalid value: \"A\""),
        (
            webhook(json!({"name": "a.b"})),
            "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
        ),
        (json!({"webhooks": [hook(), hook()]}), "webhooks[1].name: Duplicate value: \"a.b.c\""),
        (
            webhook(json!({"failurePolicy": "X"})),
            "webhooks[0].failurePolicy: Unsupported value: \"X\": supported values: \"Fail\", \"Ignore\"",
        ),
        (
            webhook(json!({"matchPolicy": "X"})),
            "webhooks[0].matchPolicy: Unsupported value: \"X\": supported values: \"Equivalent\", \"Exact\"",
        ),
        (
            webhook(json!({"sideEffects": null})),
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
        ),
        (
            webhook(json!({"sideEffects": "Some"})),
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
        ),
        (
            webhook(json!({"timeoutSeconds": 31})),
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            webhook(json!({"objectSelector": {"matchLabels": {"a b": "c"}}})),
            "webhooks[0].objectSelector.matchLabels: Invalid value: \"a b\"",
        ),
        (
            webhook(json!({"admissionReviewVersions": []})),
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
        ),
        (
            webhook(json!({"admissionReviewVersions": ["v1", "v1"]})),
            "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v1\": duplicate version",
        ),
        (
            webhook(json!({"admissionReviewVersions": ["v7"]})),
            "webhooks[0].admissionReviewVersions: Invalid value: [\"v7\"]: must include at least one of v1, v1beta1",
        ),
        (
            webhook(json!({"matchConditions": [{"name": "", "expression": " "}]})),
            "webhooks[0].matchConditions[0].expression: Required value",
        ),
        (
            webhook(
                json!({"matchConditions": [{"name": "n", "expression": "true"}, {"name": "n", "expression": "true"}]}),
            ),
            "webhooks[0].matchConditions[1].name: Duplicate value: \"n\"",
        ),
    ];
    for plural in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        refuses(resource(GROUP, plural), &base(), &cases);
    }
    let mutating = resource(GROUP, "mutatingwebhookconfigurations");
    let again = webhook(json!({"reinvocationPolicy": "X"}));
    let wanted = "webhooks[0].reinvocationPolicy: Unsupported value: \"X\": supported values: \"IfNeeded\", \"Never\"";
    refuses(mutating, &base(), &[(again, wanted)]);
    accepts_update(mutating, &base(), &[json!({"webhooks": null})]);
}

#[test]
fn connections_of_webhooks() {
    let url = |url: &str| webhook(json!({"clientConfig": {"url": url, "service": null}}));
    let service = |change: Value| webhook(json!({"clientConfig": {"service": change}}));
    let validating = resource(GROUP, "validatingwebhookconfigurations");
    refuses(
        validating,
        &base(),
        &[
            (
                webhook(json!({"clientConfig": {"url": "https://x"}})),
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ),
            (
                webhook(json!({"clientConfig": {"service": null}})),
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ),
            (
                url("http://x/y"),
                "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            ),
            (url("https:///y"), "Invalid value: \"\": host must be specified; desired format"),
            (
                url("https://u@x"),
                "Invalid value: \"u\": user information is not permitted in the URL",
            ),
            (url("https://x#f"), "Invalid value: \"f\": fragments are not permitted in the URL"),
            (url("https://x?q=1"), "Invalid value: \"q=1\": query parameters are not permitted"),
            (url("https://x y"), "clientConfig.url: Required value: url must be a valid URL"),
            (service(json!({"name": ""})), "clientConfig.service.name: Required value"),
            (service(json!({"namespace": ""})), "clientConfig.service.namespace: Required value"),
            (
                service(json!({"port": 0})),
                "clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            ),
            (
                service(json!({"path": "a"})),
                "service.path: Invalid value: \"a\": must start with a '/'",
            ),
            (
                service(json!({"path": "/a//b"})),
                "Invalid value: \"/a//b\": segment[1] may not be empty",
            ),
            (
                service(json!({"path": "/A"})),
                "Invalid value: \"/A\": segment[0]: a lowercase RFC 1123",
            ),
        ],
    );
    for good in
        [url("https://x:1/y/"), service(json!({"path": "/a/b/"})), service(json!({"path": "/"}))]
    {
        create(validating, changed(&base(), &good)).unwrap_or_else(|e| panic!("{good}: {e}"));
    }
}

#[test]
fn rules_of_webhooks() {
    let rules = |change: Value| webhook(json!({"rules": [changed(&rule(), &change)]}));
    let resources = |list: &[&str]| rules(json!({"resources": list}));
    let validating = resource(GROUP, "validatingwebhookconfigurations");
    refuses(
        validating,
        &base(),
        &[
            (rules(json!({"operations": []})), "webhooks[0].rules[0].operations: Required value"),
            (
                rules(json!({"operations": ["*", "CREATE"]})),
                "operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations",
            ),
            (
                rules(json!({"operations": ["READ"]})),
                "operations[0]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
            ),
            (rules(json!({"apiGroups": []})), "webhooks[0].rules[0].apiGroups: Required value"),
            (
                rules(json!({"apiVersions": ["v1", "*"]})),
                "if '*' is present, must not specify other API versions",
            ),
            (rules(json!({"apiVersions": [""]})), "rules[0].apiVersions[0]: Required value"),
            (
                rules(json!({"scope": "All"})),
                "scope: Unsupported value: \"All\": supported values: \"*\", \"Cluster\", \"Namespaced\"",
            ),
            (resources(&[]), "webhooks[0].rules[0].resources: Required value"),
            (resources(&[""]), "webhooks[0].rules[0].resources[0]: Required value"),
            (
                resources(&["a/*", "a/x"]),
                "resources[1]: Invalid value: \"a/x\": if 'a/*' is present, must not specify a/x",
            ),
            (
                resources(&["*/x", "a/x"]),
                "resources[1]: Invalid value: \"a/x\": if '*/x' is present, must not specify a/x",
            ),
            (
                resources(&["*/*", "a"]),
                "resources: Invalid value: [\"*/*\",\"a\"]: if '*/*' is present, must not specify other resources",
            ),
            (
                resources(&["*", "a"]),
                "if '*' is present, must not specify other resources without subresources",
            ),
        ],
    );
    let good = resources(&["*", "a/x", "b/*"]);
    create(validating, changed(&base(), &good)).expect("`*` has no subresources");
}

/// Whatever is stored here and not acted upon is said to be so.
#[test]
fn every_write_warns_that_nothing_is_enforced() {
    for (plural, change) in [
        ("mutatingwebhookconfigurations", base()),
        ("validatingwebhookconfigurations", base()),
        ("mutatingadmissionpolicies", json!({})),
        ("mutatingadmissionpolicybindings", json!({})),
        ("validatingadmissionpolicies", json!({})),
        ("validatingadmissionpolicybindings", json!({})),
    ] {
        assert_eq!(resource(GROUP, plural).strategy.warnings(&change).len(), 1, "{plural}");
    }
}
