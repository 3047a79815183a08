use super::*;
use serde_json::json;

fn pod(uid: &str, cpu: &str) -> Arc<PodInfo> {
    let pod = serde_json::from_value(json!({
        "metadata": {"name": uid, "namespace": "n", "uid": uid, "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 1}],
            "resources": {"requests": {"cpu": cpu}}}]}}))
    .unwrap();
    Arc::new(PodInfo::read(&pod).unwrap())
}

fn node(cache: &Cache, name: &str) -> NodeInfo {
    cache.node(name).unwrap().clone()
}

#[test]
fn sums_follow_assume_see_and_remove() {
    let (mut cache, a, b) = (Cache::default(), Arc::from("a"), Arc::from("b"));
    cache.set_node(&a, Offer::default());
    cache.set_node(&b, Offer::default());
    let p = pod("p", "100m");
    cache.assume(p.clone(), &a);
    assert!(cache.is_assumed(&p.uid));
    assert_eq!(node(&cache, "a").requested.milli_cpu, 100);
    // The watch says otherwise: it moves.
    cache.see(p.clone(), &b);
    assert_eq!(node(&cache, "a").pods, 0);
    assert!(node(&cache, "a").host_ports.is_empty());
    assert_eq!(node(&cache, "b").requested.milli_cpu, 100);
    // A late failure of the binding changes nothing.
    cache.forget(&p.uid);
    assert_eq!(node(&cache, "b").pods, 1);
    assert!(cache.remove_pod(&p.uid));
    assert!(!cache.remove_pod(&p.uid));
    assert_eq!(node(&cache, "b").requested.milli_cpu, 0);
    assert!(node(&cache, "b").groups.is_empty());
}

#[test]
fn a_resized_pod_is_counted_once() {
    let (mut cache, a) = (Cache::default(), Arc::from("a"));
    cache.see(pod("p", "100m"), &a);
    cache.see(pod("p", "300m"), &a);
    assert_eq!(node(&cache, "a").requested.milli_cpu, 300);
    assert_eq!(node(&cache, "a").pods, 1);
}

#[test]
fn a_node_has_another_generation_after_every_change_and_after_no_other() {
    let (mut cache, a, b) = (Cache::default(), Arc::from("a"), Arc::from("b"));
    cache.set_node(&a, Offer::default());
    cache.set_node(&b, Offer::default());
    let mut seen = vec![node(&cache, "a").generation, node(&cache, "b").generation];
    let mut changes = |cache: &Cache, wanted: bool| {
        let now = node(cache, "a").generation;
        assert_eq!(!seen.contains(&now), wanted, "{now} after {seen:?}");
        seen.push(now);
    };
    let p = pod("p", "100m");
    cache.assume(p.clone(), &a);
    changes(&cache, true);
    cache.see(p.clone(), &a);
    changes(&cache, false);
    assert!(!cache.is_assumed(&p.uid));
    let mut leaving = (*p).clone();
    leaving.deleting = true;
    cache.see(Arc::new(leaving), &a);
    changes(&cache, true);
    cache.see(pod("q", "1"), &b);
    cache.set_node(&a, Offer::default());
    changes(&cache, false);
    cache.remove_pod(&p.uid);
    changes(&cache, true);
    cache.set_node(&a, Offer { allowed_pods: 3, ..Offer::default() });
    changes(&cache, true);
    cache.remove_node("b");
    changes(&cache, false);
}

#[test]
fn nominations_are_counted_on_their_node() {
    let (mut cache, a, b) = (Cache::default(), Arc::from("a"), Arc::from("b"));
    cache.set_node(&a, Offer::default());
    cache.set_node(&b, Offer::default());
    let counted = |cache: &Cache| (node(cache, "a").nominated, node(cache, "b").nominated);
    let (p, q) = (pod("p", "1"), pod("q", "1"));
    cache.nominate(p.clone(), &a);
    cache.nominate(q.clone(), &a);
    assert_eq!(counted(&cache), (2, 0));
    cache.nominate(q.clone(), &b);
    assert_eq!(counted(&cache), (1, 1));
    cache.assume(p, &b);
    assert_eq!(counted(&cache), (0, 1));
    cache.withdraw(&q.uid);
    cache.nominate(q, &"c".into());
    cache.set_node(&"c".into(), Offer::default());
    assert_eq!(node(&cache, "c").nominated, 1, "a node that came later");
}

#[test]
fn a_node_without_object_lives_as_long_as_its_pods() {
    let (mut cache, a, b) = (Cache::default(), Arc::from("a"), Arc::from("b"));
    cache.see(pod("p", "1"), &a);
    cache.set_node(&b, Offer::default());
    assert!(cache.node("a").unwrap().offer.is_none());
    cache.set_node(&a, Offer::default());
    cache.remove_node("a");
    assert_eq!(node(&cache, "a").pods, 1);
    let p = pod("p", "1");
    cache.remove_pod(&p.uid);
    assert!(cache.node("a").is_none());
    assert_eq!(cache.position("b"), Some(0), "the index follows the move");
}
