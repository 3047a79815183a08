//! Manifests that say too much, too little or nothing.

use serde_json::{Value, json};
use tests::cluster::Cluster;

use super::witness::Witness;

/// A request as it is, with the administrator's certificate: the status, the headers and the body.
fn post(cluster: &Cluster, path: &str, body: Vec<u8>) -> (u16, Vec<String>, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let file = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let request = ::http::Request::post(path).header("content-type", "application/json");
        let answer = client.send(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let warnings = head.headers.get_all("warning").iter();
        let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
        let body = body.collect_bytes().await.unwrap();
        (head.status.as_u16(), warnings, serde_json::from_slice(&body).unwrap_or(Value::Null))
    })
}

#[test]
fn manifests_with_too_much_in_them() {
    let mut cluster = Cluster::start().unwrap();
    cluster.expect_log("request body");
    let witness = Witness::start(&cluster);
    let maps = "/api/v1/namespaces/default/configmaps";
    let pods = "/api/v1/namespaces/default/pods";

    // Unknown and duplicate fields: refused, warned about or let through, as the client asks.
    let twice = |name: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"nope":1,"data":{{"a":"1","a":"2"}}}}"#
        )
    };
    let (code, _, status) =
        post(&cluster, &format!("{maps}?fieldValidation=Strict"), twice("strict").into());
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{status}");
    let message = status["message"].as_str().unwrap();
    for words in ["strict decoding error", r#"unknown field "nope""#, r#"duplicate field "data.a""#]
    {
        assert!(message.contains(words), "{message}");
    }
    for (query, name) in [("?fieldValidation=Warn", "warn"), ("", "unsaid")] {
        let (code, warnings, object) =
            post(&cluster, &format!("{maps}{query}"), twice(name).into());
        assert_eq!((code, &object["data"]["a"]), (201, &json!("2")), "{object}");
        let warnings = warnings.join("\n");
        assert!(warnings.contains(r#"unknown field \"nope\""#), "{warnings}");
        assert!(warnings.contains(r#"duplicate field \"data.a\""#), "{warnings}");
    }
    let (code, warnings, object) =
        post(&cluster, &format!("{maps}?fieldValidation=Ignore"), twice("ignore").into());
    assert_eq!((code, warnings.len()), (201, 0), "{object}");
    assert!(object["nope"].is_null());

    // What is no object, and what no pod may be: the path of the field is said.
    let (code, _, status) = post(&cluster, pods, b"{\"apiVersion\":".to_vec());
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{status}");
    let invalid = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "Bad_Name"},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}, {"name": "c", "image": "j"}]}});
    let (code, _, status) = post(&cluster, pods, invalid.to_string().into());
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")), "{status}");
    let fields: Vec<&str> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["field"].as_str().unwrap())
        .collect();
    for field in
        ["metadata.name", "spec.containers[0].ports[0].containerPort", "spec.containers[1].name"]
    {
        assert!(fields.contains(&field), "{field} in {fields:?}");
    }
    let typo =
        cluster.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {container: []}\n");
    let error = format!("{:#}", typo.unwrap_err());
    assert!(error.contains(r#"unknown field "spec.container""#), "{error}");

    // 4 MiB are more than Kubernetes takes.
    let large = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"a": "x".repeat(4 << 20)}});
    let (code, _, status) = post(&cluster, maps, large.to_string().into());
    assert_eq!((code, &status["reason"]), (413, &json!("RequestEntityTooLarge")), "{status}");
    let error = cluster.apply(&large.to_string()).unwrap_err();
    assert!(format!("{error:#}").contains("RequestEntityTooLarge"), "{error:#}");
    // And what fits the request but not the object has its own words.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"a": "x".repeat(2 << 20)}});
    let (code, _, status) = post(&cluster, maps, map.to_string().into());
    assert_eq!(code, 422, "{status}");
    assert!(status["message"].as_str().unwrap().contains("1048576"), "{status}");

    let left = cluster.wctl(&["get", "configmaps", "-o", "name"]).unwrap();
    let mut left: Vec<&str> =
        left.lines().filter(|name| *name != "configmap/kube-root-ca.crt").collect();
    left.sort_unstable();
    assert_eq!(left, ["configmap/ignore", "configmap/unsaid", "configmap/warn"]);
    witness.is_undisturbed(&cluster);
}
