//! Which devices go to which claims, and what is held until it is seen.

use std::collections::BTreeMap;

use k8s_openapi::api::resource::v1::{AllocationResult, ResourceSlice};
use serde_json::{Value, json};

use super::allocate::allocate;
use super::outcome::allocation;
use super::pools::Place;
use super::*;
use crate::framework::Change;
use crate::pod::PodUid;

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A slice with these devices of the node `a`, unless `more` of its spec says otherwise.
fn slice(name: &str, devices: Value, more: Value) -> ResourceSlice {
    let mut spec = json!({"driver": "d.io", "nodeName": "a", "devices": devices,
        "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    if more.get("nodeSelector").is_some() || more.get("allNodes").is_some() {
        spec["nodeName"] = Value::Null;
    }
    object(json!({"metadata": {"name": name}, "spec": spec}))
}

fn class(name: &str, expression: &str) -> Value {
    json!({"metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": expression}}]}})
}

/// Knows the classes `any`, `big` (more than 10Gi of memory) and these slices.
fn devices(slices: Vec<ResourceSlice>) -> Devices {
    let mut devices = Devices::default();
    let big = "device.capacity['d.io'].memory.isGreaterThan(quantity('10Gi'))";
    for class in [class("any", "true"), class("big", big)] {
        devices.hear(News::Class(Box::new(object(class))));
    }
    devices.hear(News::Slices(slices));
    devices
}

/// A claim with these requests; a string is a class of which one device is wanted.
fn claim(name: &str, requests: &[Value], more: Value) -> Arc<ResourceClaim> {
    let requests: Vec<Value> = requests
        .iter()
        .enumerate()
        .map(|(n, request)| {
            let named = format!("r{n}");
            if let Some(alternatives) = request.get("firstAvailable") {
                return json!({"name": named, "firstAvailable": alternatives});
            }
            let exactly = match request.as_str() {
                Some(class) => json!({"deviceClassName": class}),
                None => request.clone(),
            };
            json!({"name": named, "exactly": exactly})
        })
        .collect();
    let mut asked = more;
    asked["requests"] = json!(requests);
    let meta = json!({"name": name, "namespace": "n", "uid": name});
    Arc::new(object(json!({"metadata": meta, "spec": {"devices": asked}})))
}

/// What the claims get on a node: `request=device` for each device, claim by claim.
fn found(
    devices: &Devices,
    claims: &[Arc<ResourceClaim>],
    node: &str,
) -> Result<Option<Vec<Vec<String>>>, String> {
    let labels = BTreeMap::from([("zone".to_owned(), "z1".to_owned())]);
    let place = Place { name: node, labels: &labels };
    let claims: Vec<&Arc<ResourceClaim>> = claims.iter().collect();
    let solutions = allocate(devices, &claims, &place)?;
    Ok(solutions.map(|solutions| {
        let shown = solutions.iter().map(|solution| {
            let results = allocation(solution).devices.unwrap().results.unwrap();
            results.iter().map(|r| format!("{}={}", r.request, r.device)).collect()
        });
        shown.collect()
    }))
}

fn one(names: &[&str]) -> Result<Option<Vec<Vec<String>>>, String> {
    Ok(Some(vec![names.iter().map(|name| (*name).to_owned()).collect()]))
}

/// Three devices: 8Gi, 16Gi and 32Gi, the last two on one card.
fn three() -> Vec<ResourceSlice> {
    let memory = |size: &str| json!({"memory": {"value": size}});
    vec![slice(
        "s",
        json!([
            {"name": "small", "capacity": memory("8Gi"), "attributes": {"card": {"string": "x"}}},
            {"name": "mid", "capacity": memory("16Gi"), "attributes": {"card": {"string": "y"}}},
            {"name": "large", "capacity": memory("32Gi"), "attributes": {"d.io/card": {"string": "y"}}}]),
        json!({}),
    )]
}

