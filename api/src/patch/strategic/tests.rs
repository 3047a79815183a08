use serde_json::{Value, json};

use super::*;

fn run(kind: &str, object: &Value, patch: &Value) -> Result<Value, PatchError> {
    apply(kind, object, patch.to_string().as_bytes())
}

fn pod(spec: &Value) -> Value {
    json!({"spec": spec})
}

#[test]
fn directives() {
    let base = json!({"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}],
        "nodeSelector": {"k": "v"}, "tolerations": [{"key": "t"}],
        "volumes": [{"name": "v", "emptyDir": {}}]});
    let cases = [
        (
            "merges by key and keeps the rest",
            json!({"containers": [{"name": "a", "image": "9"}]}),
            json!({"containers": [{"name": "a", "image": "9", "args": ["x"]}, {"name": "b", "image": "2"}]}),
        ),
        (
            "new items come after live ones that cannot be compared",
            json!({"containers": [{"name": "c", "image": "3"}]}),
            json!({"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}),
        ),
        (
            "deletes an item",
            json!({"containers": [{"$patch": "delete", "name": "a"}]}),
            json!({"containers": [{"name": "b", "image": "2"}]}),
        ),
        (
            "deleting a missing item is nothing",
            json!({"containers": [{"$patch": "delete", "name": "zz"}]}),
            json!({}),
        ),
        (
            "replaces a list",
            json!({"containers": [{"name": "z"}, {"$patch": "replace"}]}),
            json!({"containers": [{"name": "z"}]}),
        ),
        (
            "replaces a map",
            json!({"nodeSelector": {"$patch": "replace", "n": "m"}}),
            json!({"nodeSelector": {"k": null, "n": "m"}}),
        ),
        (
            "empties a map",
            json!({"nodeSelector": {"$patch": "delete"}}),
            json!({"nodeSelector": {"k": null}}),
        ),
        (
            "atomic lists are replaced",
            json!({"tolerations": [{"key": "u"}]}),
            json!({"tolerations": [{"key": "u"}]}),
        ),
        (
            "null deletes",
            json!({"tolerations": null, "nodeSelector": {"k": null}}),
            json!({"tolerations": null, "nodeSelector": {"k": null}}),
        ),
        (
            "null inside an item deletes a field",
            json!({"containers": [{"name": "a", "args": null}]}),
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}),
        ),
        (
            "retainKeys switches a union",
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}),
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        ),
        (
            "sets the order without changing items",
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!({"containers": [{"name": "b", "image": "2"}, {"name": "a", "image": "1", "args": ["x"]}]}),
        ),
        (
            "orders what the patch adds",
            json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}], "containers": [{"name": "c"}]}),
            json!({"containers": [{"name": "c"}, {"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}]}),
        ),
    ];
    for (name, patch, change) in cases {
        let mut expected = base.clone();
        json_patch::merge(&mut expected, &change);
        let result = run("core.v1.Pod", &pod(&base), &pod(&patch));
        assert_eq!(result, Ok(pod(&expected)), "{name}");
    }
}

#[test]
fn lists_of_scalars() {
    let object = json!({"metadata": {"finalizers": ["x/a", "x/b"]}});
    let cases = [
        (json!({"finalizers": ["x/c"]}), json!(["x/a", "x/b", "x/c"])),
        (json!({"finalizers": ["x/b"]}), json!(["x/a", "x/b"])),
        (json!({"$deleteFromPrimitiveList/finalizers": ["x/a"]}), json!(["x/b"])),
        (
            json!({"$deleteFromPrimitiveList/finalizers": ["x/a"], "$setElementOrder/finalizers": ["x/c", "x/b"], "finalizers": ["x/c"]}),
            json!(["x/c", "x/b"]),
        ),
    ];
    for (patch, expected) in cases {
        let result = run("core.v1.Pod", &object, &json!({"metadata": patch}));
        assert_eq!(result, Ok(json!({"metadata": {"finalizers": expected}})), "{patch}");
    }
}

#[test]
fn ports_merge_by_container_port_and_conditions_by_type() {
    let object = json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81}]},
        "status": {"conditions": [{"type": "X", "status": "True"}]}});
    let patch = json!({"spec": {"ports": [{"port": 81, "name": "b"}]},
        "status": {"conditions": [{"type": "X", "status": "False"}, {"type": "Y"}]}});
    let expected = json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]},
        "status": {"conditions": [{"type": "X", "status": "False"}, {"type": "Y"}]}});
    assert_eq!(run("core.v1.Service", &object, &patch), Ok(expected));
}

#[test]
fn directives_without_a_counterpart_leave_no_trace() {
    let patch = json!({"spec": {"nodeSelector": {"a": "b", "c": null},
        "containers": [{"name": "a", "$setElementOrder/env": [{"name": "E"}], "env": [{"name": "E", "value": null}, {"name": "F", "$patch": "delete"}]}],
        "volumes": [{"$retainKeys": ["name"], "name": "v"}], "$deleteFromPrimitiveList/x": ["a"]}});
    let expected = json!({"spec": {"nodeSelector": {"a": "b"},
        "containers": [{"name": "a", "env": [{"name": "E"}]}], "volumes": [{"name": "v"}]}});
    assert_eq!(run("core.v1.Pod", &json!({}), &patch), Ok(expected));
}

