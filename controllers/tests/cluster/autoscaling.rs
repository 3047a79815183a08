//! Autoscalers keep their target within bounds, and say what they cannot read.

use controllers::Config;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Event, ReplicationController};
use kube::api::{DeleteParams, ListParams};
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

#[tokio::test]
async fn two_autoscalers_of_one_target_scale_nothing() {
    let cluster = Cluster::start(Config::default()).await;
    let _: ReplicationController = cluster.create("default", controller("web", 2)).await;
    settled(&cluster, "web", 2).await;
    let _: HorizontalPodAutoscaler = cluster.create("default", autoscaler("h1", "web", 1, 5)).await;
    condition(&cluster, "h1", ["ScalingActive", "False", "FailedGetResourceMetric"]).await;
    let _: HorizontalPodAutoscaler = cluster.create("default", autoscaler("h2", "web", 1, 5)).await;
    let ambiguous = ["ScalingActive", "False", "AmbiguousSelector"];
    let why = condition(&cluster, "h2", ambiguous).await;
    assert!(why.starts_with("pods by selector "), "{why}");
    assert!(why.ends_with(" are controlled by multiple HPAs: [default/h1 default/h2]"), "{why}");
    // A change of the first has it look again, before its next turn.
    let wish = json!({"spec": {"maxReplicas": 6}});
    let _: HorizontalPodAutoscaler = cluster.patch("default", "h1", wish).await;
    assert_eq!(condition(&cluster, "h1", ambiguous).await, why);
    eventually("events", || async {
        let events = cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
        let said = |reason: &str| {
            events.items.iter().any(|event| {
                event.reason.as_deref() == Some(reason) && event.message.as_ref() == Some(&why)
            })
        };
        let both = said("AmbiguousSelector") && said("FailedComputeMetricsReplicas");
        if both { Ok(()) } else { Err(events) }
    })
    .await;

    // Alone again, it is about metrics again.
    let api = cluster.api::<HorizontalPodAutoscaler>("default");
    api.delete("h1", &DeleteParams::default()).await.unwrap();
    eventually("the first is forgotten", || async {
        let turn: i32 = api.get("h2").await.unwrap().spec.max_replicas;
        let wish = json!({"spec": {"maxReplicas": 5 + (turn + 1) % 3}});
        let _: HorizontalPodAutoscaler = cluster.patch("default", "h2", wish).await;
        let status = api.get("h2").await.unwrap().status.unwrap_or_default();
        let active = status.conditions.iter().flatten().find(|c| c.type_ == "ScalingActive");
        let reason = active.and_then(|condition| condition.reason.clone());
        if reason.as_deref() == Some("FailedGetResourceMetric") { Ok(()) } else { Err(status) }
    })
    .await;
    cluster.stop().await;
}
