//! Laws that hold for all objects, tried on generated pods and config maps.

use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;

use super::*;

/// Data of a config map over a few keys, so that managers meet.
fn data() -> impl Generator<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map("[a-d]", "[12]", 0..4)
}

/// A pod configuration over few names: atomic, keyed and set lists, maps, structs, scalars.
fn pod() -> impl Generator<Value = Value> {
    let label = proptest::option::of(proptest::collection::btree_map("[a-c]", "[12]", 0..3));
    let container = ("[a-c]", "[12]", proptest::option::of(0..3_i64), proptest::bool::ANY)
        .prop_map(|(name, image, port, flag)| {
            let mut container = json!({"name": name, "image": image});
            if let Some(port) = port {
                container["ports"] = json!([{"containerPort": port + 80}]);
                container["command"] = json!([port.to_string()]);
            }
            if flag {
                container["securityContext"] = json!({"runAsUser": 1});
                container["env"] = json!([{"name": "A", "value": image}]);
            }
            container
        });
    let containers = proptest::collection::vec(container, 1..4).prop_map(|all| {
        let mut by_name: BTreeMap<String, Value> = BTreeMap::new();
        for container in all {
            by_name.insert(container["name"].to_string(), container);
        }
        by_name.into_values().collect::<Vec<_>>()
    });
    let selector = proptest::option::of("[12]");
    let finalizers = proptest::collection::btree_set("[a-c]", 0..3);
    (label, containers, selector, finalizers).prop_map(
        |(labels, containers, selector, finalizers)| {
            let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": containers}});
            if let Some(labels) = labels {
                pod["metadata"]["labels"] = json!(labels);
            }
            if let Some(selector) = selector {
                pod["spec"]["nodeSelector"] = json!({"s": selector});
            }
            if !finalizers.is_empty() {
                pod["metadata"]["finalizers"] = json!(finalizers);
            }
            pod
        },
    )
}

/// The object as the server keeps it: decoded, defaulted, with a UID.
fn kept(mut object: Value) -> Value {
    object["metadata"]["uid"] = "u".into();
    let mut object = crate::decode::check(core("pods"), object).expect("decodes").object;
    core("pods").strategy.default(&mut object);
    object
}

fn apply_pod(live: &Value, manager: &str, config: &Value, force: bool) -> Result<Value, Status> {
    apply(core("pods"), live, config, force, &by(manager, "")).map(kept)
}

/// Every owned field and its value.
fn owned_values(object: &Value, manager: &str) -> Vec<(String, Value)> {
    let set = owners(object);
    let Some(paths) = set.get(manager) else { return Vec::new() };
    let data = &object["data"];
    paths
        .split(' ')
        .filter_map(|path| path.strip_prefix(".data."))
        .map(|key| (key.to_owned(), data[key].clone()))
        .collect()
}

proptest! {
    #[test]
    fn fields_v1_says_all(config in pod()) {
        let set = super::super::config::fields_of(super::super::place::Place::of(core("pods")), &config);
        prop_assert_eq!(FieldSet::from_fields_v1(&set.to_fields_v1()), Ok(set));
    }

    #[test]
    fn applying_again_changes_nothing(first in pod(), second in pod()) {
        let live = apply_pod(&Value::Null, "one", &first, false).expect("made");
        let once = apply_pod(&live, "two", &second, true).expect("forced");
        let again = apply_pod(&once, "two", &second, false).expect("its own");
        prop_assert_eq!(again, once);
    }

    #[test]
    fn what_is_applied_is_there(first in pod(), second in pod()) {
        let live = apply_pod(&Value::Null, "one", &first, false).expect("made");
        let mine = apply_pod(&live, "one", &second, false).expect("its own");
        // With one manager the object is what the last configuration says, and the defaults.
        let fresh = apply_pod(&Value::Null, "one", &second, false).expect("made");
        let sorted = |pod: &Value| {
            let mut pod = pod.clone();
            let containers = pod["spec"]["containers"].as_array_mut().expect("containers");
            containers.sort_by_key(|container| container["name"].to_string());
            pod
        };
        prop_assert_eq!(&sorted(&mine)["spec"]["nodeSelector"], &fresh["spec"]["nodeSelector"]);
        prop_assert_eq!(sorted(&mine)["metadata"]["labels"].clone(), fresh["metadata"]["labels"].clone());
        let names = |pod: &Value| {
            sorted(pod)["spec"]["containers"].as_array().into_iter().flatten()
                .map(|container| (container["name"].clone(), container["image"].clone(), container["command"].clone(), container["env"].clone()))
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(names(&mine), names(&fresh));
    }

    #[test]
    fn managers_never_lose_each_others_fields(
        steps in proptest::collection::vec((0..3_usize, proptest::bool::ANY, data()), 1..8),
    ) {
        let names = ["one", "two", "three"];
        let mut live = stored(map(json!({})));
        for (who, force, data) in steps {
            let before = live.clone();
            let Ok(after) = applied(&before, names[who], json!(data), force) else {
                prop_assert!(!force, "force never conflicts");
                continue;
            };
            for (other, name) in names.iter().enumerate() {
                for (key, value) in owned_values(&before, &format!("{name} Apply")) {
                    let taken = data.get(&key).is_some_and(|new| *new != value);
                    let mine = other == who;
                    prop_assert!(
                        mine || after["data"][&key] == value || (force && taken),
                        "{}: {} was {}'s", key, value, name
                    );
                }
            }
            for (key, value) in &data {
                prop_assert_eq!(&after["data"][key], value);
            }
            live = after;
        }
    }

    /// Without anything to remove, and where a strategic merge goes by the same keys, both kinds
    /// of patch come to the same object.
    #[test]
    fn apply_and_strategic_merge_agree(first in pod(), second in pod()) {
        let live = apply_pod(&Value::Null, "one", &first, false).expect("made");
        let mut patch = second.clone();
        // A strategic merge takes ports by containerPort alone, and merges what apply replaces.
        for container in patch["spec"]["containers"].as_array_mut().expect("containers") {
            crate::meta::remove(container, "ports");
        }
        let applied = apply_pod(&live, "two", &patch, true).expect("forced");
        let merged = patch::apply(core("pods"), PatchType::Strategic, &live, patch.to_string().as_bytes());
        let mut merged = kept(merged.expect("merges"));
        let mut applied = applied;
        for pod in [&mut applied, &mut merged] {
            crate::meta::remove(&mut pod["metadata"], "managedFields");
            // The order of lists is each one's own affair.
            pod["spec"]["containers"].as_array_mut().expect("containers")
                .sort_by_key(|container| container["name"].to_string());
            if let Some(finalizers) = pod["metadata"].get_mut("finalizers").and_then(Value::as_array_mut) {
                finalizers.sort_by_key(Value::to_string);
            }
        }
        prop_assert_eq!(applied, merged);
    }
}
