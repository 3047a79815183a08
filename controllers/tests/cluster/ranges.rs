//! Ranges of pod addresses.

use std::collections::BTreeSet;

use controllers::{Config, NodeRanges};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;

use crate::api::{Cluster, eventually};

#[tokio::test]
async fn every_node_has_a_range_of_its_own() {
    let cluster = Cluster::without_controllers().await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let register = async |name: &str, range: Option<&str>| {
        let all = range.map(|range| vec![range]);
        let spec = json!({"podCIDR": range, "podCIDRs": all});
        let node = json!({"metadata": {"name": name}, "spec": spec});
        let node = serde_json::from_value(node).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
    };
    let range_of = async |name: &str| {
        eventually(&format!("a range for {name}"), || async {
            let spec = nodes.get(name).await.map_err(|error| error.to_string())?.spec;
            let spec = spec.unwrap_or_default();
            match (spec.pod_cidr, spec.pod_cidrs) {
                (Some(range), Some(all)) if all == [range.clone()] => Ok(range),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    };
    // Both are there before the controllers: what one has is not given to the other.
    register("first", None).await;
    register("has", Some("10.42.0.0/24")).await;
    let ranges = NodeRanges { cluster: "10.42.0.0/22".parse().unwrap(), node_prefix: 24 };
    let config = Config { node_ranges: Some(ranges), ..Config::default() };
    let stop = tokio_util::sync::CancellationToken::new();
    drop(cluster.controllers(config, &stop));
    register("second", None).await;
    register("third", None).await;
    let mut given = BTreeSet::new();
    for name in ["has", "first", "second", "third"] {
        given.insert(range_of(name).await);
    }
    let all = ["10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24", "10.42.3.0/24"];
    assert_eq!(given, all.map(str::to_owned).into());
    // A node that is gone makes room.
    let freed = range_of("second").await;
    nodes.delete("second", &DeleteParams::default()).await.unwrap();
    register("fifth", None).await;
    assert_eq!(range_of("fifth").await, freed);
    stop.cancel();
    cluster.stop().await;
}