#[test]
fn requests_get_devices_of_their_class() {
    let all = json!({"deviceClassName": "any", "allocationMode": "All"});
    let two = |class: &str| json!({"deviceClassName": class, "count": 2});
    let selected = json!({"deviceClassName": "any",
        "selectors": [{"cel": {"expression": "device.attributes['d.io'].card == 'y'"}}]});
    let first = |alternatives: Value| json!({"firstAvailable": alternatives});
    let cases = [
        (vec![json!("any")], one(&["r0=small"])),
        (vec![json!("big")], one(&["r0=mid"])),
        (vec![selected], one(&["r0=mid"])),
        (vec![two("big")], one(&["r0=mid", "r0=large"])),
        (vec![json!("big"), json!("any"), json!("any")], one(&["r0=mid", "r1=small", "r2=large"])),
        // The first choice of one request must not spoil the other.
        (vec![json!("any"), two("big")], one(&["r0=small", "r1=mid", "r1=large"])),
        (vec![two("any"), json!("big")], one(&["r0=small", "r0=mid", "r1=large"])),
        (vec![json!("big"), json!("big"), json!("big")], Ok(None)),
        (vec![json!({"deviceClassName": "any", "count": 4})], Ok(None)),
        (vec![json!({"deviceClassName": "any", "count": 1000})], Ok(None)),
        (vec![all.clone()], one(&["r0=small", "r0=mid", "r0=large"])),
        (vec![json!("any"), all.clone()], Ok(None)),
        (
            vec![first(json!([
                {"name": "four", "deviceClassName": "any", "count": 4},
                {"name": "two", "deviceClassName": "big", "count": 2}]))],
            one(&["r0/two=mid", "r0/two=large"]),
        ),
        (
            vec![
                first(json!([
                    {"name": "big", "deviceClassName": "big"},
                    {"name": "any", "deviceClassName": "any"}])),
                two("big"),
            ],
            one(&["r0/any=small", "r1=mid", "r1=large"]),
        ),
        (vec![json!("none")], Err("request r0: device class none does not exist".to_owned())),
        (
            vec![json!({"deviceClassName": "any", "allocationMode": "Some"})],
            Err("claim n/c, request r0: unsupported count mode Some".to_owned()),
        ),
    ];
    for (requests, want) in cases {
        let devices = devices(three());
        let got = found(&devices, &[claim("c", &requests, json!({}))], "a");
        assert_eq!(got, want, "{requests:?}");
        assert_eq!(found(&devices, &[claim("c", &[json!("any")], json!({}))], "b"), Ok(None));
    }
}

#[test]
fn what_somebody_has_is_nobody_elses() {
    let mut known = devices(three());
    let two = [claim("one", &[json!("any")], json!({})), claim("two", &[json!("any")], json!({}))];
    let both = found(&known, &two, "a").unwrap().unwrap();
    assert_eq!(both, [["r0=small"], ["r0=mid"]], "two claims of one pod");

    let mut taken = (*claim("taken", &[json!("big")], json!({}))).clone();
    let result = json!({"request": "r0", "driver": "d.io", "pool": "p", "device": "mid"});
    taken.status = Some(object(json!({"allocation": {"devices": {"results": [result]}}})));
    known.hear(News::Claim(Box::new(taken.clone())));
    let big = [claim("c", &[json!("big")], json!({}))];
    assert_eq!(found(&known, &big, "a"), one(&["r0=large"]));

    // Administrators look at what is somebody's, too, several of them at once.
    let admin = json!({"deviceClassName": "any", "count": 3, "adminAccess": true});
    let admins = [
        claim("admin", std::slice::from_ref(&admin), json!({})),
        claim("other", std::slice::from_ref(&admin), json!({})),
    ];
    let seen = found(&known, &admins, "a").unwrap().unwrap();
    assert_eq!(seen, [["r0=small", "r0=mid", "r0=large"]; 2]);
    let twice = [claim("twice", &[admin.clone(), admin], json!({}))];
    assert_eq!(found(&known, &twice, "a"), Ok(None), "but nothing twice in one claim");

    taken.status = None;
    let changes = known.hear(News::Claim(Box::new(taken)));
    assert_eq!(changes, [(Change::ResourceClaim, None)], "everybody with claims may be helped");
    assert_eq!(found(&known, &big, "a"), one(&["r0=mid"]));
}

