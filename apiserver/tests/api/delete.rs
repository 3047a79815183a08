//! DELETE: at once, gracefully, after finalizers; namespaces; whole collections.

use serde_json::json;

use crate::server::{MAPS, PODS, TestServer, config_map, pod};

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_keeps_goes() {
    let server = TestServer::start().await;
    let made = server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let path = format!("{MAPS}/m");
    let wrong = json!({"preconditions": {"uid": "nope"}});
    assert_eq!(server.delete(&path, &wrong).await.expect(409)["reason"], "Conflict");
    let tried = server.delete(&format!("{path}?dryRun=All"), &json!({})).await;
    tried.expect(200);
    let status =
        server.delete(&path, &json!({"propagationPolicy": "Background"})).await.expect(200);
    assert_eq!(status["status"], "Success");
    assert_eq!(status["details"]["uid"], made["metadata"]["uid"]);
    server.delete(&path, &json!({})).await.expect(404);
    server.delete(&path, &json!({"propagationPolicy": "Sideways"})).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_are_waited_for() {
    let server = TestServer::start().await;
    let mut map = config_map("m", "1");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(MAPS, &map).await.expect(201);
    let path = format!("{MAPS}/m");
    let kept = server.delete(&path, &json!({})).await.expect(200);
    assert!(kept["metadata"]["deletionTimestamp"].is_string(), "{kept}");
    server.get(&path).await.expect(200);
    server.merge(&path, &json!({"metadata": {"finalizers": null}})).await.expect(200);
    server.get(&path).await.expect(404);
    // Foreground deletion leaves the end to the garbage collector.
    server.post(MAPS, &config_map("f", "1")).await.expect(201);
    let path = format!("{MAPS}/f");
    let kept = server.delete(&path, &json!({"propagationPolicy": "Foreground"})).await.expect(200);
    assert_eq!(kept["metadata"]["finalizers"], json!(["foregroundDeletion"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_pod_ends_gracefully() {
    let server = TestServer::start().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let path = format!("{PODS}/p");
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    server.post(&format!("{path}/binding"), &binding).await.expect(201);
    let ending = server.delete(&path, &json!({})).await.expect(200);
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 30);
    let again = server.delete(&path, &json!({})).await.expect(200);
    assert_eq!(again["metadata"]["resourceVersion"], ending["metadata"]["resourceVersion"]);
    // A negative period is a second, not none: the agent still has to end the pod.
    server.post(PODS, &pod("n")).await.expect(201);
    let binding = json!({"metadata": {"name": "n"}, "target": {"kind": "Node", "name": "n1"}});
    server.post(&format!("{PODS}/n/binding"), &binding).await.expect(201);
    let negative =
        server.delete(&format!("{PODS}/n"), &json!({"gracePeriodSeconds": -1})).await.expect(200);
    assert_eq!(negative["metadata"]["deletionGracePeriodSeconds"], 1);
    server.get(&format!("{PODS}/n")).await.expect(200);
    let sooner = server.delete(&path, &json!({"gracePeriodSeconds": 1})).await.expect(200);
    assert_eq!(sooner["metadata"]["deletionGracePeriodSeconds"], 1);
    // The agent confirms.
    let gone = server.delete(&path, &json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(gone["kind"], "Pod");
    server.get(&path).await.expect(404);
    // A pod that runs nowhere has nothing to end.
    server.post(PODS, &pod("q")).await.expect(201);
    server.delete(&format!("{PODS}/q"), &json!({})).await.expect(200);
    server.get(&format!("{PODS}/q")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_terminates_until_it_is_finalized() {
    let server = TestServer::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let made = server.post("/api/v1/namespaces", &namespace).await.expect(201);
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    let path = "/api/v1/namespaces/n";
    let mut ending = server.delete(path, &json!({})).await.expect(200);
    assert_eq!(ending["status"]["phase"], "Terminating");
    let status =
        server.post("/api/v1/namespaces/n/configmaps", &config_map("m", "1")).await.expect(403);
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    ending["spec"]["finalizers"] = json!([]);
    server.put(&format!("{path}/finalize"), &ending).await.expect(200);
    server.get(path).await.expect(404);
    let status = server.delete("/api/v1/namespaces/default", &json!({})).await.expect(403);
    assert_eq!(
        status["message"],
        "namespaces \"default\" is forbidden: this namespace may not be deleted"
    );
    let missing = server.post("/api/v1/namespaces/none/configmaps", &config_map("m", "1")).await;
    assert_eq!(missing.expect(404)["details"]["kind"], "namespaces");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_goes_by_selector() {
    let server = TestServer::start().await;
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut map = config_map(name, "1");
        map["metadata"]["labels"] = json!({"app": app});
        server.post(MAPS, &map).await.expect(201);
    }
    let list =
        server.delete(&format!("{MAPS}?labelSelector=app%3Dx"), &json!({})).await.expect(200);
    assert_eq!(list["kind"], "ConfigMapList");
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(list["items"][0].get("kind").is_none(), "the list has the kind");
    let left = server.get(MAPS).await.expect(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.delete("/api/v1/namespaces", &json!({})).await.code, 405);
    assert_eq!(server.delete("/api/v1/configmaps", &json!({})).await.code, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_goes_page_by_page_or_only_seemingly() {
    let server = TestServer::start().await;
    for name in ["a", "b", "c"] {
        server.post(MAPS, &config_map(name, "1")).await.expect(201);
    }
    let names = |list: &serde_json::Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items").iter();
        items.map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    };
    let tried = server.delete(MAPS, &json!({"dryRun": ["All"]})).await.expect(200);
    assert_eq!(names(&tried), ["a", "b", "c"]);
    server.delete(&format!("{MAPS}?dryRun=All"), &json!({})).await.expect(200);
    server.delete(&format!("{MAPS}?dryRun=Some"), &json!({})).await.expect(422);
    server.delete(&format!("{MAPS}?resourceVersionMatch=Exact"), &json!({})).await.expect(422);
    let other = json!({"preconditions": {"uid": "nope"}});
    assert_eq!(server.delete(MAPS, &other).await.expect(409)["reason"], "Conflict");
    assert_eq!(names(&server.get(MAPS).await.expect(200)), ["a", "b", "c"]);
    let page = server.delete(&format!("{MAPS}?limit=2"), &json!({})).await.expect(200);
    assert_eq!(names(&page), ["a", "b"]);
    assert_eq!(names(&server.get(MAPS).await.expect(200)), ["c"]);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let headers = [("accept", table)];
    let gone = server.client.open(http::Method::DELETE, MAPS, &headers, "").await;
    let gone = crate::server::read(gone).await.expect(200);
    assert_eq!((&gone["kind"], &gone["rows"][0]["cells"][0]), (&"Table".into(), &"c".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_version_that_is_meant_goes() {
    let server = TestServer::start().await;
    let made = server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let path = format!("{MAPS}/m");
    let change = json!({"data": {"a": "2"}});
    let changed = server.merge(&path, &change).await.expect(200);
    let version = |object: &serde_json::Value| {
        json!({"preconditions": {"resourceVersion": object["metadata"]["resourceVersion"],
            "uid": object["metadata"]["uid"]}})
    };
    let status = server.delete(&path, &version(&made)).await.expect(409);
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("does not match the ResourceVersion in record"), "{message}");
    server.delete(&path, &version(&changed)).await.expect(200);
    server.get(&path).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_deletions_show_what_is_gone() {
    let server = TestServer::start().await;
    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "fast"}, "provisioner": "example.com/disk"});
    let made = server.post(classes, &class).await.expect(201);
    let path = format!("{classes}/fast");
    let gone = server.delete(&path, &json!({})).await.expect(200);
    assert_eq!((&gone["kind"], &gone["provisioner"]), (&made["kind"], &made["provisioner"]));
    server.get(&path).await.expect(404);
}
