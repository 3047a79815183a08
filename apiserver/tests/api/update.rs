//! PUT, PATCH and the subresources that change an object.

use http::Method;
use serde_json::{Value, json};

use crate::server::{MAPS, PODS, TestServer, config_map, pod};

const CONTROLLERS: &str = "/api/v1/namespaces/default/replicationcontrollers";

async fn patch(server: &TestServer, path: &str, kind: &str, body: Value) -> Value {
    let kind = format!("application/{kind}-patch+json");
    server.client.send(Method::PATCH, path, &kind, body.to_string()).await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_needs_the_current_version_or_none() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}/m");
    let made = server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let mut changed = made.clone();
    changed["data"]["a"] = "2".into();
    let updated = server.put(&path, &changed).await.expect(200);
    assert_ne!(updated["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    assert_eq!(updated["metadata"]["uid"], made["metadata"]["uid"]);
    let status = server.put(&path, &changed).await.expect(409);
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on configmaps \"m\": the object has been modified; please \
         apply your changes to the latest version and try again"
    );
    server.put(&path, &config_map("m", "3")).await.expect(200);
    // Nothing changed: the version stays.
    let again = server.put(&path, &config_map("m", "3")).await.expect(200);
    let now = server.get(&path).await.expect(200);
    assert_eq!(again["metadata"]["resourceVersion"], now["metadata"]["resourceVersion"]);
    let mut other = config_map("m", "4");
    other["metadata"]["uid"] = "11111111-1111-4111-8111-111111111111".into();
    assert_eq!(server.put(&path, &other).await.code, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_kinds_of_patch() {
    let server = TestServer::start().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let path = format!("{PODS}/p");
    let merged =
        patch(&server, &path, "merge", json!({"metadata": {"labels": {"b": "1", "app": null}}}))
            .await;
    assert_eq!(merged["metadata"]["labels"], json!({"b": "1"}));
    let body = json!([{"op": "replace", "path": "/metadata/labels/b", "value": "2"}]);
    let patched = patch(&server, &path, "json", body).await;
    assert_eq!(patched["metadata"]["labels"], json!({"b": "2"}));
    let body = json!({"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}});
    let merged = patch(&server, &path, "strategic-merge", body).await;
    assert_eq!(merged["spec"]["containers"].as_array().unwrap().len(), 1);
    assert_eq!(merged["spec"]["containers"][0]["image"], "nginx:2");
    let send = |kind: &'static str| {
        server.client.clone().send_owned(Method::PATCH, path.clone(), kind, "{}".to_owned())
    };
    send("application/json").await.expect(415);
    let stale = json!({"metadata": {"resourceVersion": "1", "labels": {"x": "y"}}});
    server.merge(&path, &stale).await.expect(409);
    server.merge(&format!("{PODS}/none"), &json!({})).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_patches_all_count() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let patches = (0..16).map(|n| {
        let body = json!({"data": {format!("k{n}"): "x"}}).to_string();
        let path = format!("{MAPS}/m");
        server.client.clone().send_owned(Method::PATCH, path, "application/merge-patch+json", body)
    });
    for answer in futures_util::future::join_all(patches).await {
        answer.expect(200);
    }
    let map = server.get(&format!("{MAPS}/m")).await.expect(200);
    assert_eq!(map["data"].as_object().unwrap().len(), 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_spec_have_doors_of_their_own() {
    let server = TestServer::start().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let (path, status) = (format!("{PODS}/p"), format!("{PODS}/p/status"));
    let running = json!({"status": {"phase": "Running"}, "metadata": {"labels": {"x": "y"}}});
    let pod = patch(&server, &status, "strategic-merge", running.clone()).await;
    assert_eq!(pod["status"]["phase"], "Running");
    let pod = patch(&server, &path, "merge", json!({"status": {"phase": "Failed"}})).await;
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(server.get(&status).await.expect(200), server.get(&path).await.expect(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_bound_once() {
    let server = TestServer::start().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let binding = |node: &str| {
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p", "namespace": "default"},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node}})
    };
    let path = format!("{PODS}/p/binding");
    // What a binding gives the pod is checked as if the pod had come with it: a label that is no
    // text would make every typed client of pods fail.
    let mut odd = binding("n1");
    odd["metadata"]["labels"] = json!({"a": 5});
    server.post(&path, &odd).await.expect(400);
    odd["metadata"]["labels"] = json!({"a b": "c"});
    server.post(&path, &odd).await.expect(422);
    let status = server.post(&path, &binding("n1")).await.expect(201);
    assert_eq!((&status["kind"], &status["status"]), (&"Status".into(), &"Success".into()));
    let bound = server.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "n1");
    let conditions = bound["status"]["conditions"].as_array().unwrap();
    assert_eq!(
        (&conditions[0]["type"], &conditions[0]["status"]),
        (&"PodScheduled".into(), &"True".into())
    );
    let status = server.post(&path, &binding("n2")).await.expect(409);
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
    );
    server.post(&path, &binding("")).await.expect(400);
    server
        .post(&format!("{PODS}/none/binding"), &json!({"target": {"name": "n"}}))
        .await
        .expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_is_the_replicas() {
    let server = TestServer::start().await;
    let controller = json!({"apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "rc"},
        "spec": {"replicas": 1, "selector": {"a": "b"}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}});
    server.post(CONTROLLERS, &controller).await.expect(201);
    let path = format!("{CONTROLLERS}/rc/scale");
    let scale = server.get(&path).await.expect(200);
    assert_eq!((&scale["kind"], &scale["apiVersion"]), (&"Scale".into(), &"autoscaling/v1".into()));
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&1.into(), &"a=b".into())
    );
    let scale = patch(&server, &path, "merge", json!({"spec": {"replicas": 3}})).await;
    assert_eq!(scale["spec"]["replicas"], 3);
    let mut wanted = scale.clone();
    wanted["spec"]["replicas"] = 5.into();
    server.put(&path, &wanted).await.expect(200);
    wanted["spec"]["replicas"] = 7.into();
    server.put(&path, &wanted).await.expect(409);
    api::meta::remove(&mut wanted["metadata"], "resourceVersion");
    wanted["spec"]["replicas"] = (-1).into();
    let status = server.put(&path, &wanted).await.expect(422);
    assert_eq!(status["details"]["causes"][0]["field"], "spec.replicas");
    let controller = server.get(&format!("{CONTROLLERS}/rc")).await.expect(200);
    assert_eq!(controller["spec"]["replicas"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_created_by_its_first_update() {
    let server = TestServer::start().await;
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40}});
    let made = server.put(path, &lease).await.expect(201);
    assert_eq!(made["spec"]["holderIdentity"], "n1");
    let mut renewed = made.clone();
    renewed["spec"]["leaseDurationSeconds"] = 50.into();
    server.put(path, &renewed).await.expect(200);
    // Kubernetes takes no blind updates of Leases.
    server.put(path, &lease).await.expect(422);
    server.put(&format!("{MAPS}/none"), &config_map("none", "1")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_put_may_create_it_creates_unless_it_names_another() {
    let server = TestServer::start().await;
    let path = "/api/v1/namespaces/default/limitranges/l";
    let mut limits = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "uid": "5"},
        "spec": {"limits": []}});
    let refused = server.put(path, &limits).await.expect(409);
    assert_eq!(
        (&refused["reason"], &refused["message"]),
        (
            &json!("Conflict"),
            &json!(
                "Operation cannot be fulfilled on limitranges \"l\": Precondition failed: UID in \
                 precondition: 5, UID in object meta: "
            )
        )
    );
    assert_eq!(refused["details"], json!({"name": "l", "kind": "limitranges"}));
    server.get(path).await.expect(404);
    // Of what is not there any version may be claimed to be known.
    limits["metadata"] = json!({"name": "l", "resourceVersion": "5"});
    let made = server.put(path, &limits).await.expect(201);
    limits["metadata"] = json!({"name": "l", "uid": "5"});
    let refused = server.put(path, &limits).await.expect(409);
    let uid = made["metadata"]["uid"].as_str().expect("a UID");
    assert_eq!(
        refused["message"],
        format!(
            "Operation cannot be fulfilled on limitranges \"l\": Precondition failed: UID in \
             precondition: 5, UID in object meta: {uid}"
        )
    );
    // Other kinds are created by POST alone, whatever is said of them.
    let mut map = config_map("none", "1");
    map["metadata"]["uid"] = "5".into();
    server.put(&format!("{MAPS}/none"), &map).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_patches_are_refused_warned_about_or_let_through() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let twice = r#"{"data": {"b": "1", "b": "2"}, "nope": 1}"#;
    let operations = r#"[{"op": "add", "path": "/data/c", "value": "1", "foo": "x"},
        {"op": "add", "path": "/data/d", "path": "/data/d", "value": "1"}]"#;
    let object = [r#"duplicate field "data.b""#, r#"unknown field "nope""#];
    let list =
        [r#"json patch unknown field "[0].foo""#, r#"json patch duplicate field "[1].path""#];
    for (kind, body, problems) in [
        ("application/merge-patch+json", twice, object),
        ("application/strategic-merge-patch+json", twice, object),
        ("application/json-patch+json", operations, list),
    ] {
        let send = async |validation: &str| {
            let path = format!("{MAPS}/m?fieldValidation={validation}");
            server.client.send(Method::PATCH, &path, kind, body).await
        };
        let status = send("Strict").await.expect(422);
        let message = status["message"].as_str().unwrap();
        let detail = format!("strict decoding error: {}", problems.join(", "));
        assert!(message.starts_with(" \"\" is invalid: patch: Invalid value: "), "{message}");
        assert!(message.ends_with(&detail), "{message}");
        assert_eq!(status["details"]["causes"][0]["field"], "patch");
        for validation in ["Warn", ""] {
            let answer = send(validation).await;
            assert_eq!(answer.code, 200, "{}", answer.text());
            let warnings = answer.headers.get_all("warning").iter();
            let told: Vec<_> = warnings.map(|warning| warning.to_str().unwrap()).collect();
            let want: Vec<_> = problems
                .iter()
                .map(|problem| format!("299 - {}", api::field::go_quote(problem)))
                .collect();
            assert_eq!(told, want, "{kind} {validation}");
        }
        let answer = send("Ignore").await;
        assert_eq!((answer.code, answer.headers.contains_key("warning")), (200, false), "{kind}");
    }
    let map = server.get(&format!("{MAPS}/m")).await.expect(200);
    assert_eq!(map["data"], json!({"a": "1", "b": "2", "c": "1", "d": "1"}));
    // Who is not there comes first.
    let kind = "application/merge-patch+json";
    let path = format!("{MAPS}/none?fieldValidation=Strict");
    server.client.send(Method::PATCH, &path, kind, twice).await.expect(404);
}
