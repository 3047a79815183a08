//! EndpointSlices and Endpoints.

use controllers::Config;
use k8s_openapi::api::core::v1::{Endpoints, Event, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::api::{Cluster, eventually};

/// Annotation of slices and Endpoints: when the first of the changes in them happened.
const SINCE: &str = "endpoints.kubernetes.io/last-change-trigger-time";

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

#[tokio::test]
async fn slices_say_for_whom_and_since_when() {
    let cluster = Cluster::start(Config::default()).await;
    node(&cluster).await;
    let service: Service = cluster
        .create(
            "default",
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
            "trafficDistribution": "PreferSameNode", "ports": [{"port": 80, "targetPort": 8080}]}}),
        )
        .await;
    let since = |annotations: Option<&std::collections::BTreeMap<String, String>>| {
        annotations.and_then(|all| all.get(SINCE)).cloned()
    };
    expect(&cluster, &[]).await;
    let made = service.metadata.creation_timestamp.unwrap().0.to_string();
    let slice = slices(&cluster).await.remove(0);
    assert_eq!(since(slice.metadata.annotations.as_ref()), Some(made.clone()));

    pod(&cluster, "a", "10.1.0.1", true).await;
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let pods = cluster.api::<Pod>("default");
    pods.patch_status("a", &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    expect(&cluster, &[("10.1.0.1", true)]).await;
    let hints = |slice: &EndpointSlice| {
        let endpoint = slice.endpoints.iter().flatten().next().cloned().unwrap_or_default();
        json!(endpoint.hints)
    };
    let slice = slices(&cluster).await.remove(0);
    let near = json!({"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}]});
    assert_eq!(hints(&slice), near);

    // Without the wish there are no hints.
    let wish = json!({"spec": {"trafficDistribution": null}});
    let _: Service = cluster.patch("default", "web", wish).await;
    eventually("no hints", || async {
        let slice = slices(&cluster).await.remove(0);
        if hints(&slice).is_null() { Ok(()) } else { Err(slice) }
    })
    .await;

    // A pod that becomes ready later: that is since when its endpoint is due.
    let now = "2026-11-11T11:11:11Z";
    pod(&cluster, "b", "10.1.0.2", false).await;
    expect(&cluster, &[("10.1.0.1", true), ("10.1.0.2", false)]).await;
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
        "lastTransitionTime": now}]}});
    pods.patch_status("b", &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    expect(&cluster, &[("10.1.0.1", true), ("10.1.0.2", true)]).await;
    let slice = slices(&cluster).await.remove(0);
    assert_eq!(since(slice.metadata.annotations.as_ref()).as_deref(), Some(now));
    let object = cluster.api::<Endpoints>("default").get("web").await.unwrap();
    assert_eq!(since(object.metadata.annotations.as_ref()).as_deref(), Some(now));
    cluster.stop().await;
}

#[tokio::test]
async fn zones_share_endpoints_by_their_cpus() {
    let cluster = Cluster::start(Config::default()).await;
    node(&cluster).await;
    let _: Service = cluster
        .create(
            "default",
            json!({"metadata": {"name": "web",
                "annotations": {"service.kubernetes.io/topology-mode": "Auto"}},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}),
        )
        .await;
    pod(&cluster, "a", "10.1.0.1", true).await;
    pod(&cluster, "b", "10.1.0.2", true).await;
    let said = async |kind: &str, reason: &str, message: &str| {
        eventually(message, || async {
            let events =
                cluster.api::<Event>("default").list(&ListParams::default()).await.unwrap();
            let same = |event: &&Event| {
                event.type_.as_deref() == Some(kind)
                    && event.reason.as_deref() == Some(reason)
                    && event.message.as_deref() == Some(message)
            };
            let found = events.items.iter().find(same).cloned();
            found.map(drop).ok_or(events)
        })
        .await;
    };
    let why = "Insufficient Node information: allocatable CPU or zone not specified on one or \
               more nodes, addressType: IPv4";
    said("Warning", "TopologyAwareHintsDisabled", why).await;

    // Two zones with as many CPUs each: one endpoint for each, wherever they are.
    let nodes: kube::Api<Node> = kube::Api::all(cluster.client.clone());
    let other =
        json!({"metadata": {"name": "n2", "labels": {"topology.kubernetes.io/zone": "z2"}}});
    nodes.create(&PostParams::default(), &serde_json::from_value(other).unwrap()).await.unwrap();
    for name in ["n1", "n2"] {
        let status = json!({"status": {"allocatable": {"cpu": "2"},
            "conditions": [{"type": "Ready", "status": "True"}]}});
        nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
    eventually("a hint for each zone", || async {
        let all = slices(&cluster).await;
        let endpoints = all.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let zones = endpoints.flat_map(|e| e.hints.clone().and_then(|hints| hints.for_zones));
        let mut zones: Vec<String> = zones.flatten().map(|zone| zone.name).collect();
        zones.sort();
        if zones == ["z1", "z2"] { Ok(()) } else { Err(all) }
    })
    .await;
    let enabled = "Topology Aware Hints has been enabled, addressType: IPv4";
    said("Normal", "TopologyAwareHintsEnabled", enabled).await;
    cluster.stop().await;
}
