use serde_json::{Value, json};

use super::*;

/// A Deployment of image `c` with 4 replicas (surge 1, one may be missing), changed by `spec`.
fn deployment(spec: Value) -> Deployment {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "n", "uid": "d", "generation": 1},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "a"}},
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": template("c")}});
    for (field, given) in spec.as_object().unwrap() {
        value["spec"][field] = given.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": image}]}})
}

/// ReplicaSets in words, oldest first: `a=3/2` is of image a, asks for 3, and 2 are available; with
/// `@5` it was last scaled when 5 replicas (and one more) were wanted, else 4.
fn sets(deployment: &Deployment, words: &str) -> Sets {
    let set = |(n, word): (usize, &str)| {
        let (word, desired) = word.split_once('@').unwrap_or((word, "4"));
        let (image, counts) = word.split_once('=').unwrap();
        let (replicas, available) = counts.split_once('/').unwrap();
        let number = |text: &str| text.parse::<i32>().unwrap();
        let mut template = template(image);
        template["metadata"]["labels"]["pod-template-hash"] = image.into();
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": image, "uid": image, "generation": 1,
                    "creationTimestamp": format!("2026-01-01T00:00:{n:02}Z"),
                    "annotations": {"deployment.kubernetes.io/revision": (n + 1).to_string(),
                        "deployment.kubernetes.io/desired-replicas": desired,
                        "deployment.kubernetes.io/max-replicas": (number(desired) + 1).to_string()}},
                "spec": {"replicas": number(replicas), "selector": {}, "template": template},
                "status": {"replicas": number(replicas), "availableReplicas": number(available),
                    "observedGeneration": 1}}))
            .unwrap(),
        )
    };
    Sets::of(deployment, words.split_whitespace().enumerate().map(set).collect())
}

/// The step in words: `+c=2` creates the new one with 2 replicas, `a=1` scales, `-a` deletes.
fn told(step: Step) -> String {
    let name = |set: &ReplicaSet| set.metadata.name.clone().unwrap_or_default();
    let words: Vec<String> = match step {
        Step::Wait => vec![],
        Step::Create(set) => vec![format!("+c={}", replicas(&set))],
        Step::Update(updates) => updates
            .iter()
            .map(|update| match update.replicas {
                Some(size) => format!("{}={size}", name(&update.set)),
                None => format!("{}!", name(&update.set)),
            })
            .collect(),
        Step::Delete(sets) => sets.iter().map(|set| format!("-{}", name(set))).collect(),
    };
    words.join(" ")
}

fn decide(spec: Value, words: &str) -> String {
    let deployment = deployment(spec);
    told(plan(&deployment, &sets(&deployment, words), false))
}

#[test]
fn rolling_updates_go_step_by_step() {
    for (case, words, expected) in [
        ("the first", "", "+c=4"),
        ("starting", "c=4/0", ""),
        ("a new template", "b=4/4", "+c=1"),
        ("room below", "b=4/4 c=1/0", "b=3"),
        ("room above", "b=3/3 c=1/0", "c=2"),
        ("waiting for the new ones", "b=3/3 c=2/0", ""),
        ("one of them is there", "b=3/3 c=2/1", "b=2"),
        ("nearly over", "b=1/1 c=4/4", "b=0"),
        ("over", "b=0/0 c=4/4", ""),
        ("another template in the middle", "a=2/2 b=3/1", "b=1"),
        ("all the others go, the oldest first", "a=2/2 b=2/2 c=1/1", "a=0"),
        ("what was scaled down is not counted on", "b=2/4 c=3/2", "b=1"),
        ("scaled by somebody", "c=6/6", "c=4"),
    ] {
        let words = match case {
            // Too many already for a new one to have pods: it is there with none.
            "another template in the middle" => "a=2/2 b=3/1 c=0/0",
            _ => words,
        };
        assert_eq!(decide(json!({}), words), expected, "{case}");
    }
}

