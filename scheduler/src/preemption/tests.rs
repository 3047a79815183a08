use serde_json::{Value, json};

use super::*;
use crate::framework::Framework;

/// Nodes with 4 CPUs.
fn cluster(nodes: &[&str]) -> Cache {
    let mut cache = Cache::default();
    for name in nodes {
        let node = json!({"metadata": {"name": name, "labels": {"host": name}},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
        cache.set_node(&Arc::from(*name), Offer::read(&serde_json::from_value(node).unwrap()));
    }
    cache
}

fn pod(name: &str, priority: i32, cpu: &str, more: Value) -> Arc<PodInfo> {
    let mut spec = json!({"priority": priority, "containers": [{"name": "c",
        "resources": {"requests": {"cpu": cpu}}}]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let meta = json!({"name": name, "namespace": "n", "uid": name, "labels": {"app": name},
        "creationTimestamp": "2026-01-01T00:00:00Z"});
    let pod = serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap();
    Arc::new(PodInfo::read(&pod).unwrap())
}

fn run(cache: &Cache, pod: &PodInfo, budgets: &Budgets) -> Result<(String, Vec<String>), Reasons> {
    let all: Vec<usize> = (0..cache.nodes().len()).collect();
    let framework = Framework::default();
    let attempt = Attempt { framework: &framework, cache, budgets, pod, openable: &all };
    let victims = preempt(&attempt, PreemptionArguments::default(), &mut Memos::default())?;
    let names = victims.pods.iter().map(|pod| pod.name.clone()).collect();
    Ok((victims.node.to_string(), names))
}

fn budget(app: &str, allowed: i32) -> Budgets {
    let budget = json!({"metadata": {"namespace": "n"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1,
            "expectedPods": 1}});
    let read = Budget::read(&serde_json::from_value(budget).unwrap());
    let mut budgets = Budgets::default();
    budgets.set("b".to_owned(), read);
    budgets
}

#[test]
fn the_choice_that_hurts_least() {
    let none = Budgets::default();
    for (what, placed, cpu, budgets, expected) in [
        (
            "as few as needed, the least important",
            &[("a", "high", 5, "2"), ("a", "low", 1, "1"), ("a", "mid", 3, "1")][..],
            "1",
            none.clone(),
            ("a", vec!["low"]),
        ),
        (
            "the node whose victim has the lowest priority",
            &[("a", "x", 5, "4"), ("b", "y", 3, "4")],
            "1",
            none.clone(),
            ("b", vec!["y"]),
        ),
        (
            "fewer victims among equals",
            &[("a", "x", 3, "2"), ("a", "y", 3, "2"), ("b", "z", 3, "4")],
            "4",
            none.clone(),
            ("b", vec!["z"]),
        ),
        (
            "a budget is kept where another choice is left",
            &[("a", "safe", 1, "4"), ("b", "free", 3, "4")],
            "1",
            budget("safe", 0),
            ("b", vec!["free"]),
        ),
        (
            "a budget that allows one is not broken",
            &[("a", "safe", 1, "4"), ("b", "free", 3, "4")],
            "1",
            budget("safe", 1),
            ("a", vec!["safe"]),
        ),
        (
            "a budget is kept before a higher priority",
            &[("a", "safe", 1, "2"), ("a", "free", 3, "2")],
            "1",
            budget("safe", 0),
            ("a", vec!["free"]),
        ),
        (
            "a budget is broken when nothing else helps",
            &[("a", "safe", 1, "4"), ("b", "vip", 100, "4")],
            "1",
            budget("safe", 0),
            ("a", vec!["safe"]),
        ),
    ] {
        let mut cache = cluster(&["a", "b"]);
        for (node, name, priority, cpu) in placed {
            cache.see(pod(name, *priority, cpu, json!({})), &Arc::from(*node));
        }
        // A node nobody may be taken from stays out of the question.
        if !placed.iter().any(|(node, ..)| *node == "b") {
            cache.see(pod("full", 100, "4", json!({})), &Arc::from("b"));
        }
        let (node, names) = run(&cache, &pod("p", 10, cpu, json!({})), &budgets).unwrap();
        assert_eq!(
            (node.as_str(), names),
            (expected.0, expected.1.iter().map(|n| (*n).to_owned()).collect()),
            "{what}"
        );
    }
}

#[test]
fn nothing_to_take_says_why() {
    let mut cache = cluster(&["a", "b"]);
    let none = Budgets::default();
    cache.see(pod("equal", 10, "4", json!({})), &Arc::from("a"));
    cache.see(pod("above", 11, "4", json!({})), &Arc::from("b"));
    let p = pod("p", 10, "1", json!({}));
    let reasons = run(&cache, &p, &none).unwrap_err();
    assert_eq!(
        reasons,
        Reasons::from([("No preemption victims found for incoming pod".to_owned(), 2)])
    );
    // Taking the small one away is not enough.
    let mut cache = cluster(&["a"]);
    cache.see(pod("above", 11, "3", json!({})), &Arc::from("a"));
    cache.see(pod("small", 1, "1", json!({})), &Arc::from("a"));
    let reasons = run(&cache, &pod("p", 10, "2", json!({})), &none).unwrap_err();
    assert_eq!(reasons, Reasons::from([("Insufficient cpu".to_owned(), 1)]));
}

#[test]
fn pods_kept_apart_make_room_for_each_other() {
    let mut cache = cluster(&["a"]);
    let anti = json!({"affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "host",
            "labelSelector": {"matchLabels": {"app": "shy"}}}]}}});
    cache.see(pod("shy", 1, "1", anti.clone()), &Arc::from("a"));
    cache.see(pod("other", 1, "1", json!({})), &Arc::from("a"));
    let p = pod("p", 10, "1", anti);
    assert_eq!(run(&cache, &p, &Budgets::default()), Ok(("a".to_owned(), vec!["shy".to_owned()])));
}

