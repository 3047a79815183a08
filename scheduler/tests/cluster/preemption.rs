//! Pods that take the place of others, many at a time.

use std::collections::BTreeSet;

use super::*;

const NODES: usize = 6;

impl Cluster {
    async fn class(&self, name: &str, value: i32) {
        let classes: Api<PriorityClass> = Api::all(self.pods.clone().into_client());
        let class = json!({"metadata": {"name": name}, "value": value});
        let class = serde_json::from_value(class).unwrap();
        classes.create(&PostParams::default(), &class).await.unwrap();
    }

    /// How many pods there are whose names begin like this.
    async fn count(&self, prefix: &str) -> usize {
        let pods = self.pods.list(&ListParams::default()).await.unwrap();
        pods.iter().filter(|pod| pod.name_any().starts_with(prefix)).count()
    }
}

/// Of the four pods on a node three have to go for one that matters more; nobody takes a fourth, or
/// pods of a second node, while the first three are on their way out.
#[tokio::test]
async fn many_that_matter_more_take_no_more_than_they_need() {
    let cluster = Cluster::start().await;
    cluster.class("high", 1000).await;
    for n in 0..NODES {
        cluster.node(&format!("n{n}"), "4000Mi").await;
    }
    for n in 0..4 * NODES {
        let at_once = json!({"terminationGracePeriodSeconds": 0});
        cluster.pod(&format!("low-{n}"), "900Mi", at_once).await;
    }
    for n in 0..4 * NODES {
        cluster.bound(&format!("low-{n}")).await;
    }
    for n in 0..NODES {
        let high = json!({"priorityClassName": "high"});
        cluster.pod(&format!("high-{n}"), "3000Mi", high).await;
    }
    let mut nodes = BTreeSet::new();
    for n in 0..NODES {
        nodes.insert(cluster.bound(&format!("high-{n}")).await);
    }
    assert_eq!(nodes.len(), NODES, "{nodes:?}");
    assert_eq!(cluster.count("low-").await, NODES);
    // Every one of them has said why it goes.
    eventually("events of all victims", || async {
        let events = cluster.events.list(&ListParams::default()).await.unwrap();
        let said = events.iter().filter(|event| event.reason.as_deref() == Some("Preempted"));
        let victims: BTreeSet<_> = said.map(|event| event.involved_object.name.clone()).collect();
        if victims.len() == 3 * NODES { Ok(()) } else { Err(victims) }
    })
    .await;
    cluster.stop().await;
}

/// While its victims still stop, a pod whose room is made goes elsewhere if there is room earlier; what
/// was kept for it is for others then.
#[tokio::test]
async fn room_that_comes_earlier_elsewhere_is_taken() {
    let cluster = Cluster::start().await;
    cluster.class("high", 1000).await;
    cluster.class("higher", 2000).await;
    for name in ["a", "b"] {
        cluster.node(name, "1000Mi").await;
    }
    // The nodes are known.
    cluster.pod("small", "1Mi", json!({})).await;
    cluster.bound("small").await;
    let to = |name: &str| json!({"nodeName": name});
    cluster.pod("slow", "800Mi", to("a")).await;
    let mut firm = to("b");
    firm["priorityClassName"] = json!("higher");
    cluster.pod("firm", "800Mi", firm).await;
    cluster.pod("high", "800Mi", json!({"priorityClassName": "high"})).await;
    cluster.event("slow", "Preempted").await;
    // It stays for its grace period: nobody ends it here.
    cluster.pod("next", "800Mi", json!({})).await;
    cluster.event("next", "FailedScheduling").await;
    cluster.pods.delete("firm", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(cluster.bound("high").await, "b");
    cluster.pods.delete("slow", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(cluster.bound("next").await, "a");
    cluster.stop().await;
}