#[test]
fn a_rollback_makes_the_old_one_new_again() {
    let deployment = deployment(json!({}));
    let sets = sets(&deployment, "c=0/0 b=4/4");
    let Step::Update(updates) = plan(&deployment, &sets, false) else { panic!() };
    let [update] = &updates[..] else { panic!("{updates:?}") };
    assert_eq!(update.replicas, None, "first the number, then the size");
    assert_eq!(update.annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(update.annotations["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(revision(&sets), 3);
}

#[test]
fn recreate_ends_all_before_it_starts() {
    let recreate = deployment(json!({"strategy": {"type": "Recreate"}}));
    for (case, words, old_pods_run, expected) in [
        ("the first", "", false, "+c=4"),
        ("the old ones end", "a=1/1 b=4/4", true, "a=0 b=0"),
        ("are waited for", "b=0/0", true, ""),
        ("the new ones start", "b=0/0", false, "+c=4"),
        ("it was there before", "c=0/0", false, "c=4"),
    ] {
        let step = plan(&recreate, &sets(&recreate, words), old_pods_run);
        assert_eq!(told(step), expected, "{case}");
    }
}

#[test]
fn old_pods_are_seen_in_the_sets_and_in_the_pods() {
    let deployment = deployment(json!({}));
    let run = |words: &str, pods: &[(&str, &str)]| {
        let pods_of = |uid: &str| -> Vec<Arc<Pod>> {
            let owned = pods.iter().filter(|(owner, _)| *owner == uid);
            let pod = |phase: &str| serde_json::from_value(json!({"status": {"phase": phase}}));
            owned.map(|(_, phase)| Arc::new(pod(phase).unwrap())).collect()
        };
        old_pods_run(&sets(&deployment, words), pods_of)
    };
    assert!(run("b=1/0", &[]));
    assert!(!run("b=0/0 c=4/4", &[("c", "Running"), ("x", "Running")]));
    assert!(run("b=0/0", &[("b", "Running")]), "on its way out, but there");
    assert!(!run("b=0/0", &[("b", "Failed")]));
}

#[test]
fn scaling_is_shared_out() {
    let scaled = |replicas: i32| json!({"replicas": replicas});
    for (case, spec, words, expected) in [
        ("one alone", scaled(6), "c=4/4", "c=6"),
        ("an old one alone, before the rollout", scaled(6), "b=4/4", "b=6"),
        ("in the middle", scaled(9), "b=3/3 c=2/0", "b=6 c=4"),
        ("down in the middle", scaled(2), "b=3/3 c=2/0", "b=2 c=1"),
        ("to none in the middle", scaled(0), "b=3/3 c=2/0", "b=0 c=0"),
        ("only notes", scaled(4), "c=4/4@6", "c!"),
        ("to none and back", scaled(4), "c=0/0@0", "c=4"),
        ("saturated", json!({"paused": true}), "b=1/1 c=4/4", "b=0"),
    ] {
        assert_eq!(decide(spec, words), expected, "{case}");
    }
}

#[test]
fn nothing_rolls_while_paused() {
    let paused = || json!({"paused": true});
    assert_eq!(decide(paused(), ""), "");
    assert_eq!(decide(paused(), "b=4/4"), "");
    assert_eq!(decide(json!({"paused": true, "replicas": 5}), "b=4/4"), "b=5");
    assert_eq!(decide(json!({"paused": true, "revisionHistoryLimit": 0}), "a=0/0 b=4/4"), "-a");
}

#[test]
fn old_sets_without_pods_go_beyond_the_limit() {
    let mut deployment = deployment(json!({"revisionHistoryLimit": 1}));
    let words = "a=0/0 b=0/0 c=4/4";
    assert_eq!(told(plan(&deployment, &sets(&deployment, words), false)), "", "not done yet");
    let status = json!({"replicas": 4, "updatedReplicas": 4, "availableReplicas": 4,
        "observedGeneration": 1});
    deployment.status = Some(serde_json::from_value(status).unwrap());
    assert_eq!(told(plan(&deployment, &sets(&deployment, words), false)), "-a");
    let step = plan(&deployment, &sets(&deployment, "b=0/0 c=4/4"), false);
    assert_eq!(told(step), "", "within the limit");
}

#[test]
fn the_new_set_carries_everything() {
    let mut deployment = deployment(json!({"minReadySeconds": 7}));
    deployment.metadata.annotations = Some([("note".to_owned(), "x".to_owned())].into());
    let Step::Create(set) = plan(&deployment, &sets(&deployment, "b=4/4"), false) else { panic!() };
    let hash = set.labels()[TEMPLATE_HASH].clone();
    assert_eq!(set.name_any(), format!("web-{hash}"));
    assert_eq!(json!(set.labels()), json!({"app": "a", TEMPLATE_HASH: hash}));
    let spec = set.spec.clone().unwrap();
    assert_eq!(json!(spec.selector.match_labels), json!({"app": "a", TEMPLATE_HASH: hash}));
    let metadata = spec.template.unwrap().metadata.unwrap();
    assert_eq!(json!(metadata.labels), json!({"app": "a", TEMPLATE_HASH: hash}));
    assert_eq!(spec.min_ready_seconds, Some(7));
    assert_eq!(
        json!(set.annotations()),
        json!({"note": "x", "deployment.kubernetes.io/revision": "2",
            "deployment.kubernetes.io/desired-replicas": "4",
            "deployment.kubernetes.io/max-replicas": "5"})
    );
    assert!(is_wanted(&set, &set, &deployment));

    // Once it is there it is told from the others by its template alone.
    let sets = Sets::of(&deployment, vec![Arc::new(*set.clone())]);
    assert!(sets.new.is_some() && sets.old.is_empty());

    // The name is taken by something else: another hash.
    let status = json!({"collisionCount": 1});
    deployment.status = Some(serde_json::from_value(status).unwrap());
    let Step::Create(other) = plan(&deployment, &self::sets(&deployment, ""), false) else {
        panic!()
    };
    assert_ne!(other.name_any(), set.name_any());
    deployment.metadata.uid = Some("another".to_owned());
    assert!(!is_wanted(&other, &set, &deployment));
}

#[test]
fn a_changed_delay_or_annotation_reaches_the_new_set() {
    let mut deployment = deployment(json!({"minReadySeconds": 7}));
    deployment.metadata.annotations = Some([("note".to_owned(), "x".to_owned())].into());
    let Step::Update(updates) = plan(&deployment, &sets(&deployment, "c=4/4"), false) else {
        panic!()
    };
    assert_eq!(updates[0].min_ready_seconds, Some(7));
    assert_eq!(json!(updates[0].annotations), json!({"note": "x"}));
    deployment.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    assert_eq!(plan(&deployment, &sets(&deployment, "c=4/4"), false), Step::Wait);
}