#[test]
fn a_choice_that_breaks_no_budget_is_looked_for_beyond_the_first() {
    let mut cache = cluster(&["a", "b", "c"]);
    for (node, name) in [("a", "safe"), ("b", "safe"), ("c", "free")] {
        let mut placed = (*pod(name, 1, "4", json!({}))).clone();
        placed.uid.0 = node.into();
        cache.see(Arc::new(placed), &Arc::from(node));
    }
    let (framework, budgets, all) = (Framework::default(), budget("safe", 0), [0, 1, 2]);
    let one = PreemptionArguments { percentage: 0, absolute: 1 };
    // Wherever the search begins.
    for uid in ["p", "q", "r"] {
        let pod = pod(uid, 10, "1", json!({}));
        let attempt = Attempt {
            framework: &framework,
            cache: &cache,
            budgets: &budgets,
            pod: &pod,
            openable: &all,
        };
        let victims = preempt(&attempt, one, &mut Memos::default()).unwrap();
        assert_eq!((&*victims.node, victims.violations), ("c", 0), "{uid}");
    }
}

#[test]
fn the_choice_is_the_same_with_memory_as_without() {
    let names: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut cache, mut budgets) = (cluster(&names), budget("low-3-1", 0));
    for (at, node) in names.iter().enumerate() {
        for n in 0..4 {
            let priority = i32::try_from((at + n) % 3).unwrap();
            let low = pod(&format!("low-{at}-{n}"), priority, "900m", json!({}));
            cache.see(low, &Arc::from(*node));
        }
    }
    let (framework, mut memos) = (Framework::default(), Memos::default());
    let all: Vec<usize> = (0..names.len()).collect();
    let mut made: Vec<(Arc<PodInfo>, Victims)> = Vec::new();
    let mut rooms = 0;
    for number in 0..40 {
        let cpu = if number % 5 == 4 { "1" } else { "3" };
        let high = pod(&format!("high-{number}"), 10, cpu, json!({}));
        // The same pod may ask again.
        let again = made.last().filter(|_| number % 7 == 6).map(|(pod, _)| pod.clone());
        let high = again.unwrap_or(high);
        let told = |found: &Result<Victims, Reasons>| {
            let told = |victims: &Victims| {
                let names: Vec<String> = victims.pods.iter().map(|pod| pod.name.clone()).collect();
                (victims.node.clone(), names, victims.violations)
            };
            found.as_ref().map(told).map_err(Clone::clone)
        };
        let mut ask = |openable: &[usize]| {
            let (framework, cache, budgets) = (&framework, &cache, &budgets);
            let attempt = Attempt { framework, cache, budgets, pod: &high, openable };
            let found = preempt(&attempt, PreemptionArguments::default(), &mut memos);
            let fresh = preempt(&attempt, PreemptionArguments::default(), &mut Memos::default());
            assert_eq!(told(&found), told(&fresh), "{number} {openable:?}");
            found
        };
        let found = ask(&all);
        // Every node for itself, too: not only the best one is remembered rightly.
        for at in &all {
            ask(&[*at]).ok();
        }
        if let Ok(victims) = found {
            rooms += 1;
            cache.nominate(high.clone(), &victims.node);
            for victim in &victims.pods {
                let mut leaving = (**victim).clone();
                leaving.deleting = true;
                cache.see(Arc::new(leaving), &victims.node);
            }
            made.push((high, victims));
        }
        match number % 4 {
            1 if !made.is_empty() => {
                let (high, victims) = made.remove(0);
                for victim in &victims.pods {
                    cache.remove_pod(&victim.uid);
                }
                cache.assume(high, &victims.node);
            }
            2 => {
                if let Some((high, _)) = made.first() {
                    cache.withdraw(&high.uid);
                }
            }
            3 => budgets = budget("low-3-1", number),
            _ => {}
        }
    }
    assert!(rooms > 12, "{rooms}");
}

#[test]
fn room_made_for_another_is_not_taken() {
    let mut cache = cluster(&["a"]);
    cache.nominate(pod("first", 10, "4", json!({})), &Arc::from("a"));
    let framework = Framework::default();
    let decide = |pod: &PodInfo| {
        crate::decide::decide(&framework, &cache, pod, &mut crate::decide::Rotation::new(1))
    };
    assert!(decide(&pod("equal", 10, "1", json!({}))).is_err());
    assert!(decide(&pod("above", 11, "1", json!({}))).is_ok());
    assert!(decide(&pod("first", 10, "4", json!({}))).is_ok());
}
