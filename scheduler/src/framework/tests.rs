use serde_json::{Value, json};

use super::*;
use crate::plugins::fixtures::{node, pod};

fn refused_by(framework: &Framework, names: &[&str]) -> FilterSet {
    let mut set = FilterSet::default();
    for name in names {
        set.insert(framework.filters.iter().position(|f| f.name() == *name).unwrap());
    }
    set
}

fn asking(cpu: &str, priority: i32, more: &Value) -> PodInfo {
    let mut spec = json!({"priority": priority, "containers": [{"name": "c",
        "resources": {"requests": {"cpu": cpu}}}]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    pod(spec)
}

#[test]
fn a_pod_that_leaves_helps_those_that_fit_then() {
    let framework = Framework::default();
    // 2 CPUs are left; 1 would be without the pod that matters less.
    let mut n = node("n", json!({}));
    n.add(&Arc::new(asking("1", 5, &json!({}))));
    let mut lesser = asking("1", 1, &json!({}));
    lesser.uid.0 = "lesser".into();
    n.add(&Arc::new(lesser));
    let none = json!({});
    let polite = json!({"preemptionPolicy": "Never"});
    let (fit, both) = (vec!["NodeResourcesFit"], vec!["NodeResourcesFit", "InterPodAffinity"]);
    for (what, cpu, priority, more, by, may_preempt, helps) in [
        ("it fits", "2", 0, &none, &fit, true, true),
        ("it does not", "2100m", 0, &none, &fit, true, false),
        ("another filter looks at more than the node", "2100m", 0, &none, &both, true, true),
        ("it matters as much as the others", "3", 1, &none, &fit, true, false),
        ("it may take the place of one", "3", 2, &none, &fit, true, true),
        ("both would have to go", "4", 2, &none, &fit, true, false),
        ("it must not take places", "3", 2, &polite, &fit, true, false),
        ("its room is made elsewhere", "3", 2, &none, &fit, false, false),
        ("no filter refused it", "64", 0, &none, &vec![], true, true),
        ("pods have nothing to do with it", "1", 0, &none, &vec!["NodeAffinity"], true, false),
    ] {
        let (pod, by) = (asking(cpu, priority, more), refused_by(&framework, by));
        assert_eq!(framework.helps_that_left(&n, &pod, by, may_preempt), helps, "{what}");
    }
    n.offer = None;
    let by = refused_by(&framework, &fit);
    assert!(framework.helps_that_left(&n, &asking("64", 0, &none), by, true), "no Node object");
}