#[test]
fn constraints_bind_the_devices_of_a_claim() {
    let same = json!({"constraints": [{"matchAttribute": "d.io/card"}]});
    let two = json!({"deviceClassName": "any", "count": 2});
    let known = devices(three());
    let got = |requests: &[Value], more: &Value| {
        found(&known, &[claim("c", requests, more.clone())], "a")
    };
    assert_eq!(got(std::slice::from_ref(&two), &same), one(&["r0=mid", "r0=large"]));
    assert_eq!(got(&[json!("any"), json!("big")], &same), one(&["r0=mid", "r1=large"]));
    assert_eq!(got(&[json!("any"), json!("any"), json!("any")], &same), Ok(None));
    let others = json!({"constraints": [{"distinctAttribute": "d.io/card"}]});
    assert_eq!(got(std::slice::from_ref(&two), &others), one(&["r0=small", "r0=mid"]));
    let absent = json!({"constraints": [{"matchAttribute": "d.io/none"}]});
    assert_eq!(got(&[json!("any")], &absent), Ok(None));
    // It is about the other request alone.
    let partly = json!({"constraints": [{"matchAttribute": "d.io/none", "requests": ["r1"]}]});
    assert_eq!(got(&[json!("any")], &partly), one(&["r0=small"]));
    let all = json!({"deviceClassName": "any", "allocationMode": "All"});
    let why = "claim n/c, request r0: cannot add device d.io/p/mid because a claim constraint would \
               not be satisfied";
    assert_eq!(got(&[all], &same), Err(why.to_owned()));
}

#[test]
fn pools_count_when_they_are_complete_and_of_the_newest_generation() {
    let device = |name: &str| json!([{"name": name}]);
    let pool = |generation: i64, slices: i64| json!({"pool": {"name": "p", "generation": generation, "resourceSliceCount": slices}});
    let any = [claim("c", &[json!("any")], json!({}))];
    let all = json!({"deviceClassName": "any", "allocationMode": "All"});
    let all = [claim("c", &[all], json!({}))];
    let updated = devices(vec![
        slice("s1", device("old"), pool(1, 1)),
        slice("s2", device("new"), pool(2, 1)),
    ]);
    assert_eq!(found(&updated, &any, "a"), one(&["r0=new"]));
    let incomplete = devices(vec![slice("s1", device("x"), pool(1, 2))]);
    assert_eq!(found(&incomplete, &any, "a"), Ok(None));
    let why = "claim n/c, request r0: asks for all devices, but resource pool d.io/p is currently being \
               updated";
    assert_eq!(found(&incomplete, &all, "a"), Err(why.to_owned()));
    let twice =
        devices(vec![slice("s1", device("x"), pool(1, 2)), slice("s2", device("x"), pool(1, 2))]);
    let why = "invalid resource pools were encountered";
    assert_eq!(found(&twice, &any, "a"), Err(why.to_owned()));
    // Slices of other nodes complete a pool.
    let mut other = pool(1, 2);
    other["nodeName"] = json!("b");
    let shared =
        devices(vec![slice("s1", device("x"), pool(1, 2)), slice("s2", device("y"), other)]);
    assert_eq!(found(&shared, &any, "a"), one(&["r0=x"]));
    assert_eq!(found(&shared, &any, "b"), one(&["r0=y"]));
    assert_eq!(found(&shared, &any, "c"), Ok(None));
}

