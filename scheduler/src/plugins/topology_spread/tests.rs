use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

/// Nodes `n0`.. with the zone of each, and how many pods labelled `app: a` are on it.
fn cluster(nodes: &[(&str, usize)]) -> Cache {
    let mut cache = Cache::default();
    for (at, (zone, pods)) in nodes.iter().enumerate() {
        let name: Arc<str> = format!("n{at}").into();
        let mut labels = json!({"kubernetes.io/hostname": &*name});
        if !zone.is_empty() {
            labels["zone"] = json!(zone);
        }
        let node = json!({"metadata": {"name": &*name, "labels": labels}});
        cache.set_node(&name, Offer::read(&serde_json::from_value(node).unwrap()));
        for n in 0..*pods {
            cache.see(Arc::new(pod(&format!("{name}-{n}"), json!({}))), &name);
        }
    }
    cache
}

fn pod(uid: &str, spec: Value) -> PodInfo {
    let mut spec = spec;
    spec["containers"] = json!([]);
    let meta = json!({"name": uid, "namespace": "n", "uid": uid, "labels": {"app": "a", "v": "1"}});
    PodInfo::read(&serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap())
        .unwrap()
}

fn constraint(key: &str, when: &str, more: Value) -> Value {
    let mut constraint = json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"app": "a"}}});
    for (key, value) in more.as_object().unwrap() {
        constraint[key] = value.clone();
    }
    constraint
}

fn open(cache: &Cache, pod: &PodInfo) -> String {
    let plugin = TopologySpread::default();
    let Prepared::State(state) = plugin.pre_filter(pod, cache) else { panic!("skipped") };
    let verdict = |node: &NodeInfo| match state.filter(node, node.offer.as_ref().unwrap()) {
        Ok(()) => '+',
        Err(rejection) if rejection.resolvable => '-',
        Err(_) => 'x',
    };
    cache.nodes().iter().map(verdict).collect()
}

#[test]
fn hard_constraints_table() {
    let hard = |key, more| constraint(key, "DoNotSchedule", more);
    for (nodes, constraints, expected) in [
        (&[("a", 1), ("a", 0), ("b", 0)][..], json!([hard("zone", json!({}))]), "--+"),
        (&[("a", 1), ("b", 1)], json!([hard("zone", json!({}))]), "++"),
        (&[("a", 3), ("b", 1)], json!([hard("zone", json!({"maxSkew": 3}))]), "++"),
        (&[("a", 2), ("", 0)], json!([hard("zone", json!({}))]), "+x"),
        // Too few domains: the emptiest counts as having none.
        (&[("a", 1), ("b", 1)], json!([hard("zone", json!({"minDomains": 3}))]), "--"),
        (&[("a", 0), ("b", 0)], json!([hard("zone", json!({"minDomains": 3}))]), "++"),
        // Both must hold.
        (
            &[("a", 1), ("a", 0), ("b", 1), ("b", 0)],
            json!([hard("zone", json!({})), hard("kubernetes.io/hostname", json!({}))]),
            "-+-+",
        ),
        // Pods of another revision do not count; without a selector none does.
        (
            &[("a", 1), ("b", 0)],
            json!([hard("zone", json!({"labelSelector": {"matchLabels": {"v": "2"}}}))]),
            "++",
        ),
        (&[("a", 1), ("b", 0)], json!([hard("zone", json!({"matchLabelKeys": ["v"]}))]), "-+"),
        (&[("a", 1), ("b", 0)], json!([hard("zone", json!({"labelSelector": null}))]), "++"),
    ] {
        let p = pod("p", json!({"topologySpreadConstraints": constraints}));
        assert_eq!(open(&cluster(nodes), &p), expected, "{nodes:?} {constraints}");
    }
}

