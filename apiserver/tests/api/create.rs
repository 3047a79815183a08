//! POST: what is filled in, what is refused, what is only tried.

use http::Method;
use serde_json::json;

use crate::server::{MAPS, PODS, TestServer, config_map, pod};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_object_is_stamped_and_read_back() {
    let server = TestServer::start().await;
    let made = server.post(PODS, &pod("web")).await.expect(201);
    let meta = &made["metadata"];
    assert_eq!((&meta["name"], &meta["namespace"]), (&"web".into(), &"default".into()));
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert!(meta["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert!(meta["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(server.get(&format!("{PODS}/web")).await.expect(200), made);
    let status = server.post(PODS, &pod("web")).await.expect(409);
    assert_eq!(status["reason"], "AlreadyExists");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_generated() {
    let server = TestServer::start().await;
    let mut body = config_map("x", "1");
    body["metadata"] = json!({"generateName": "run-"});
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let made = server.post(MAPS, &body).await.expect(201);
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("run-") && name.len() == 9, "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_nothing() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}?dryRun=All");
    let made = server.post(&path, &config_map("dry", "1")).await.expect(201);
    assert_eq!(made["metadata"]["name"], "dry");
    assert!(made["metadata"].get("resourceVersion").is_none());
    server.get(&format!("{MAPS}/dry")).await.expect(404);
    server.post(MAPS, &config_map("dry", "1")).await.expect(201);
    server.post(&path, &config_map("dry", "1")).await.expect(409);
    server.post(&format!("{MAPS}?dryRun=Some"), &config_map("dry", "1")).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_gives_is_not_for_clients_to_bring() {
    let server = TestServer::start().await;
    let mut body = config_map("new", "1");
    body["metadata"]["resourceVersion"] = "7".into();
    let status = server.post(MAPS, &body).await.expect(500);
    let message = "resourceVersion should not be set on objects to be created";
    assert_eq!((&status["message"], status.get("reason")), (&message.into(), None));
    server.get(&format!("{MAPS}/new")).await.expect(404);
    // What is wrong with the object is told first.
    let mut wrong = body.clone();
    wrong["metadata"]["name"] = "Not_A_Name".into();
    server.post(MAPS, &wrong).await.expect(422);
    server.post(&format!("{MAPS}?dryRun=All"), &body).await.expect(201);
    let apply = format!("{MAPS}/applied?fieldManager=m");
    let mut config = body.clone();
    config["metadata"]["name"] = "applied".into();
    let kind = "application/apply-patch+yaml";
    server.client.send(Method::PATCH, &apply, kind, config.to_string()).await.expect(201);
    // A version that is none, and a UID, are replaced; of two names the whole one counts.
    body["metadata"]["resourceVersion"] = "0".into();
    body["metadata"]["uid"] = "mine".into();
    body["metadata"]["generateName"] = "other-".into();
    let made = server.post(MAPS, &body).await.expect(201);
    assert_eq!(made["metadata"]["name"], "new");
    assert_ne!(made["metadata"]["uid"], "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_duplicate_fields_warn_or_fail_as_asked() {
    let server = TestServer::start().await;
    let mut body = config_map("odd", "1");
    body["datta"] = json!({"x": "y"});
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let status = server.post(&strict, &body).await.expect(400);
    assert_eq!(
        status["message"],
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: \
         unknown field \"datta\""
    );
    let answer = server.post(MAPS, &body).await;
    assert_eq!(answer.headers["warning"], "299 - \"unknown field \\\"datta\\\"\"");
    assert!(answer.expect(201).get("datta").is_none());
    body["metadata"]["name"] = "odd2".into();
    let answer = server.post(&format!("{MAPS}?fieldValidation=Ignore"), &body).await;
    assert!(!answer.headers.contains_key("warning"));
    answer.expect(201);

    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice"},
        "data":{"a":"1","a":"2"}}"#;
    let send = |path: String| {
        server.client.clone().send_owned(Method::POST, path, "application/json", twice.to_owned())
    };
    let status = send(strict).await.expect(400);
    assert!(status["message"].as_str().unwrap().contains("duplicate field \"data.a\""), "{status}");
    let answer = send(MAPS.to_owned()).await;
    assert_eq!(answer.headers["warning"], "299 - \"duplicate field \\\"data.a\\\"\"");
    assert_eq!(answer.expect(201)["data"]["a"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn yaml_is_read_like_kubectl_reads_it() {
    let server = TestServer::start().await;
    let body =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-yaml}\ndata: {mode: '0644'}\n";
    let made = server.client.send(Method::POST, MAPS, "application/yaml", body).await.expect(201);
    assert_eq!(made["data"]["mode"], "0644");
    // YAML 1.1's boolean words are booleans, as in kubectl.
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\n";
    server.client.send(Method::POST, MAPS, "application/yaml", body).await.expect(400);
    let bad = server.client.send(Method::POST, MAPS, "application/yaml", "a: [").await;
    assert_eq!(bad.expect(400)["reason"], "BadRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_manifests_name_the_field() {
    let server = TestServer::start().await;
    let mut body = pod("bad");
    body["spec"]["containers"][0]["name"] = "Not_A_Name".into();
    let status = server.post(PODS, &body).await.expect(422);
    assert_eq!(status["details"]["causes"][0]["field"], "spec.containers[0].name", "{status}");
    server.get(&format!("{PODS}/bad")).await.expect(404);
    for garbage in ["", "{", "[]", "null", "1", "\"x\"", "{\"kind\":1}", "{\"metadata\":[]}"] {
        let answer = server.client.send(Method::POST, PODS, "application/json", garbage).await;
        assert!(matches!(answer.code, 400 | 422), "{garbage:?}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(dir.path()).await;
    let made = server.post(MAPS, &config_map("kept", "1")).await.expect(201);
    server.stop().await.expect("a clean stop");
    let server = TestServer::start_in(dir.path()).await;
    assert_eq!(server.get(&format!("{MAPS}/kept")).await.expect(200), made);
    server.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_two_faces() {
    let server = TestServer::start().await;
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started", "message": "it runs", "type": "Normal",
        "source": {"component": "agent"}, "count": 1});
    let made = server.post("/api/v1/namespaces/default/events", &event).await.expect(201);
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let other = server.get(&format!("{path}/e")).await.expect(200);
    assert_eq!(other["apiVersion"], "events.k8s.io/v1");
    assert_eq!((&other["note"], &other["regarding"]["name"]), (&"it runs".into(), &"p".into()));
    assert_eq!(other["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    let list = server.get(&format!("{path}?fieldSelector=regarding.name%3Dp")).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    server
        .merge(&format!("{path}/e"), &json!({"metadata": {"labels": {"seen": "1"}}}))
        .await
        .expect(200);
    let back = server.get("/api/v1/namespaces/default/events/e").await.expect(200);
    assert_eq!((&back["kind"], &back["message"]), (&"Event".into(), &"it runs".into()));
    assert_eq!(
        (&back["apiVersion"], &back["metadata"]["labels"]["seen"]),
        (&"v1".into(), &"1".into())
    );
}
