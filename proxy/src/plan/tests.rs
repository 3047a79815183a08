use serde_json::{Value, json};

use super::*;

const HERE: Place<'static> = Place { node: "here", zone: Some("a") };

fn cidr() -> IpNet {
    "10.96.0.0/16".parse().unwrap()
}

fn service(name: &str, ip: &str, extra: Value) -> Service {
    let mut spec = json!({"clusterIP": ip, "clusterIPs": [ip],
        "ports": [{"name": "web", "port": 80, "protocol": "TCP"}]});
    for (key, value) in extra.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec}))
        .unwrap()
}

fn endpoint(ip: &str, ready: bool, serving: bool, terminating: bool) -> Value {
    json!({"addresses": [ip], "nodeName": "here",
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating}})
}

fn slice(service: &str, port: i32, endpoints: Value) -> EndpointSlice {
    serde_json::from_value(json!({"addressType": "IPv4",
        "metadata": {"name": "x", "namespace": "n",
            "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "web", "port": port, "protocol": "TCP"}], "endpoints": endpoints}))
    .unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn endpoints(service: &Service, slices: &[EndpointSlice]) -> Vec<String> {
    let table = table([service], slices, HERE, &cidr());
    let backend = table.into_values().next().expect("the service has an address");
    backend.endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn only_ready_endpoints_and_the_last_resort() {
    let s = service("s", "10.96.0.9", json!({}));
    let ready = endpoint("10.1.0.1", true, true, false);
    let unready = endpoint("10.1.0.2", false, false, false);
    let going = endpoint("10.1.0.3", false, true, true);
    let dead = endpoint("10.1.0.4", false, false, true);
    for (case, list, expected) in [
        ("ready wins", json!([ready, unready, going]), vec!["10.1.0.1:8080"]),
        ("terminating but serving", json!([unready, going, dead]), vec!["10.1.0.3:8080"]),
        ("nobody", json!([unready, dead]), vec![]),
        ("unknown is ready", json!([{"addresses": ["10.1.0.5"]}]), vec!["10.1.0.5:8080"]),
        ("doubles are one", json!([ready, ready]), vec!["10.1.0.1:8080"]),
    ] {
        assert_eq!(endpoints(&s, &[slice("s", 8080, list)]), expected, "{case}");
    }
}

#[test]
fn endpoints_near_are_preferred_if_hints_say_so() {
    let s = service("s", "10.96.0.9", json!({}));
    let hinted = |ip: &str, ready: bool, zone: &str| {
        let mut endpoint = endpoint(ip, ready, true, !ready);
        endpoint["hints"] = json!({"forZones": [{"name": zone}]});
        endpoint
    };
    let (near, far) = (hinted("10.1.0.1", true, "a"), hinted("10.1.0.2", true, "b"));
    let plain = endpoint("10.1.0.3", true, true, false);
    let going = endpoint("10.1.0.4", false, true, true);
    for (case, policy, list, expected) in [
        ("near", "Cluster", json!([near, far]), vec!["10.1.0.1:1"]),
        ("one without", "Cluster", json!([near, plain]), vec!["10.1.0.1:1", "10.1.0.3:1"]),
        ("only ready ones count", "Cluster", json!([near, far, going]), vec!["10.1.0.1:1"]),
        ("none near", "Cluster", json!([far]), vec!["10.1.0.2:1"]),
        ("none ready", "Cluster", json!([hinted("10.1.0.5", false, "b")]), vec!["10.1.0.5:1"]),
        ("own node only", "Local", json!([near, far]), vec!["10.1.0.1:1", "10.1.0.2:1"]),
    ] {
        let mut s = s.clone();
        s.spec.as_mut().unwrap().internal_traffic_policy = Some(policy.to_owned());
        // Slices are joined before anything is decided.
        let list = list.as_array().unwrap();
        let slices: Vec<_> = list.iter().map(|one| slice("s", 1, json!([one]))).collect();
        assert_eq!(endpoints(&s, &slices), expected, "{case}");
    }
}

#[test]
fn slices_of_one_service_are_joined_and_others_ignored() {
    let s = service("s", "10.96.0.9", json!({}));
    let mut elsewhere = slice("s", 1, json!([endpoint("10.1.0.9", true, true, false)]));
    elsewhere.metadata.namespace = Some("other".into());
    let slices = [
        slice("s", 8080, json!([endpoint("10.1.0.1", true, true, false)])),
        slice("s", 9090, json!([endpoint("10.1.0.2", true, true, false)])),
        slice("t", 1, json!([endpoint("10.1.0.3", true, true, false)])),
        elsewhere,
    ];
    assert_eq!(endpoints(&s, &slices), ["10.1.0.1:8080", "10.1.0.2:9090"]);
}

#[test]
fn what_has_no_address_here_is_not_listened_on() {
    for service in [
        service("headless", "None", json!({"clusterIPs": ["None"]})),
        service("external", "", json!({"type": "ExternalName", "clusterIPs": null})),
        service("elsewhere", "10.200.0.1", json!({})),
        service("udp", "10.96.0.1", json!({"ports": [{"port": 53, "protocol": "UDP"}]})),
    ] {
        assert_eq!(table([&service], [], HERE, &cidr()), Table::new(), "{}", service.name_any());
    }
}

#[test]
fn a_service_without_endpoints_is_listened_on() {
    // Otherwise a wildcard listener of the host would answer in its place.
    let s = service("s", "10.96.0.9", json!({}));
    assert_eq!(endpoints(&s, &[]), Vec::<String>::new());
}

#[test]
fn local_policy_and_affinity() {
    let s = service(
        "s",
        "10.96.0.9",
        json!({"internalTrafficPolicy": "Local",
        "sessionAffinity": "ClientIP"}),
    );
    let mut there = endpoint("10.1.0.2", true, true, false);
    there["nodeName"] = json!("there");
    let slices = [slice("s", 1, json!([endpoint("10.1.0.1", true, true, false), there]))];
    assert_eq!(endpoints(&s, &slices), ["10.1.0.1:1"]);
    let table = table([&s], &slices, HERE, &cidr());
    let backend = &table[&addr("10.96.0.9:80")];
    assert_eq!(backend.affinity, Some(Duration::from_secs(10_800)));
    assert_eq!(backend.name, "n/s:web");
}

#[test]
fn changes_are_minimal() {
    let backend = |endpoints: &[&str]| Backend {
        name: "s".into(),
        endpoints: endpoints.iter().map(|e| addr(e)).collect(),
        affinity: None,
    };
    let (a, b, c) = (addr("10.96.0.1:1"), addr("10.96.0.2:1"), addr("10.96.0.3:1"));
    let current = Table::from([(a, backend(&["1.1.1.1:1"])), (b, backend(&[]))]);
    let wanted = Table::from([(b, backend(&["1.1.1.1:1"])), (c, backend(&[]))]);
    assert_eq!(
        changes(&current, &wanted),
        Changes {
            close: vec![a],
            update: vec![(b, backend(&["1.1.1.1:1"]))],
            open: vec![(c, backend(&[]))],
        }
    );
    assert_eq!(changes(&wanted, &wanted), Changes::default());
}
