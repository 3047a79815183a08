use serde_json::{Value, json};

use super::*;
use crate::node::Offer;
use crate::pod::PodUid;

fn cache(nodes: &[(&str, Value)]) -> Cache {
    let mut cache = Cache::default();
    for (name, value) in nodes {
        let mut value = value.clone();
        if value["status"].get("allocatable").is_none() {
            value["status"]["allocatable"] = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
        }
        cache.set_node(&Arc::from(*name), Offer::read(&serde_json::from_value(value).unwrap()));
    }
    cache
}

fn pod(uid: &str, spec: Value) -> PodInfo {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "c"}]);
    }
    let owner = json!([{"apiVersion": "v1", "kind": "ReplicationController", "name": "rc",
        "uid": "rc", "controller": true}]);
    let pod = json!({"metadata": {"name": uid, "namespace": "n", "uid": uid,
        "ownerReferences": owner}, "spec": spec});
    PodInfo::read(&serde_json::from_value(pod).unwrap()).unwrap()
}

fn place(cache: &mut Cache, pod: PodInfo) -> Result<Arc<str>, Diagnosis> {
    let framework = Framework::default();
    let node = decide(&framework, cache, &pod, &mut Rotation::new(7))?;
    cache.assume(Arc::new(pod), &node);
    Ok(node)
}

#[test]
fn a_pod_too_large_for_every_node_says_so() {
    let mut cache = cache(&[("a", json!({}))]);
    let huge =
        json!({"containers": [{"name": "c", "resources": {"requests": {"memory": "64Ti"}}}]});
    let diagnosis = place(&mut cache, pod("p", huge)).unwrap_err();
    assert_eq!(
        diagnosis.message(),
        "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: \
         1 Preemption is not helpful for scheduling."
    );
}

#[test]
fn every_node_gives_its_own_reason() {
    let mut cache = cache(&[
        ("cordoned", json!({"spec": {"unschedulable": true}})),
        ("tainted", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}})),
        ("labelled", json!({"metadata": {"labels": {"disk": "hdd"}}})),
    ]);
    let diagnosis =
        place(&mut cache, pod("p", json!({"nodeSelector": {"disk": "ssd"}}))).unwrap_err();
    assert_eq!(
        diagnosis.message(),
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, \
         1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. preemption: 0/3 \
         nodes are available: 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn siblings_spread_evenly() {
    let mut cache = cache(&[("a", json!({})), ("b", json!({})), ("c", json!({}))]);
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for i in 0..9 {
        let node = place(&mut cache, pod(&format!("p{i}"), json!({}))).unwrap();
        *counts.entry(node.to_string()).or_default() += 1;
    }
    assert!(counts.values().all(|n| *n == 3) && counts.len() == 3, "{counts:?}");
}

#[test]
fn soft_taints_are_avoided_while_there_is_a_choice() {
    let soft = json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}});
    let mut cache = cache(&[("soft", soft), ("plain", json!({}))]);
    assert_eq!(&*place(&mut cache, pod("p", json!({}))).unwrap(), "plain");
}

#[test]
fn nodes_without_object_are_not_candidates() {
    let mut cache = cache(&[]);
    cache.see(Arc::new(pod("bound", json!({}))), &Arc::from("ghost"));
    let diagnosis = place(&mut cache, pod("p", json!({}))).unwrap_err();
    assert_eq!(diagnosis.message(), "no nodes available to schedule pods");
}

#[test]
fn pinned_pods_look_only_at_their_node() {
    let pin = |name: &str| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchFields": [
                {"key": "metadata.name", "operator": "In", "values": [name]}]}]}}}})
    };
    let mut cache = cache(&[("a", json!({})), ("b", json!({"spec": {"unschedulable": true}}))]);
    assert_eq!(&*place(&mut cache, pod("p", pin("a"))).unwrap(), "a");
    let diagnosis = place(&mut cache, pod("q", pin("b"))).unwrap_err();
    assert_eq!(diagnosis.nodes, 2);
    assert!(diagnosis.message().contains("1 node(s) were unschedulable"));
    assert!(diagnosis.message().contains("1 node(s) didn't match Pod's node affinity/selector"));
    let nowhere = place(&mut cache, pod("r", pin("zzz"))).unwrap_err();
    assert!(nowhere.message().starts_with("0/2 nodes are available: 2 node(s) didn't match"));
}

