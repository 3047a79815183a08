use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::node::{NodeInfo, Offer};

fn cluster(zones: &[&str]) -> Cache {
    let mut cache = Cache::default();
    for (at, zone) in zones.iter().enumerate() {
        let name: Arc<str> = format!("n{at}").into();
        let node = json!({"metadata": {"name": &*name, "labels": {"host": &*name, "zone": zone}}});
        cache.set_node(&name, Offer::read(&serde_json::from_value(node).unwrap()));
    }
    cache
}

fn pod(uid: &str, app: &str, affinity: Value) -> PodInfo {
    let meta = json!({"name": uid, "namespace": "n", "uid": uid, "labels": {"app": app}});
    let spec = json!({"containers": [], "affinity": affinity});
    PodInfo::read(&serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap())
        .unwrap()
}

fn term(key: &str, app: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

fn required(kind: &str, key: &str, app: &str) -> Value {
    json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term(key, app)]}})
}

fn preferred(kind: &str, key: &str, app: &str) -> Value {
    json!({kind: {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": 10, "podAffinityTerm": term(key, app)}]}})
}

/// `+` open, `-` and `x` refused, `x` beyond help by removing pods.
fn open(cache: &Cache, pod: &PodInfo) -> String {
    let plugin = InterPodAffinity::default();
    let Prepared::State(state) = plugin.pre_filter(pod, cache) else {
        return "skipped".to_owned();
    };
    let verdict = |node: &NodeInfo| match state.filter(node, node.offer.as_ref().unwrap()) {
        Ok(()) => '+',
        Err(rejection) if rejection.resolvable => '-',
        Err(_) => 'x',
    };
    cache.nodes().iter().map(verdict).collect()
}

#[test]
fn required_terms_table() {
    let (with, without) = ("podAffinity", "podAntiAffinity");
    let mut cache = cluster(&["a", "a", "b"]);
    cache.see(Arc::new(pod("db", "db", json!({}))), &Arc::from("n0"));
    cache.see(Arc::new(pod("shy", "shy", required(without, "zone", "web"))), &Arc::from("n2"));
    for (pod, expected) in [
        (pod("p", "x", json!({})), "skipped"),
        (pod("p", "x", required(with, "zone", "db")), "++x"),
        (pod("p", "x", required(with, "host", "db")), "+xx"),
        (pod("p", "x", required(with, "rack", "db")), "xxx"),
        // Nobody to be with: only one that means itself may be the first.
        (pod("p", "x", required(with, "zone", "x")), "+++"),
        (pod("p", "x", required(with, "zone", "y")), "xxx"),
        (pod("p", "db", required(with, "zone", "db")), "++x"),
        (pod("p", "x", required(without, "zone", "db")), "--+"),
        (pod("p", "x", required(without, "host", "db")), "-++"),
        (pod("p", "x", required(without, "rack", "db")), "+++"),
        // What the pod already there forbids.
        (pod("p", "web", json!({})), "++-"),
    ] {
        assert_eq!(open(&cache, &pod), expected, "{pod:?}");
    }
}

#[test]
fn standing_terms_follow_pods_and_node_labels() {
    let mut cache = cluster(&["a", "b"]);
    let shy = Arc::new(pod("shy", "shy", required("podAntiAffinity", "zone", "web")));
    cache.assume(shy.clone(), &Arc::from("n0"));
    let web = pod("p", "web", json!({}));
    assert_eq!(open(&cache, &web), "-+");
    let moved = json!({"metadata": {"name": "n0", "labels": {"zone": "b"}}});
    cache.set_node(&Arc::from("n0"), Offer::read(&serde_json::from_value(moved).unwrap()));
    assert_eq!(open(&cache, &web), "--");
    cache.forget(&shy.uid);
    assert_eq!(open(&cache, &web), "skipped");
}

#[test]
fn what_if_moves_the_counts_and_back() {
    let mut cache = cluster(&["a", "b"]);
    let shy = Arc::new(pod("shy", "shy", required("podAntiAffinity", "zone", "web")));
    cache.see(shy.clone(), &Arc::from("n0"));
    let web = pod("p", "web", required("podAntiAffinity", "zone", "shy"));
    let mut state = state::State::gather(&web, &cache);
    let node = cache.node("n0").unwrap();
    let offer = node.offer.as_ref().unwrap();
    assert!(state.filter(node, offer).is_err());
    state.remove(&shy, offer);
    assert!(state.filter(node, offer).is_ok());
    state.add(&shy, offer);
    assert!(state.filter(node, offer).is_err());
}

#[test]
fn wishes_of_both_sides_are_scored() {
    let (with, without) = ("podAffinity", "podAntiAffinity");
    let by = |arguments: PodAffinityArguments, there: Value, comes: Value| {
        let plugin = InterPodAffinity::new(&arguments);
        let mut cache = cluster(&["a", "b"]);
        cache.see(Arc::new(pod("there", "there", there)), &Arc::from("n0"));
        let comes = pod("p", "comes", comes);
        let candidates: Vec<Candidate<'_>> =
            cache.nodes().iter().map(|n| (n, n.offer.as_ref().unwrap())).collect();
        let Prepared::State(state) = plugin.pre_score(&comes, &cache, &candidates) else {
            return Vec::new();
        };
        let mut scores: Vec<i64> = candidates.iter().map(|(n, o)| state.score(n, o)).collect();
        state.normalize(&candidates, &mut scores);
        scores
    };
    let scores = |there: Value, comes: Value| by(PodAffinityArguments::default(), there, comes);
    assert_eq!(scores(json!({}), json!({})), Vec::<i64>::new());
    assert_eq!(scores(json!({}), preferred(with, "zone", "there")), [100, 0]);
    assert_eq!(scores(json!({}), preferred(without, "zone", "there")), [0, 100]);
    assert_eq!(scores(preferred(with, "zone", "comes"), json!({})), [100, 0]);
    assert_eq!(scores(preferred(without, "zone", "comes"), json!({})), [0, 100]);
    assert_eq!(scores(required(with, "zone", "comes"), json!({})), [100, 0]);
    // What a profile says about the terms of others.
    let no_weight = PodAffinityArguments { hard_weight: 0, ..PodAffinityArguments::default() };
    assert!(by(no_weight, required(with, "zone", "comes"), json!({})).is_empty());
    let ignores = PodAffinityArguments { ignore_preferred_of_existing: true, hard_weight: 1 };
    assert!(by(ignores, preferred(with, "zone", "comes"), json!({})).is_empty());
    let own = preferred(with, "rack", "nobody");
    assert_eq!(by(ignores, preferred(with, "zone", "comes"), own), [100, 0]);
}
