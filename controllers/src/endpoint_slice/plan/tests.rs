use serde_json::{Value, json};

use super::*;
use crate::endpoint_slice::endpoints;

fn service(spec: Value) -> Service {
    let mut spec = spec;
    if spec.get("selector").is_none() {
        spec["selector"] = json!({"app": "a"});
    }
    if spec.get("ports").is_none() {
        spec["ports"] = json!([{"name": "web", "port": 80, "targetPort": "http"}]);
    }
    serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "n", "uid": "s-uid",
        "labels": {"team": "t"}}, "spec": spec}))
    .unwrap()
}

fn pod(name: &str, ip: &str, port: i32, ready: bool, going: bool) -> Arc<Pod> {
    let mut value = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "a"}},
        "spec": {"nodeName": "node", "containers": [{"name": "c",
            "ports": [{"name": "http", "containerPort": port}]}]},
        "status": {"phase": "Running", "podIP": ip, "conditions": [
            {"type": "Ready", "status": if ready {"True"} else {"False"}}]}});
    if going {
        value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn many(count: usize) -> Vec<Arc<Pod>> {
    (0..count)
        .map(|i| {
            pod(
                &format!("p{i:03}"),
                &format!("10.0.{}.{}", i / 200, i % 200 + 1),
                8080,
                true,
                false,
            )
        })
        .collect()
}

/// Applies changes as the API server would; returns the slices afterwards.
fn apply(slices: &mut Vec<Arc<EndpointSlice>>, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Create(slice) => {
                let mut slice = slice.clone();
                slice.metadata.name = Some(format!("s-{}", slices.len()));
                slices.push(Arc::new(slice));
            }
            Change::Update(slice) => {
                let at = slices.iter().position(|s| s.name_any() == slice.name_any()).unwrap();
                slices[at] = Arc::new(slice.clone());
            }
            Change::Delete(slice) => slices.retain(|s| s.name_any() != slice.name_any()),
        }
    }
}

fn run(service: &Service, pods: &[Arc<Pod>], slices: &mut Vec<Arc<EndpointSlice>>) -> Vec<Change> {
    let changes = plan(service, pods, slices, |_| None, |_, _| {});
    apply(slices, &changes);
    assert_eq!(
        plan(service, pods, slices, |_| None, |_, _| {}),
        [],
        "a second plan finds nothing to do"
    );
    changes
}

fn addresses_in(slices: &[Arc<EndpointSlice>]) -> Vec<String> {
    let mut all: Vec<String> = slices
        .iter()
        .flat_map(|s| s.endpoints.iter().flatten())
        .flat_map(|e| e.addresses.clone())
        .collect();
    all.sort();
    all
}

#[test]
fn a_new_slice_looks_as_kubernetes_makes_it() {
    let mut slices = Vec::new();
    let pods = [pod("p", "10.0.0.1", 8080, true, false)];
    let zone = |_: &str| Some("z1".to_owned());
    let changes = plan(&service(json!({})), &pods, &slices, zone, |_, _| {});
    apply(&mut slices, &changes);
    assert_eq!(
        serde_json::to_value(&*slices[0]).unwrap(),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "s-0", "generateName": "s-", "namespace": "n",
                "labels": {"team": "t", "kubernetes.io/service-name": "s",
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "s",
                    "uid": "s-uid", "controller": true, "blockOwnerDeletion": true}]},
            "addressType": "IPv4",
            "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.0.0.1"],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": "node", "zone": "z1",
                "targetRef": {"kind": "Pod", "namespace": "n", "name": "p", "uid": "p"}}]})
    );
}

#[test]
fn condition_table() {
    for (ready, going, publish, expected) in [
        (true, false, false, (true, true, false)),
        (false, false, false, (false, false, false)),
        (true, true, false, (false, true, true)),
        (false, true, false, (false, false, true)),
        (false, false, true, (true, false, false)),
        (true, true, true, (true, true, true)),
    ] {
        let mut slices = Vec::new();
        let service = service(json!({"publishNotReadyAddresses": publish}));
        run(&service, &[pod("p", "10.0.0.1", 1, ready, going)], &mut slices);
        let c = slices[0].endpoints.as_ref().unwrap()[0].conditions.clone().unwrap();
        let got = (c.ready.unwrap(), c.serving.unwrap(), c.terminating.unwrap());
        assert_eq!(got, expected, "ready {ready}, going {going}, publish {publish}");
    }
}

