//! The objects that every cluster has, and what a second start does about them.

use serde_json::{Value, json};

use crate::server::{MAPS, TestServer};

const FLOW: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_has_schemas_services_and_a_range() {
    let server = TestServer::start().await;
    let schema = server.get(&format!("{FLOW}/flowschemas/exempt")).await.expect(200);
    let level = server.get(&format!("{FLOW}/prioritylevelconfigurations/exempt")).await.expect(200);
    assert_eq!(schema["status"]["conditions"][0]["reason"], "Found");
    assert_eq!((&schema["metadata"]["generation"], &level["status"]), (&json!(1), &json!({})));
    let answer = server.get(MAPS).await;
    for (name, object) in [("flowschema", &schema), ("prioritylevel", &level)] {
        let header = &answer.headers[&format!("x-kubernetes-pf-{name}-uid")];
        assert_eq!(header.to_str().ok(), object["metadata"]["uid"].as_str(), "{name}");
    }
    let apps = server.get(&format!("{SERVICES}/v1.apps")).await.expect(200);
    assert_eq!(
        apps["spec"],
        json!({"group": "apps", "version": "v1",
        "groupPriorityMinimum": 17800, "versionPriority": 15})
    );
    let condition = &apps["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("Available"), &json!("Local")));
    let range = server.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.expect(200);
    assert_eq!(range["spec"]["cidrs"], json!(["10.96.0.0/16"]));
    assert_eq!(range["status"]["conditions"][0]["type"], "Ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_schema_decides_at_once() {
    let server = TestServer::start().await;
    let level = json!({"metadata": {"name": "own"}, "spec": {"type": "Limited", "limited":
        {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}}});
    let level =
        server.post(&format!("{FLOW}/prioritylevelconfigurations"), &level).await.expect(201);
    let schema = json!({"metadata": {"name": "own"}, "spec": {"matchingPrecedence": 3,
        "priorityLevelConfiguration": {"name": "own"}, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "bob"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}});
    let schema = server.post(&format!("{FLOW}/flowschemas"), &schema).await.expect(201);
    server.get(&format!("{FLOW}/flowschemas")).await.expect(200);
    let identity = server.authority.client("bob", None).expect("an identity");
    let bob = server.client_of(Some(&identity));
    let answer = bob.send(http::Method::GET, "/version", "", "").await;
    let header = |name: &str| answer.headers[name].to_str().expect("a UID").to_owned();
    assert_eq!(schema["metadata"]["uid"], header("x-kubernetes-pf-flowschema-uid"));
    assert_eq!(level["metadata"]["uid"], header("x-kubernetes-pf-prioritylevel-uid"));
    // A refusal says so, too.
    let answer = bob.send(http::Method::GET, MAPS, "", "").await;
    assert_eq!(answer.code, 403);
    assert!(answer.headers.contains_key("x-kubernetes-pf-flowschema-uid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_mends_what_was_touched_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = TestServer::start_in(dir.path()).await;
    let digest = server.store.get("bootstrap/digest").await.expect("a store").expect("a digest");
    server.stop().await.expect("a clean stop");

    let server = TestServer::start_in(dir.path()).await;
    let again = server.store.get("bootstrap/digest").await.expect("a store").expect("a digest");
    assert_eq!(again.mod_revision, digest.mod_revision, "nothing had changed");
    let all = format!("{FLOW}/prioritylevelconfigurations");
    let versions = async |server: &TestServer| -> Vec<(Value, Value)> {
        let list = server.get(&all).await.expect(200);
        let items = list["items"].as_array().expect("items").iter();
        let version = |item: &Value| {
            (item["metadata"]["name"].clone(), item["metadata"]["resourceVersion"].clone())
        };
        items.map(version).collect()
    };
    let before = versions(&server).await;
    let less = json!({"spec": {"limited": {"nominalConcurrencyShares": 1}}});
    server.merge(&format!("{all}/system"), &less).await.expect(200);
    server.delete(&format!("{SERVICES}/v1.apps"), &json!({})).await.expect(200);
    server.stop().await.expect("a clean stop");

    let server = TestServer::start_in(dir.path()).await;
    let system = server.get(&format!("{all}/system")).await.expect(200);
    assert_eq!(system["spec"]["limited"]["nominalConcurrencyShares"], 30);
    server.get(&format!("{SERVICES}/v1.apps")).await.expect(200);
    let changed = versions(&server).await.into_iter().zip(before).filter(|(now, had)| now != had);
    assert_eq!(changed.map(|((name, _), _)| name).collect::<Vec<_>>(), [json!("system")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn older_paths_of_watches_work() {
    let server = TestServer::start().await;
    for name in ["a", "b"] {
        server.post(MAPS, &crate::server::config_map(name, "x")).await.expect(201);
    }
    let path = "/api/v1/watch/namespaces/default/configmaps/b?timeoutSeconds=1";
    let answer = server.get(path).await;
    assert_eq!(answer.code, 200);
    let events =
        answer.text().lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let named = events.filter(|event| event["type"] == "ADDED");
    let names: Vec<_> = named.map(|event| event["object"]["metadata"]["name"].clone()).collect();
    assert_eq!(names, [json!("b")]);
}

/// Asks until the answer is right; fails with the last one.
async fn until(what: &str, ask: impl AsyncFn() -> Result<(), String>) {
    let end = tokio::time::Instant::now() + crate::server::PATIENCE;
    loop {
        match ask().await {
            Ok(()) => return,
            Err(last) if tokio::time::Instant::now() > end => panic!("{what}: not yet; {last}"),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_from_others_is_kept() {
    let server = TestServer::start().await;
    let has = async |path: String, code: u16| {
        let answer = server.get(&path).await;
        if answer.code == code { Ok(()) } else { Err(format!("{path}: {}", answer.text())) }
    };
    let addresses = "/apis/networking.k8s.io/v1/ipaddresses";
    until("the first address", || has(format!("{addresses}/10.96.0.1"), 200)).await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let made = server.post(services, &service).await.expect(201);
    let address = made["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    until("an address", || has(format!("{addresses}/{address}"), 200)).await;
    server.delete(&format!("{services}/s"), &json!({})).await.expect(200);
    until("no address", || has(format!("{addresses}/{address}"), 404)).await;

    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = json!({"metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com", "scope": "Cluster", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    server.post(definitions, &definition).await.expect(201);
    until("an APIService", || has(format!("{SERVICES}/v1.example.com"), 200)).await;
    let path = format!("{definitions}/things.example.com");
    server.delete(&path, &json!({})).await.expect(200);
    until("no APIService", || has(format!("{SERVICES}/v1.example.com"), 404)).await;

    let schema = json!({"metadata": {"name": "own"}, "spec": {
        "priorityLevelConfiguration": {"name": "none"}}});
    let path = format!("{FLOW}/flowschemas");
    server.post(&path, &schema).await.expect(201);
    until("a condition", async || {
        let schema = server.get(&format!("{path}/own")).await.expect(200);
        match schema["status"]["conditions"][0]["reason"].as_str() {
            Some("NotFound") => Ok(()),
            _ => Err(schema.to_string()),
        }
    })
    .await;
}
