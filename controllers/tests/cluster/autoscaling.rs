//! Autoscalers keep their target within bounds, and say what they cannot read.

use controllers::Config;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Event, ReplicationController};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};
use crate::replication::{controller, settled};

fn autoscaler(name: &str, target: &str, min: i32, max: i32) -> Value {
    json!({"metadata": {"name": name}, "spec": {"minReplicas": min, "maxReplicas": max,
        "scaleTargetRef": {"apiVersion": "v1", "kind": "ReplicationController", "name": target},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 50}}}]}})
}

/// Waits for a condition: type, status, reason; returns its message.
async fn condition(cluster: &Cluster, name: &str, wanted: [&str; 3]) -> String {
    let api = cluster.api::<HorizontalPodAutoscaler>("default");
    eventually(&format!("{wanted:?} of {name}"), || async {
        let status = api.get(name).await.unwrap().status.unwrap_or_default();
        let found = status.conditions.iter().flatten().find(|condition| {
            let reason = condition.reason.as_deref().unwrap_or_default();
            [condition.type_.as_str(), condition.status.as_str(), reason] == wanted
        });
        found.map(|condition| condition.message.clone().unwrap_or_default()).ok_or(status)
    })
    .await
}

#[tokio::test]
async fn bounds_hold_without_metrics_and_their_lack_is_said() {
    let cluster = Cluster::start(Config::default()).await;
    let _: ReplicationController = cluster.create("default", controller("web", 1)).await;
    settled(&cluster, "web", 1).await;
    let scaler = autoscaler("web", "web", 3, 5);
    let _: HorizontalPodAutoscaler = cluster.create("default", scaler).await;
    settled(&cluster, "web", 3).await;
    condition(&cluster, "web", ["AbleToScale", "True", "SucceededRescale"]).await;
    eventually("an event", || async {
        let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let wanted = "New size: 3; reason: Current number of replicas below Spec.MinReplicas";
        let said = events.items.iter().filter(|e| e.reason.as_deref() == Some("SuccessfulRescale"));
        let messages: Vec<_> = said.filter_map(|event| event.message.clone()).collect();
        if messages == [wanted] { Ok(()) } else { Err(messages) }
    })
    .await;

    // Within bounds metrics decide, and no node says what is used.
    let _: ReplicationController = cluster.create("default", controller("api", 2)).await;
    let scaler = autoscaler("api", "api", 1, 5);
    let _: HorizontalPodAutoscaler = cluster.create("default", scaler).await;
    let why =
        condition(&cluster, "api", ["ScalingActive", "False", "FailedGetResourceMetric"]).await;
    assert_eq!(
        why,
        "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to \
         get metrics for resource cpu: no metrics returned from resource metrics API"
    );
    condition(&cluster, "api", ["AbleToScale", "True", "SucceededGetScale"]).await;

    let _: HorizontalPodAutoscaler =
        cluster.create("default", autoscaler("lost", "absent", 1, 5)).await;
    let why = condition(&cluster, "lost", ["AbleToScale", "False", "FailedGetScale"]).await;
    assert!(why.contains("\"absent\" not found"), "{why}");
    cluster.stop().await;
}