#[test]
fn ready_endpoints_are_shown_before_they_are_put_into_slices() {
    let pods = [pod("a", "10.0.0.1", 8080, true, false), pod("b", "10.0.0.2", 8080, false, false)];
    let mut families = Vec::new();
    let changes = plan(
        &service(json!({})),
        &pods,
        &[],
        |_| None,
        |family, ready| {
            families.push((family.to_owned(), ready.len()));
            ready.into_iter().for_each(|endpoint| endpoint.zone = Some("z".to_owned()));
        },
    );
    assert_eq!(families, [("IPv4".to_owned(), 1)]);
    let [Change::Create(slice)] = changes.as_slice() else { panic!("{changes:?}") };
    let zones: Vec<_> = slice.endpoints.iter().flatten().map(|e| e.zone.as_deref()).collect();
    assert_eq!(zones, [Some("z"), None]);
}

#[test]
fn no_endpoints_is_said_with_one_empty_slice() {
    let mut slices = Vec::new();
    assert_eq!(run(&service(json!({})), &[], &mut slices).len(), 1);
    assert_eq!(addresses_in(&slices), Vec::<String>::new());
    // It is taken over when the first pod comes.
    let changes = run(&service(json!({})), &many(1), &mut slices);
    assert!(matches!(changes.as_slice(), [Change::Update(_)]), "{changes:?}");
    // And stays when the last one goes.
    run(&service(json!({})), &[], &mut slices);
    assert_eq!(slices.len(), 1);
}

#[test]
fn at_most_a_hundred_per_slice_and_small_changes_stay_small() {
    let (service, mut slices, mut pods) = (service(json!({})), Vec::new(), many(250));
    assert_eq!(run(&service, &pods, &mut slices).len(), 3);
    assert!(slices.iter().all(|s| s.endpoints.as_ref().unwrap().len() <= 100));
    assert_eq!(addresses_in(&slices).len(), 250);

    // One pod is replaced: one slice is written.
    pods[17] = pod("new", "10.9.9.9", 8080, true, false);
    let changes = run(&service, &pods, &mut slices);
    assert!(matches!(changes.as_slice(), [Change::Update(_)]), "{}", changes.len());
    // One becomes unready: one slice is written.
    pods[240] = pod("p240", "10.0.1.41", 8080, false, false);
    assert_eq!(run(&service, &pods, &mut slices).len(), 1);
    // Most go: emptied slices go with them.
    pods.truncate(20);
    run(&service, &pods, &mut slices);
    assert_eq!(addresses_in(&slices).len(), 20);
    assert_eq!(slices.len(), 1);
}

#[test]
fn pods_with_different_numbers_behind_a_name_get_different_slices() {
    let pods = [
        pod("a", "10.0.0.1", 8080, true, false),
        pod("b", "10.0.0.2", 9090, true, false),
        pod("c", "10.0.0.3", 8080, true, false),
    ];
    let mut slices = Vec::new();
    run(&service(json!({})), &pods, &mut slices);
    let mut numbers: Vec<(i32, usize)> = slices
        .iter()
        .map(|s| (s.ports.as_ref().unwrap()[0].port.unwrap(), s.endpoints.as_ref().unwrap().len()))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [(8080, 2), (9090, 1)]);
}

#[test]
fn finished_pods_and_pods_without_address_are_no_endpoints() {
    let mut done = (*pod("done", "10.0.0.1", 1, true, false)).clone();
    done.status.as_mut().unwrap().phase = Some("Succeeded".into());
    let blank = pod("blank", "", 1, false, false);
    let mut slices = Vec::new();
    run(&service(json!({})), &[Arc::new(done), blank], &mut slices);
    assert_eq!(addresses_in(&slices), Vec::<String>::new());
}

#[test]
fn only_services_with_a_selector_are_managed() {
    assert!(is_managed(&service(json!({}))));
    assert!(!is_managed(&service(json!({"selector": {}}))));
    assert!(!is_managed(&service(json!({"type": "ExternalName", "externalName": "x"}))));
}

#[test]
fn endpoints_group_by_ports_and_readiness() {
    let pods = [
        pod("b", "10.0.0.2", 8080, true, false),
        pod("a", "10.0.0.1", 8080, true, false),
        pod("unready", "10.0.0.3", 8080, false, false),
        pod("going", "10.0.0.4", 8080, true, true),
    ];
    let made = endpoints::endpoints(&service(json!({})), &pods);
    let value = serde_json::to_value(&made).unwrap();
    let ips = |field: &str| -> Vec<String> {
        let list = value["subsets"][0][field].as_array().unwrap();
        list.iter().map(|a| a["ip"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ips("addresses"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(ips("notReadyAddresses"), ["10.0.0.3"]);
    assert_eq!(
        value["subsets"][0]["ports"],
        json!([{"name": "web", "port": 8080, "protocol": "TCP"}])
    );
    assert_eq!(
        value["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"],
        "endpoint-controller"
    );
    assert!(endpoints::is_managed(&made));
    assert_eq!(endpoints::update(&made, made.clone()), None);
    let none = endpoints::endpoints(&service(json!({})), &[]);
    assert_eq!(none.subsets, None);
    assert_eq!(endpoints::update(&made, none).unwrap().subsets, None);
}