#[test]
fn nodes_the_pod_cannot_use_are_no_domain_unless_told() {
    let cache = cluster(&[("a", 1), ("b", 0)]);
    for (policy, expected) in [("Honor", "++"), ("Ignore", "-+")] {
        let one = constraint("zone", "DoNotSchedule", json!({"nodeAffinityPolicy": policy}));
        let p =
            pod("p", json!({"nodeSelector": {"zone": "a"}, "topologySpreadConstraints": [one]}));
        assert_eq!(open(&cache, &p), expected, "{policy}");
    }
    let mut cache = cluster(&[("a", 1), ("b", 0)]);
    let tainted = json!({"metadata": {"name": "n1", "labels": {"zone": "b"}},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let offer = Offer::read(&serde_json::from_value(tainted).unwrap());
    cache.set_node(&Arc::from("n1"), offer);
    for (policy, expected) in [("Honor", "++"), ("Ignore", "-+")] {
        let one = constraint("zone", "DoNotSchedule", json!({"nodeTaintsPolicy": policy}));
        let p = pod("p", json!({"topologySpreadConstraints": [one]}));
        assert_eq!(open(&cache, &p), expected, "{policy}");
    }
}

#[test]
fn what_if_moves_the_counts_and_back() {
    let cache = cluster(&[("a", 2), ("b", 1)]);
    let one = constraint("zone", "DoNotSchedule", json!({}));
    let p = pod("p", json!({"topologySpreadConstraints": [one]}));
    let plugin = TopologySpread::default();
    let mut state = filter::State::gather(plugin.wanted(&p), &p, &cache);
    let (node, victim) = (cache.node("n0").unwrap(), pod("n0-0", json!({})));
    let offer = node.offer.as_ref().unwrap();
    assert!(state.filter(node, offer).is_err());
    state.remove(&victim, offer);
    assert!(state.filter(node, offer).is_ok());
    state.add(&victim, offer);
    assert!(state.filter(node, offer).is_err());
}

#[test]
fn pods_being_deleted_do_not_count() {
    let mut cache = cluster(&[("a", 0), ("b", 0)]);
    let mut leaving = pod("leaving", json!({}));
    leaving.deleting = true;
    cache.see(Arc::new(leaving), &Arc::from("n0"));
    let one = constraint("zone", "DoNotSchedule", json!({}));
    assert_eq!(open(&cache, &pod("p", json!({"topologySpreadConstraints": [one]}))), "++");
}

#[test]
fn soft_constraints_prefer_empty_domains_and_give_unlabelled_nodes_nothing() {
    let cache = cluster(&[("a", 2), ("a", 0), ("b", 1), ("", 0)]);
    let candidates: Vec<Candidate<'_>> =
        cache.nodes().iter().map(|n| (n, n.offer.as_ref().unwrap())).collect();
    for (key, expected) in
        [("zone", [33, 33, 100, 0]), ("kubernetes.io/hostname", [0, 100, 50, 100])]
    {
        let soft = constraint(key, "ScheduleAnyway", json!({}));
        let p = pod("p", json!({"topologySpreadConstraints": [soft]}));
        let plugin = TopologySpread::default();
        let state = score::State::gather(plugin.wanted(&p), &p, &cache, &candidates);
        let mut scores: Vec<i64> = candidates.iter().map(|(n, o)| state.score(n, o)).collect();
        state.normalize(&candidates, &mut scores);
        assert_eq!(scores, expected, "{key}");
    }
}

#[test]
fn fewest_siblings_score_highest() {
    let first = |mut scores: Vec<i64>| {
        fewest_first(scores.iter_mut());
        scores
    };
    assert_eq!(first(vec![0, 1, 4]), [100, 75, 0]);
    assert_eq!(first(vec![2, 2]), [100, 100]);
    assert_eq!(first(vec![0, 0]), [100, 100]);
}

/// Like [`cluster`], with the zones under Kubernetes' own label.
fn zoned(nodes: &[(&str, usize)]) -> Cache {
    let mut cache = cluster(nodes);
    for (at, (zone, _)) in nodes.iter().enumerate() {
        let name: Arc<str> = format!("n{at}").into();
        let mut labels = json!({"kubernetes.io/hostname": &*name});
        if !zone.is_empty() {
            labels["topology.kubernetes.io/zone"] = json!(zone);
        }
        let node = json!({"metadata": {"name": &*name, "labels": labels}});
        cache.set_node(&name, Offer::read(&serde_json::from_value(node).unwrap()));
    }
    cache
}

fn scores(plugin: &TopologySpread, cache: &Cache, pod: &PodInfo) -> Option<Vec<i64>> {
    let candidates: Vec<Candidate<'_>> =
        cache.nodes().iter().map(|n| (n, n.offer.as_ref().unwrap())).collect();
    let Prepared::State(state) = plugin.pre_score(pod, cache, &candidates) else { return None };
    let mut scores: Vec<i64> = candidates.iter().map(|(n, o)| state.score(n, o)).collect();
    state.normalize(&candidates, &mut scores);
    Some(scores)
}

#[test]
fn pods_that_state_nothing_are_spread_over_hosts_and_zones() {
    let (plugin, p) = (TopologySpread::default(), pod("p", json!({})));
    for (what, nodes, better, worse) in [
        ("hosts of one zone", &[("a", 1), ("a", 0)][..], 1, 0),
        ("an empty zone before an empty host", &[("a", 1), ("a", 0), ("b", 0)], 2, 1),
        ("an empty host before a taken one", &[("a", 1), ("a", 0), ("b", 0)], 1, 0),
        ("without zones", &[("", 2), ("", 1)], 1, 0),
    ] {
        let scores = scores(&plugin, &zoned(nodes), &p).unwrap();
        assert!(scores[better] > scores[worse], "{what}: {scores:?}");
    }
    // A pod without labels and controller has no siblings.
    let meta = json!({"name": "p", "namespace": "n", "uid": "alone"});
    let alone = json!({"metadata": meta, "spec": {"containers": []}});
    let alone = PodInfo::read(&serde_json::from_value(alone).unwrap()).unwrap();
    assert_eq!(scores(&plugin, &zoned(&[("a", 1), ("b", 0)]), &alone), None);
}

#[test]
fn zones_follow_the_labels_of_nodes_and_the_pods_on_them() {
    let plugin = TopologySpread::default();
    let p = pod("p", json!({}));
    let mut cache = zoned(&[("a", 1), ("b", 0), ("a", 0), ("b", 0)]);
    let before = scores(&plugin, &cache, &p).unwrap();
    assert!(before[3] > before[2], "{before:?}");
    // The taken node moves to the other zone.
    let labels = json!({"topology.kubernetes.io/zone": "b"});
    let node = json!({"metadata": {"name": "n0", "labels": labels}});
    cache.set_node(&"n0".into(), Offer::read(&serde_json::from_value(node).unwrap()));
    let after = scores(&plugin, &cache, &p).unwrap();
    assert!(after[2] > after[3], "{after:?}");
    let placed = pod("n0-0", json!({}));
    cache.remove_pod(&placed.uid);
    let empty = scores(&plugin, &cache, &p).unwrap();
    assert!(empty.iter().all(|score| *score == 100), "{empty:?}");
}

#[test]
fn a_profile_can_say_how_to_spread_instead() {
    let hard = json!({"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"});
    let soft = json!({"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"});
    let plugin = |constraint: &Value| {
        let read = serde_json::from_value(constraint.clone()).unwrap();
        TopologySpread::new(&SpreadDefaults::List(vec![Constraint::without_selector(&read)]))
    };
    let (cache, p) = (cluster(&[("a", 1), ("b", 0)]), pod("p", json!({})));
    let hard = plugin(&hard);
    let Prepared::State(state) = hard.pre_filter(&p, &cache) else { panic!("skipped") };
    let fits = |node: &NodeInfo| state.filter(node, node.offer.as_ref().unwrap()).is_ok();
    assert_eq!(cache.nodes().iter().map(fits).collect::<Vec<_>>(), [false, true]);
    let scores = scores(&plugin(&soft), &cache, &p).unwrap();
    assert!(scores[1] > scores[0], "{scores:?}");
    // What a pod states itself is what holds.
    let own = pod(
        "p",
        json!({"topologySpreadConstraints": [
        constraint("zone", "ScheduleAnyway", json!({}))]}),
    );
    assert!(matches!(hard.pre_filter(&own, &cache), Prepared::Skip));
}