#[test]
fn the_search_is_bounded_and_rotates() {
    for (nodes, percentage, wanted) in [
        (0, 0, 0),
        (99, 0, 99),
        (100, 0, 100),
        (1000, 0, 420),
        (5000, 0, 500),
        (20_000, 0, 1000),
        (99, 1, 99),
        (1000, 1, 100),
        (1000, 70, 700),
        (1000, 100, 1000),
    ] {
        assert_eq!(enough(nodes, percentage), wanted, "{nodes} nodes, {percentage} %");
    }

    let names: Vec<String> = (0..400).map(|i| format!("n{i}")).collect();
    let nodes: Vec<(&str, Value)> = names.iter().map(|n| (n.as_str(), json!({}))).collect();
    let cache = cache(&nodes);
    let framework = Framework::default();
    let mut rotation = Rotation::new(1);
    let mut seen = std::collections::HashSet::new();
    for i in 0..200 {
        // Nothing is assumed, so only rotation and tie-break move the choice.
        let mut p = pod("p", json!({}));
        p.uid = PodUid(Arc::from(i.to_string()));
        seen.insert(decide(&framework, &cache, &p, &mut rotation).unwrap());
    }
    assert!(seen.len() > 100, "only {} of 400 nodes were ever chosen", seen.len());
}

#[test]
fn what_is_remembered_of_nodes_follows_their_changes() {
    let mut cache = cache(&[("a", json!({})), ("b", json!({}))]);
    let framework = Framework::default();
    let mut rotation = Rotation::new(7);
    let wants = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]});
    let mut on = Vec::new();
    for uid in ["p", "q"] {
        let pod = pod(uid, wants.clone());
        let node = decide(&framework, &cache, &pod, &mut rotation).unwrap();
        cache.assume(Arc::new(pod), &node);
        on.push(node);
    }
    assert_ne!(on[0], on[1], "the first node is known to be full");
    let third = pod("r", wants.clone());
    let diagnosis = decide(&framework, &cache, &third, &mut rotation).unwrap_err();
    assert_eq!((diagnosis.reasons["Insufficient cpu"], diagnosis.openable.len()), (2, 2));
    let again = decide(&framework, &cache, &third, &mut rotation).unwrap_err();
    assert_eq!(again, diagnosis, "what is remembered is said in full");
    cache.remove_pod(&PodUid("q".into()));
    assert_eq!(decide(&framework, &cache, &third, &mut rotation).as_ref(), Ok(&on[1]));
    let kept = pod(
        "s",
        json!({"containers": [{"name": "c", "resources":
        {"requests": {"cpu": "2"}}}], "priority": 5}),
    );
    cache.nominate(Arc::new(kept), &on[1]);
    let diagnosis = decide(&framework, &cache, &third, &mut rotation).unwrap_err();
    assert_eq!(diagnosis.reasons["Insufficient cpu"], 2, "room is kept there");
}

#[test]
fn pods_of_one_kind_go_where_they_would_without_memory() {
    let nodes: Vec<(String, Value)> = (0..40)
        .map(|n| {
            let zone = json!({"zone": format!("z{}", n % 3)});
            (format!("n{n}"), json!({"metadata": {"labels": zone}}))
        })
        .collect();
    let nodes: Vec<(&str, Value)> = nodes.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    let framework = Framework::default();
    let place_all = |remembers: bool| {
        let mut cache = cache(&nodes);
        let mut rotation = Rotation::new(9);
        let mut placed = Vec::new();
        for number in 0..400 {
            let cpu = if number % 3 == 0 { "300m" } else { "100m" };
            let spec = json!({"containers": [{"name": "c",
                "resources": {"requests": {"cpu": cpu}}}]});
            let pod = pod(&number.to_string(), spec);
            if !remembers {
                rotation.memos = Memos::default();
            }
            let node = decide(&framework, &cache, &pod, &mut rotation).unwrap();
            cache.assume(Arc::new(pod), &node);
            placed.push(node);
            if number % 7 == 6 {
                cache.remove_pod(&PodUid((number / 2).to_string().as_str().into()));
            }
        }
        placed
    };
    assert_eq!(place_all(true), place_all(false));
}
