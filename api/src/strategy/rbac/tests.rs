use serde_json::json;

use crate::strategy::tests::{accepts_update, create, refuses, refuses_update, resource};

const GROUP: &str = "rbac.authorization.k8s.io";

#[test]
fn roles() {
    let rule = |rule: serde_json::Value| json!({"rules": [rule]});
    let base = json!({"metadata": {"name": "system:reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    let both = [
        (
            rule(json!({"apiGroups": [""], "resources": ["pods"]})),
            "rules[0].verbs: Required value: verbs must contain at least one value",
        ),
        (
            rule(json!({"verbs": ["get"], "resources": ["pods"]})),
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ),
        (
            rule(json!({"verbs": ["get"], "apiGroups": [""]})),
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ),
        (
            rule(json!({"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]})),
            "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            json!({"metadata": {"name": "a/b"}}),
            "metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ),
    ];
    let (roles, cluster) = (resource(GROUP, "roles"), resource(GROUP, "clusterroles"));
    refuses(roles, &base, &both);
    refuses(cluster, &base, &both);
    let urls = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/x"]}));
    refuses(roles, &base, &[(urls, "namespaced rules cannot apply to non-resource URLs")]);
    refuses(
        cluster,
        &base,
        &[
            (
                json!({"aggregationRule": {}}),
                "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil",
            ),
            (
                json!({"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Nope"}]}]}}),
                "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: \"Nope\"",
            ),
        ],
    );
    accepts_update(cluster, &base, &[json!({"rules": []})]);
}

#[test]
fn bindings() {
    let base = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "Group", "name": "g"}, {"kind": "ServiceAccount", "name": "s", "namespace": "d"}]});
    let subject = |subject: serde_json::Value| json!({"subjects": [subject]});
    let both = [
        (
            json!({"roleRef": {"apiGroup": "x"}}),
            "roleRef.apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
        ),
        (json!({"roleRef": {"name": ""}}), "roleRef.name: Required value"),
        (
            json!({"roleRef": {"name": "a%"}}),
            "roleRef.name: Invalid value: \"a%\": may not contain '%'",
        ),
        (
            subject(json!({"kind": "User", "name": ""})),
            "subjects[0].name: Invalid value: \"\": user name cannot be empty",
        ),
        (
            subject(json!({"kind": "User", "name": "u", "apiGroup": "x"})),
            "subjects[0].apiGroup: Unsupported value: \"x\"",
        ),
        (
            subject(json!({"kind": "ServiceAccount", "name": "A_", "namespace": "d"})),
            "subjects[0].name: Invalid value: \"A_\"",
        ),
        (
            subject(
                json!({"kind": "ServiceAccount", "name": "s", "namespace": "d", "apiGroup": "x"}),
            ),
            "subjects[0].apiGroup: Unsupported value: \"x\": supported values: \"\"",
        ),
        (
            subject(json!({"kind": "Robot", "name": "r"})),
            "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
        ),
    ];
    let (local, cluster) =
        (resource(GROUP, "rolebindings"), resource(GROUP, "clusterrolebindings"));
    refuses(local, &base, &both);
    refuses(cluster, &base, &both);
    let role = json!({"roleRef": {"kind": "Role"}});
    create(local, json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}}))
        .expect("valid");
    let homeless = subject(json!({"kind": "ServiceAccount", "name": "s"}));
    refuses(
        cluster,
        &base,
        &[
            (role, "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\""),
            (homeless, "subjects[0].namespace: Required value"),
        ],
    );
    let moved = json!({"roleRef": {"name": "other"}});
    refuses_update(local, &base, &[(moved.clone(), "cannot change roleRef")]);
    refuses_update(cluster, &base, &[(moved, "cannot change roleRef")]);
    accepts_update(cluster, &base, &[json!({"subjects": null})]);
}