#[test]
fn refuses_bad_directives() {
    let object = pod(&json!({"containers": [{"name": "a"}], "volumes": [{"name": "v"}]}));
    let cases = [
        json!({"$patch": "explode"}),
        json!({"containers": [{"image": "no name"}]}),
        json!({"containers": [{"$patch": "delete"}]}),
        json!({"containers": ["text"]}),
        json!({"containers": [{"$patch": "merge", "name": "a"}]}),
        json!({"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {"path": "/"}}]}),
        json!({"$setElementOrder/containers": "a"}),
        json!({"$setElementOrder/containers": [{"name": "a"}], "containers": 1}),
    ];
    for patch in cases {
        let result = run("core.v1.Pod", &object, &pod(&patch));
        assert!(matches!(result, Err(PatchError::Directive(_))), "{patch}: {result:?}");
    }
    assert!(apply("core.v1.Pod", &object, b"[]").is_err());
}

/// The strategic merge records of a real server, in their order.
#[test]
fn recorded_patches() {
    let records: Vec<Value> = include_str!("../../../../fixtures/wire/apply.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record per line"))
        .collect();
    let find = |name: &str| records.iter().find(|r| r["name"] == name).expect("recorded");
    let object = &find("update-by-other")["response"];
    let order =
        run("apps.v1.Deployment", object, &find("strategic")["body"]).expect_err("out of order");
    let status = crate::status::Status::from(order);
    assert_eq!(find("strategic")["status"], status.code);
    assert!(status.message.starts_with("The order in patch list:\n") && status.reason.is_empty());
    let deleted = find("strategic-delete");
    let result = run("apps.v1.Deployment", object, &deleted["body"]).expect("applies");
    assert_eq!(result["spec"], deleted["response"]["spec"]);
}

mod properties {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn containers() -> impl Strategy<Value = Value> {
        proptest::collection::btree_map("[a-e]", ("[1-3]", proptest::option::of("[x-z]")), 0..5)
            .prop_map(|all| {
                all.into_iter()
                    .map(|(name, (image, arg))| match arg {
                        Some(arg) => json!({"name": name, "image": image, "args": [arg]}),
                        None => json!({"name": name, "image": image}),
                    })
                    .collect()
            })
    }

    proptest! {
        /// Applying a patch twice is applying it once.
        #[test]
        fn idempotent(live in containers(), patch in containers(), gone in "[a-e]") {
            let mut patch = patch;
            if let Some(list) = patch.as_array_mut() {
                list.retain(|item| item["name"] != gone.as_str());
                list.push(json!({"$patch": "delete", "name": gone}));
            }
            let patch = pod(&json!({"containers": patch}));
            let once = run("core.v1.Pod", &pod(&json!({"containers": live})), &patch).expect("applies");
            let twice = run("core.v1.Pod", &once, &patch).expect("applies again");
            prop_assert_eq!(once, twice);
        }

        /// What kubectl apply sends (new and changed items, deletions, the full order) turns any
        /// live list into the wanted one, items of other writers kept.
        #[test]
        fn three_way(last in containers(), wanted in containers(), other in "[f-h]") {
            let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
            let wanted = wanted.as_array().cloned().unwrap_or_default();
            let names: BTreeSet<String> = wanted.iter().map(name).collect();
            let last = last.as_array().cloned().unwrap_or_default();
            let mut live = last.clone();
            live.push(json!({"name": other, "image": "0"}));
            let order: Vec<Value> = wanted.iter().map(|item| json!({"name": name(item)})).collect();
            let mut list: Vec<Value> = wanted.iter().map(|item| {
                let mut item = item.clone();
                if item.get("args").is_none() {
                    item["args"] = Value::Null;
                }
                item
            }).collect();
            list.extend(last.iter().filter(|i| !names.contains(&name(i))).map(|i| json!({"$patch": "delete", "name": name(i)})));
            let patch = pod(&json!({"$setElementOrder/containers": order, "containers": list}));
            let result = run("core.v1.Pod", &pod(&json!({"containers": live})), &patch).expect("applies");
            let result = result["spec"]["containers"].as_array().cloned().unwrap_or_default();
            let theirs = json!({"name": other, "image": "0"});
            prop_assert!(result.contains(&theirs), "the other writer's item is gone");
            let ours: Vec<Value> = result.into_iter().filter(|item| name(item) != other).collect();
            prop_assert_eq!(ours, wanted);
        }

        /// Whatever is in a patch, it is applied or refused.
        #[test]
        fn never_panics(text in r#"(\{|\}|\[|\]|"\$patch":|"delete"|"replace"|"spec":|"containers":|"name":|"a"|,|null|1){0,12}"#) {
            let object = pod(&json!({"containers": [{"name": "a"}]}));
            let _ = apply("core.v1.Pod", &object, text.as_bytes());
        }
    }
}
