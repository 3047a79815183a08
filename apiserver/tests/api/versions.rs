//! Two versions of the same objects: autoscalers.

use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::server::{PATIENCE, TestServer};

const V1: &str = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
const V2: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";

fn autoscaler(version: &str) -> Value {
    json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"maxReplicas": 3, "scaleTargetRef":
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_one_in_both_versions() {
    let server = TestServer::start().await;
    let (old, new) = (format!("{V1}/web"), format!("{V2}/web"));
    let made = server.post(V1, &autoscaler("v1")).await.expect(201);
    assert_eq!(made["apiVersion"], "autoscaling/v1");
    assert_eq!(made["spec"]["targetCPUUtilizationPercentage"], 80);
    server.post(V2, &autoscaler("v2")).await.expect(409);
    let seen = server.get(&new).await.expect(200);
    assert_eq!(seen["apiVersion"], "autoscaling/v2");
    assert_eq!(seen["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
    let same = |field: &str| made["metadata"][field] == seen["metadata"][field];
    assert!(same("uid") && same("resourceVersion"), "{made}\n{seen}");

    // A watch of the old version is told about changes through the new one, in its own form.
    let version = seen["metadata"]["resourceVersion"].as_str().expect("a version");
    let path = format!("{V1}?watch=true&resourceVersion={version}");
    let mut events = server.client.open(Method::GET, &path, &[], "").await.into_body();
    let metrics = json!([{"type": "Pods", "pods": {"metric": {"name": "queue"},
        "target": {"type": "AverageValue", "averageValue": "5"}}}]);
    let changed = server
        .merge(&new, &json!({"spec": {"maxReplicas": 5, "metrics": metrics}}))
        .await
        .expect(200);
    assert_eq!(changed["spec"]["metrics"], metrics);
    let frame = tokio::time::timeout(PATIENCE, events.frame()).await.expect("an event in time");
    let bytes = frame.expect("an event").expect("a stream").into_data().expect("data");
    let event: Value = serde_json::from_slice(&bytes).expect("an event per line");
    assert_eq!(event["type"], "MODIFIED");
    let object = &event["object"];
    assert_eq!(
        (&object["apiVersion"], &object["spec"]["maxReplicas"]),
        (&json!("autoscaling/v1"), &json!(5))
    );
    assert!(object["spec"].get("targetCPUUtilizationPercentage").is_none());
    let annotation = &object["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"];
    assert!(annotation.as_str().is_some_and(|text| text.contains("queue")), "{object}");

    // What the old version cannot show survives a change through it.
    let mut whole = server.get(&old).await.expect(200);
    whole["spec"]["maxReplicas"] = 7.into();
    server.put(&old, &whole).await.expect(200);
    let seen = server.get(&new).await.expect(200);
    assert_eq!((&seen["spec"]["maxReplicas"], &seen["spec"]["metrics"]), (&json!(7), &metrics));
    assert!(seen["metadata"].get("annotations").is_none(), "{seen}");
    let status = json!({"status": {"currentReplicas": 2, "desiredReplicas": 3}});
    server.merge(&format!("{old}/status"), &status).await.expect(200);
    let seen = server.get(&new).await.expect(200);
    assert_eq!(
        (&seen["status"]["currentReplicas"], &seen["spec"]["metrics"]),
        (&json!(2), &metrics)
    );

    // Nothing changed: the version stays, whichever way it is written.
    let again = server.put(&old, &server.get(&old).await.expect(200)).await.expect(200);
    assert_eq!(again["metadata"]["resourceVersion"], seen["metadata"]["resourceVersion"]);
    for path in [V1, V2] {
        let list = server.get(path).await.expect(200);
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{path}");
    }
    server.delete(&old, &json!({})).await.expect(200);
    server.get(&new).await.expect(404);
}
