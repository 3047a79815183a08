//! Any request has an answer: generated requests at a whole API server. The fuzz target `request`
//! feeds the same check with anything at all.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod checks;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value};

use checks::{Request, Server};

struct Running {
    runtime: tokio::runtime::Runtime,
    server: Server,
}

static RUNNING: LazyLock<Running> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    Running { runtime, server }
});

/// One of some texts, now and then anything.
fn mostly(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::sample::select(words).prop_map(str::to_owned),
        1 => "[ -~é]{0,12}".prop_map(String::from),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let prefix = mostly(&[
        "api/v1",
        "api/v1/namespaces/default",
        "apis/apps/v1/namespaces/default",
        "apis/batch/v1",
        "apis/coordination.k8s.io/v1/namespaces/default",
        "apis",
        "api",
        "openapi/v3",
        "apis/rbac.authorization.k8s.io/v1",
        "apis/discovery.k8s.io/v1/namespaces/default",
        "apis/apiextensions.k8s.io/v1",
        "healthz",
        "version",
        "apis/autoscaling/v2",
    ]);
    let resource = mostly(&[
        "",
        "pods",
        "configmaps",
        "services",
        "namespaces",
        "nodes",
        "deployments",
        "leases",
        "jobs",
        "cronjobs",
        "clusterroles",
        "endpointslices",
        "customresourcedefinitions",
        "events",
        "serviceaccounts",
        "bindings",
        "componentstatuses",
        "replicationcontrollers",
    ]);
    let name = mostly(&["", "", "a", "default", "b%2Fc", "A", "%zz", ".."]);
    let below = mostly(&[
        "",
        "",
        "",
        "status",
        "scale",
        "log",
        "binding",
        "eviction",
        "finalize",
        "token",
        "exec",
        "ephemeralcontainers",
        "resize",
        "proxy/a/b",
    ]);
    (prefix, resource, name, below)
        .prop_map(|parts| format!("/{}/{}/{}/{}", parts.0, parts.1, parts.2, parts.3))
}

fn query() -> impl Strategy<Value = String> {
    let parameter = mostly(&[
        "watch",
        "limit",
        "continue",
        "resourceVersion",
        "resourceVersionMatch",
        "labelSelector",
        "fieldSelector",
        "sendInitialEvents",
        "allowWatchBookmarks",
        "timeoutSeconds",
        "dryRun",
        "fieldValidation",
        "fieldManager",
        "force",
        "pretty",
        "timeout",
        "gracePeriodSeconds",
        "propagationPolicy",
        "includeObject",
        "verbose",
        "exclude",
        "tailLines",
        "follow",
    ]);
    let value = mostly(&[
        "",
        "1",
        "0",
        "true",
        "false",
        "-1",
        "abc",
        "All",
        "Strict",
        "Warn",
        "Exact",
        "NotOlderThan",
        "a%3Db",
        "a+in+(b,c)",
        "metadata.name%3Da",
        "!a",
        "999999999999999999999",
        "Background",
        "Orphan",
        "None",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",
        "me",
        "10ms",
        "%00",
        "%",
    ]);
    prop::collection::vec((parameter, value), 0..4).prop_map(|pairs| {
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    })
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let accept = mostly(&[
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "*/*",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "text/html",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/vnd.kubernetes.protobuf;stream=watch",
    ]);
    let kind = mostly(&[
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "text/plain",
        "",
    ]);
    let other = mostly(&["", "gzip", "bytes", "identity;q=0", "system:admin", "100-continue"]);
    let name = prop::sample::select(vec![
        "Accept-Encoding",
        "Impersonate-User",
        "If-None-Match",
        "Expect",
        "User-Agent",
        "Authorization",
        "Impersonate-Extra-a",
    ]);
    (accept, kind, name, other).prop_map(|(accept, kind, name, other)| {
        vec![
            ("Accept".to_owned(), accept),
            ("Content-Type".to_owned(), kind),
            (name.to_owned(), other),
        ]
    })
}

/// An object, nearly.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..100_i64).prop_map(Value::from),
        mostly(&["a", "b", "v1", "Pod", "apps/v1", "Deployment", "ConfigMap", "x:1", "1Gi", "TCP"])
            .prop_map(Value::from),
    ];
    let field = || {
        mostly(&[
            "apiVersion",
            "kind",
            "metadata",
            "spec",
            "name",
            "namespace",
            "labels",
            "data",
            "containers",
            "image",
            "selector",
            "template",
            "matchLabels",
            "app",
            "a",
            "replicas",
            "finalizers",
            "resourceVersion",
            "uid",
            "preconditions",
            "ports",
            "port",
            "$patch",
            "ownerReferences",
            "managedFields",
            "generateName",
            "status",
            "op",
            "path",
            "value",
        ])
    };
    leaf.prop_recursive(5, 24, 4, move |inner| {
        let fields = prop::collection::vec((field(), inner.clone()), 0..5);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::from),
            3 => fields.prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let named = |kind: &'static str| {
        value().prop_map(move |spec| {
            let metadata = serde_json::json!({"name": "a"});
            serde_json::json!({"apiVersion": "v1", "kind": kind, "metadata": metadata,
                "spec": spec, "data": spec})
        })
    };
    prop_oneof![
        Just(Vec::new()),
        value().prop_map(|value| value.to_string().into_bytes()),
        named("ConfigMap").prop_map(|value| value.to_string().into_bytes()),
        named("Pod").prop_map(|value| api::protobuf::write(&value).unwrap_or_default()),
        "(a|b|: |- |\n|  |\\{|\\}|\\[|&x|\\*x|!!str|\"|\\||0644|~){0,12}"
            .prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_has_an_answer(
        method in mostly(&["GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
        (path, query) in (path(), query()),
        headers in headers(),
        body in body(),
    ) {
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        RUNNING.runtime.block_on(RUNNING.server.check(Request { method, target, headers, body }));
    }

    #[test]
    fn any_bytes_are_a_request_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(request) = Request::read(&[b"POST /api/v1/namespaces/default/pods\n", &bytes[..]].concat()) {
            RUNNING.runtime.block_on(RUNNING.server.check(request));
        }
    }
}
