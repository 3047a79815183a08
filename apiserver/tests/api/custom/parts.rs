//! The parts of an object that are written apart: what each write changes, and who owns it.

use serde_json::{Value, json};

use super::{FOOS, define, definition, foo};
use crate::server::{Answer, TestServer};

/// What the manager owns through a subresource.
fn owned(object: &Value, manager: &str, subresource: &str) -> Value {
    let mut entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let found = entries.find(|entry| {
        entry["manager"] == manager && entry["subresource"].as_str().unwrap_or("") == subresource
    });
    found.map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_all_that_its_path_writes() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let mut new = foo("a", json!({"color": "red"}));
    new["metadata"]["labels"] = json!({"a": "b"});
    let made = server.post(&format!("{FOOS}?fieldManager=maker"), &new).await.expect(201);
    let path = format!("{FOOS}/a/status?fieldManager=teller");
    let mut told = made.clone();
    told["spec"] = json!({"n": 8, "color": "blue"});
    told["metadata"]["labels"] = json!({"c": "d"});
    told["metadata"]["annotations"] = json!({"e": "f"});
    told["metadata"]["finalizers"] = json!(["gold.io/wait"]);
    told["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]);
    told["status"] = json!({"n": 2});
    let after = server.put(&path, &told).await.expect(200);
    assert_eq!((&after["spec"], &after["status"]), (&made["spec"], &json!({"n": 2})));
    for field in ["labels", "annotations", "finalizers", "ownerReferences", "generation"] {
        assert_eq!(after["metadata"].get(field), made["metadata"].get(field), "{field}");
    }
    assert_eq!(owned(&after, "teller", "status"), json!({"f:status": {".": {}, "f:n": {}}}));
    assert_eq!(owned(&after, "maker", ""), owned(&made, "maker", ""));
    let patch = json!({"metadata": {"labels": {"a": null, "c": "d"}}, "spec": {"n": 9},
        "status": {"n": 3}});
    let patched = server.merge(&path, &patch).await.expect(200);
    assert_eq!((&patched["spec"], &patched["status"]), (&made["spec"], &json!({"n": 3})));
    assert_eq!(patched["metadata"]["labels"], made["metadata"]["labels"]);
    assert_eq!(owned(&patched, "maker", ""), owned(&made, "maker", ""));
    // The other way round: the object's own path writes no status, and only what it wants is counted.
    let mut again = patched.clone();
    again["status"] = json!({"n": 9});
    let same = server.put(&format!("{FOOS}/a"), &again).await.expect(200);
    assert_eq!(same, patched);
    again["metadata"]["labels"] = json!({});
    let bare = server.put(&format!("{FOOS}/a"), &again).await.expect(200);
    assert_eq!((&bare["metadata"]["generation"], &bare["status"]["n"]), (&json!(1), &json!(3)));
    let changed = json!({"spec": {"n": 4}, "status": null, "metadata": {"generation": 7}});
    let changed = server.merge(&format!("{FOOS}/a"), &changed).await.expect(200);
    assert_eq!(
        (&changed["metadata"]["generation"], &changed["status"]["n"]),
        (&json!(2), &json!(3))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_is_of_the_object_that_it_names() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let made = server.post(FOOS, &foo("a", json!({}))).await.expect(201);
    let path = format!("{FOOS}/a/scale?fieldManager=scaler");
    let mut scale = server.get(&path).await.expect(200);
    assert_eq!(scale["metadata"]["uid"], made["metadata"]["uid"]);
    assert!(scale["metadata"].get("managedFields").is_none());
    scale["spec"]["replicas"] = 5.into();
    let scaled = server.put(&path, &scale).await.expect(200);
    assert_eq!(scaled["spec"]["replicas"], 5);
    server.put(&path, &scale).await.expect(409);
    let after = server.get(&format!("{FOOS}/a")).await.expect(200);
    assert_eq!(owned(&after, "scaler", "scale"), json!({"f:spec": {"f:n": {}}}));
    assert_eq!(after["metadata"]["generation"], 2);
    scale["metadata"] = json!({"name": "a", "uid": "other"});
    let refused = server.put(&path, &scale).await.expect(409);
    let uid = made["metadata"]["uid"].as_str().expect("a UID");
    assert_eq!(
        refused["message"],
        format!(
            "Operation cannot be fulfilled on foos.gold.io \"a\": Precondition failed: UID in \
             precondition: other, UID in object meta: {uid}"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_that_may_meet_others_are_warned_about_when_they_come() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let warned = |answer: &Answer| {
        let all = answer.headers.get_all("warning").iter();
        all.map(|warning| warning.to_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let told = |name: &str| {
        format!(
            "299 - \"metadata.finalizers: \\\"{name}\\\": prefer a domain-qualified finalizer name \
             including a path (/) to avoid accidental conflicts with other finalizer writers\""
        )
    };
    let mut new = foo("a", json!({}));
    new["metadata"]["finalizers"] = json!(["gold.io/good", "one"]);
    let made = server.post(FOOS, &new).await;
    assert_eq!(warned(&made), [told("one")]);
    made.expect(201);
    let path = format!("{FOOS}/a");
    let changed = server.merge(&path, &json!({"spec": {"n": 4}})).await;
    assert!(warned(&changed).is_empty());
    let finalizers = json!({"metadata": {"finalizers": ["one", "two"]}});
    let changed = server.merge(&path, &finalizers).await;
    assert_eq!(warned(&changed), [told("two")]);
    let mut body = changed.expect(200);
    assert!(warned(&server.put(&path, &body).await).is_empty());
    body["metadata"]["finalizers"] = json!(["three"]);
    assert_eq!(warned(&server.put(&path, &body).await), [told("three")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_says_from_the_beginning_what_it_says_by_default() {
    let server = TestServer::start().await;
    let mut defined = definition();
    defined["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = json!({
        "type": "object", "default": {}, "properties": {"n": {"type": "integer", "default": 7}}});
    define(&server, &defined).await;
    let mut new = foo("a", json!({}));
    new["status"] = json!({"n": 1});
    let made = server.post(FOOS, &new).await.expect(201);
    assert_eq!(made["status"], json!({"n": 7}));
    assert_eq!(server.get(&format!("{FOOS}/a")).await.expect(200), made);
    let told = server.merge(&format!("{FOOS}/a/status"), &json!({"status": null})).await;
    assert_eq!(told.expect(200)["status"], json!({"n": 7}));
}