#[test]
fn devices_are_reached_from_where_they_say() {
    let selector = |zone: &str| {
        json!({"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "zone", "operator": "In", "values": [zone]}]}]})
    };
    let device = |name: &str| json!([{"name": name}]);
    let any = [claim("c", &[json!("any")], json!({}))];
    let everywhere = devices(vec![slice("s", device("x"), json!({"allNodes": true}))]);
    assert_eq!(found(&everywhere, &any, "q"), one(&["r0=x"]));
    for (zone, want) in [("z1", one(&["r0=x"])), ("z2", Ok(None))] {
        let more = json!({"nodeSelector": selector(zone)});
        assert_eq!(found(&devices(vec![slice("s", device("x"), more)]), &any, "q"), want, "{zone}");
    }
    let each = json!([{"name": "of-b", "nodeName": "b"}, {"name": "zonal", "nodeSelector": selector("z1")},
        {"name": "far", "nodeSelector": selector("z2")}]);
    let mut known = slice("s", each, json!({"perDeviceNodeSelection": true}));
    known.spec.node_name = None;
    let known = devices(vec![known]);
    assert_eq!(found(&known, &any, "a"), one(&["r0=zonal"]));
    assert_eq!(found(&known, &any, "b"), one(&["r0=of-b"]));
}

#[test]
fn tainted_devices_and_shared_counters() {
    let taint = json!([{"key": "sick", "value": "yes", "effect": "NoSchedule"}]);
    let known = devices(vec![slice(
        "s",
        json!([{"name": "x", "taints": taint}, {"name": "y", "bindingConditions": ["Ready"]}]),
        json!({}),
    )]);
    for (toleration, want) in [
        (json!([]), Ok(None)),
        (json!([{"operator": "Exists"}]), one(&["r0=x"])),
        (json!([{"key": "sick", "operator": "Equal", "value": "yes"}]), one(&["r0=x"])),
        (json!([{"key": "sick", "operator": "Equal", "value": "no"}]), Ok(None)),
        (json!([{"key": "sick", "operator": "Exists", "effect": "NoExecute"}]), Ok(None)),
    ] {
        let request = json!({"deviceClassName": "any", "tolerations": toleration});
        let got = found(&known, &[claim("c", &[request], json!({}))], "a");
        assert_eq!(got, want, "{toleration}");
    }

    let part = |name: &str, slots: &str| {
        json!({"name": name, "consumesCounters": [
            {"counterSet": "card", "counters": {"slots": {"value": slots}}}]})
    };
    let card = json!([{"name": "card", "counters": {"slots": {"value": "4"}}}]);
    let parts = json!([part("half-1", "2"), part("half-2", "2"), part("whole", "4")]);
    let counted = devices(vec![slice("s", parts, json!({"sharedCounters": card}))]);
    let count = |count: i64| {
        let request = json!({"deviceClassName": "any", "count": count});
        found(&counted, &[claim("c", &[request], json!({}))], "a")
    };
    assert_eq!(count(2), one(&["r0=half-1", "r0=half-2"]));
    assert_eq!(count(3), Ok(None), "the whole card is its halves");
}

#[test]
fn a_search_without_a_solution_ends() {
    let many: Vec<Value> = (0..60)
        .map(|n| json!({"name": format!("x{n}"), "attributes": {"a": {"int": n % 2}}}))
        .collect();
    let known = devices(vec![slice("s", json!(many), json!({}))]);
    // Sixteen of one kind and sixteen of the other, which must be of one kind.
    let requests: Vec<Value> =
        (0..16).map(|_| json!({"deviceClassName": "any", "count": 2})).collect();
    let more = json!({"constraints": [{"matchAttribute": "d.io/a"}]});
    let got = found(&known, &[claim("c", &requests, more)], "a");
    assert!(matches!(&got, Err(why) if why.starts_with("search for devices given up")), "{got:?}");
}

#[test]
fn expressions_that_fail_are_named() {
    let mut known = devices(three());
    known.hear(News::Class(Box::new(object(class("odd", "device.attributes['d.io'].none")))));
    let got = found(&known, &[claim("c", &[json!("odd")], json!({}))], "a");
    let why = "class odd: selector #0 on device d.io/p/small: CEL runtime error: no such key: none";
    assert_eq!(got, Err(why.to_owned()));
    let bad = json!({"deviceClassName": "any", "selectors": [{"cel": {"expression": "nope"}}]});
    let problem = found(&known, &[claim("c", &[bad], json!({}))], "a").unwrap_err();
    assert!(problem.starts_with("claim n/c: selector #0: CEL compile error: "), "{problem}");
}

#[test]
fn an_allocation_says_where_and_how() {
    let mut known = devices(three());
    let mut big = class("big", "device.capacity['d.io'].memory.isGreaterThan(quantity('10Gi'))");
    big["spec"]["config"] = json!([{"opaque": {"driver": "d.io", "parameters": {"of": "class"}}}]);
    known.hear(News::Class(Box::new(object(big))));
    let own = |requests: Value| json!({"requests": requests, "opaque": {"driver": "d.io", "parameters": {"of": "claim"}}});
    let more = json!({"config": [own(json!(["r1"])), own(json!([]))]});
    let toleration = json!([{"operator": "Exists"}]);
    let second = json!({"deviceClassName": "any", "tolerations": toleration});
    let claim = claim("c", &[json!("big"), second, json!("big")], more);
    let labels = BTreeMap::new();
    let place = Place { name: "a", labels: &labels };
    let solutions = allocate(&known, &[&claim], &place).unwrap().unwrap();
    let got = serde_json::to_value(allocation(&solutions[0])).unwrap();
    let device = |request: &str, device: &str| json!({"request": request, "driver": "d.io", "pool": "p", "device": device});
    let mut tolerant = device("r1", "small");
    tolerant["tolerations"] = toleration;
    let opaque = |of: &str| json!({"driver": "d.io", "parameters": {"of": of}});
    let only = json!([{"key": "metadata.name", "operator": "In", "values": ["a"]}]);
    assert_eq!(
        got,
        json!({
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": only}]},
            "devices": {
                "results": [device("r0", "mid"), tolerant, device("r2", "large")],
                "config": [
                    {"source": "FromClass", "requests": ["r0", "r2"], "opaque": opaque("class")},
                    {"source": "FromClaim", "requests": ["r1"], "opaque": opaque("claim")},
                    {"source": "FromClaim", "opaque": opaque("claim")}]}})
    );
}

fn decided(device: &str) -> AllocationResult {
    let result = json!({"request": "r0", "driver": "d.io", "pool": "p", "device": device});
    object(json!({"devices": {"results": [result]}}))
}

fn id_of(device: &str) -> DeviceId {
    DeviceId { driver: "d.io".into(), pool: "p".into(), device: device.into() }
}

#[test]
fn what_was_decided_is_held_until_it_is_seen_or_known_to_be_nothing() {
    let pod = PodUid("u".into());
    let open = claim("c", &[json!("any")], json!({}));
    let mut known = devices(three());
    known.hear(News::Claim(Box::new((*open).clone())));

    known.reserve(&pod, &open, decided("small"));
    assert!(known.is_taken(&id_of("small")) && known.is_pending("c"));
    known.release(&pod);
    assert!(!known.is_taken(&id_of("small")) && !known.is_pending("c"), "nothing was sent");

    known.reserve(&pod, &open, decided("small"));
    let (_, fate) = known.decided(&pod, "c").unwrap();
    assert!(known.decided(&PodUid("another".into()), "c").is_none());
    fate.written();
    known.release(&pod);
    assert!(known.is_taken(&id_of("small")) && known.is_pending("c"), "it may be in the API");
    let mut seen = (*open).clone();
    seen.status = Some(object(json!({"allocation": decided("small")})));
    known.hear(News::Claim(Box::new(seen)));
    assert!(known.is_taken(&id_of("small")) && !known.is_pending("c"));
    known.hear(News::ClaimGone("n/c".to_owned()));
    assert!(!known.is_taken(&id_of("small")));
}

#[test]
fn claims_of_a_pod_and_why_they_cannot_be_used() {
    let pod = |claims: Value, statuses: Value| {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [], "resourceClaims": claims},
            "status": {"resourceClaimStatuses": statuses}});
        PodInfo::read(&object(pod)).unwrap()
    };
    let made = json!([{"name": "x", "resourceClaimTemplateName": "t"}]);
    let told = json!([{"name": "x", "resourceClaimName": "c"}]);
    let with = |meta: Value| {
        let mut devices = Devices::default();
        let mut claim =
            json!({"metadata": {"name": "c", "namespace": "n", "uid": "c"}, "spec": {}});
        for (key, value) in meta.as_object().unwrap() {
            claim["metadata"][key] = value.clone();
        }
        devices.hear(News::Claim(Box::new(object(claim))));
        devices
    };
    let owner = |uid: &str| {
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid,
            "controller": true}]})
    };
    let waits = pod(made.clone(), json!([]));
    let uses_it = pod(made.clone(), told);
    for (pod, devices, want) in [
        (&waits, with(json!({})), Err("pod \"n/p\": ResourceClaim not created yet")),
        (&uses_it, Devices::default(), Err("could not find ResourceClaim \"n/c\"")),
        (
            &uses_it,
            with(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})),
            Err("resourceclaim \"c\" is being deleted"),
        ),
        (
            &uses_it,
            with(owner("another")),
            Err("ResourceClaim n/c was not created for pod n/p (pod is not owner)"),
        ),
        (&uses_it, with(owner("u")), Ok(1)),
        (&pod(made, json!([{"name": "x"}])), Devices::default(), Ok(0)),
    ] {
        let got = claims(pod, &devices).map(|claims| claims.len());
        assert_eq!(got, want.map_err(str::to_owned));
    }
    assert!(uses(&uses_it, "n/c") && !uses(&uses_it, "m/c") && !uses(&waits, "n/c"));
}
