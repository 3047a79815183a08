//! EndpointSlices and Endpoints.

use controllers::Config;
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::api::{Cluster, eventually};

/// The node the pods are on; ready, or its pods would not be.
async fn node(cluster: &Cluster) {
    let api: kube::Api<Node> = kube::Api::all(cluster.client.clone());
    let node = json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}});
    api.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    api.patch_status("n1", &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
}

async fn pod(cluster: &Cluster, name: &str, ip: &str, ready: bool) {
    let _: Pod = cluster
        .create(
            "default",
            json!({"metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "busybox",
                "ports": [{"name": "http", "containerPort": 8080}]}]}}),
        )
        .await;
    status(cluster, name, ip, ready).await;
}

async fn status(cluster: &Cluster, name: &str, ip: &str, ready: bool) {
    let status = if ready { "True" } else { "False" };
    let patch = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": status}]}});
    let api = cluster.api::<Pod>("default");
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn slices(cluster: &Cluster) -> Vec<EndpointSlice> {
    let params = ListParams::default().labels("kubernetes.io/service-name=web");
    cluster.api::<EndpointSlice>("default").list(&params).await.unwrap().items
}

/// Waits until the Service's slices and Endpoints have these (address, ready).
async fn expect(cluster: &Cluster, expected: &[(&str, bool)]) {
    eventually("endpoints", || async {
        let mut in_slices: Vec<(String, bool)> = slices(cluster)
            .await
            .iter()
            .flat_map(|slice| slice.endpoints.clone().unwrap_or_default())
            .map(|e| (e.addresses[0].clone(), e.conditions.unwrap().ready.unwrap()))
            .collect();
        in_slices.sort();
        let object = cluster.api::<Endpoints>("default").get_opt("web").await.unwrap();
        let mut in_object = Vec::new();
        for subset in object.clone().into_iter().flat_map(|o| o.subsets.unwrap_or_default()) {
            assert_eq!(subset.ports.unwrap()[0].port, 8080);
            in_object.extend(subset.addresses.into_iter().flatten().map(|a| (a.ip, true)));
            in_object
                .extend(subset.not_ready_addresses.into_iter().flatten().map(|a| (a.ip, false)));
        }
        in_object.sort();
        let same = |found: &[(String, bool)]| {
            found.iter().map(|(ip, ready)| (ip.as_str(), *ready)).eq(expected.iter().copied())
        };
        if same(&in_slices) && same(&in_object) && object.is_some() {
            Ok(())
        } else {
            Err((in_slices, in_object))
        }
    })
    .await;
}

#[tokio::test]
async fn endpoints_follow_pods() {
    let cluster = Cluster::start(Config::default()).await;
    node(&cluster).await;
    let _: Service = cluster
        .create(
            "default",
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": "http"}]}}),
        )
        .await;
    expect(&cluster, &[]).await;
    assert_eq!(slices(&cluster).await.len(), 1, "an empty slice says that there is nobody");

    pod(&cluster, "a", "10.1.0.1", true).await;
    pod(&cluster, "b", "10.1.0.2", false).await;
    expect(&cluster, &[("10.1.0.1", true), ("10.1.0.2", false)]).await;
    let all = slices(&cluster).await;
    assert_eq!(all.len(), 1);
    let ports = all[0].ports.clone().unwrap();
    assert_eq!(ports[0].port, Some(8080), "the name is resolved");
    assert_eq!(all[0].owner_references()[0].kind, "Service");
    let endpoints = all[0].endpoints.clone().unwrap();
    assert!(endpoints.iter().all(|e| e.zone.as_deref() == Some("z1")), "{endpoints:#?}");

    status(&cluster, "b", "10.1.0.2", true).await;
    expect(&cluster, &[("10.1.0.1", true), ("10.1.0.2", true)]).await;
    let now = DeleteParams::default().grace_period(0);
    cluster.api::<Pod>("default").delete("a", &now).await.unwrap();
    expect(&cluster, &[("10.1.0.2", true)]).await;

    // Someone meddles: it is put right.
    let name = slices(&cluster).await[0].name_any();
    let api = cluster.api::<EndpointSlice>("default");
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    expect(&cluster, &[("10.1.0.2", true)]).await;

    // The Service goes, and all of it.
    cluster.api::<Service>("default").delete("web", &DeleteParams::default()).await.unwrap();
    eventually("everything goes", || async {
        let left = slices(&cluster).await.len();
        let object = cluster.api::<Endpoints>("default").get_opt("web").await.unwrap();
        if left == 0 && object.is_none() { Ok(()) } else { Err((left, object)) }
    })
    .await;
    cluster.stop().await;
}

#[tokio::test]
async fn many_endpoints_make_no_doubles() {
    let cluster = Cluster::start(Config::default()).await;
    node(&cluster).await;
    let _: Service = cluster
        .create(
            "default",
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": 8080}]}}),
        )
        .await;
    let mut expected = Vec::new();
    for i in 0..130 {
        let ip = format!("10.1.{}.{}", 1 + i / 100, 100 + i % 100);
        pod(&cluster, &format!("p{i}"), &ip, true).await;
        expected.push(ip);
    }
    expected.sort();
    let expected: Vec<(&str, bool)> = expected.iter().map(|ip| (ip.as_str(), true)).collect();
    expect(&cluster, &expected).await;
    let sizes: Vec<usize> =
        slices(&cluster).await.iter().map(|s| s.endpoints.as_ref().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 100) && sizes.len() == 2, "{sizes:?}");
    cluster.stop().await;
}

#[tokio::test]
async fn endpoints_that_people_write_are_mirrored() {
    let cluster = Cluster::start(Config::default()).await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    let _: Service = cluster.create("default", service).await;
    let object = json!({"metadata": {"name": "web"}, "subsets": [
        {"addresses": [{"ip": "10.9.0.1"}], "ports": [{"port": 8080}]}]});
    let created: Endpoints = cluster.create("default", object).await;
    expect(&cluster, &[("10.9.0.1", true)]).await;
    let slice = slices(&cluster).await.remove(0);
    assert_eq!(slice.owner_references()[0].uid, created.metadata.uid.unwrap());

    let api = cluster.api::<Endpoints>("default");
    let moved = Patch::Merge(json!({"subsets": [
        {"addresses": [{"ip": "10.9.0.2"}], "ports": [{"port": 8080}]}]}));
    api.patch("web", &PatchParams::default(), &moved).await.unwrap();
    expect(&cluster, &[("10.9.0.2", true)]).await;
    api.delete("web", &DeleteParams::default()).await.unwrap();
    eventually("the slices go", || async {
        let left = slices(&cluster).await.len();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    cluster.stop().await;
}
