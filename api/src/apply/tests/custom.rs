//! Custom resources: lists and maps merge as their definitions say.

use super::*;

/// The resource that the records were made with.
pub(super) fn foos() -> Resource {
    let records = records(include_str!("../../../../fixtures/wire/defaulting.jsonl"));
    let record = records.iter().find(|record| record["name"] == "crd").expect("a definition");
    crate::custom::rows(&record["body"]).remove(0)
}

/// Versions `v1` and `v2` of a resource with lists and maps of every kind.
fn things() -> Vec<Resource> {
    let port = json!({"type": "object", "required": ["port"], "properties": {
        "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"},
        "name": {"type": "string"}}});
    let spec = json!({"type": "object", "properties": {
        "replicas": {"type": "integer"},
        "ports": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"], "items": port},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "args": {"type": "array", "items": {"type": "string"}},
        "limits": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}},
        "place": {"type": "object", "x-kubernetes-map-type": "atomic",
            "properties": {"zone": {"type": "string"}, "rack": {"type": "string"}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object",
        "properties": {"ready": {"type": "integer"}}}}});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.ready"}}})
    };
    let definition = json!({"spec": {"group": "gold.io", "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
        "versions": [version("v1", true), version("v2", false)]}});
    let mut rows = crate::custom::rows(&definition);
    rows.sort_by(|a, b| a.version.cmp(&b.version));
    rows
}

fn thing(spec: Value) -> Value {
    json!({"apiVersion": "gold.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec})
}

fn applied(live: &Value, manager: &str, spec: Value, force: bool) -> Result<Value, Status> {
    let mut object = apply(&things()[0], live, &thing(spec), force, &by(manager, ""))?;
    object["metadata"]["uid"] = "u".into();
    Ok(object)
}

#[test]
fn lists_and_maps_merge_as_defined() {
    let first = json!({"ports": [{"port": 80, "name": "a"}], "tags": ["x"], "args": ["1"],
        "limits": {"cpu": 1}, "place": {"zone": "z"}, "free": {"a": {"b": 1}}});
    let one = applied(&Value::Null, "one", first, false).expect("made");
    assert_eq!(
        owners(&one)["one Apply"],
        ".spec.args .spec.place .spec.free.a .spec.free.a.b .spec.limits.cpu \
         .spec.ports[port=80,protocol=\"TCP\"] .spec.ports[port=80,protocol=\"TCP\"].name \
         .spec.ports[port=80,protocol=\"TCP\"].port .spec.tags[=\"x\"]"
    );
    let second = json!({"ports": [{"port": 80, "protocol": "UDP"}], "tags": ["y"],
        "limits": {"memory": "1Gi"}, "free": {"a": {"c": [1]}}});
    let both = applied(&one, "two", second, false).expect("nothing is shared");
    let want = json!({
        "ports": [{"port": 80, "name": "a"}, {"port": 80, "protocol": "UDP"}],
        "tags": ["x", "y"], "args": ["1"], "limits": {"cpu": 1, "memory": "1Gi"},
        "place": {"zone": "z"}, "free": {"a": {"b": 1, "c": [1]}}});
    assert_eq!(both["spec"], want);
    for (spec, conflict) in [
        (json!({"args": ["2"]}), ".spec.args"),
        (json!({"place": {"rack": "r"}}), ".spec.place"),
        (
            json!({"ports": [{"port": 80, "name": "b"}]}),
            ".spec.ports[port=80,protocol=\"TCP\"].name",
        ),
        (json!({"limits": {"cpu": "2"}}), ".spec.limits.cpu"),
    ] {
        let refused = applied(&both, "three", spec, false).expect_err(conflict);
        assert_eq!(
            refused.message,
            format!("Apply failed with 1 conflict: conflict with \"one\": {conflict}")
        );
    }
    // What is no longer applied goes, and nothing else.
    let less = applied(&both, "one", json!({"args": ["1"]}), false).expect("less");
    let want = json!({"ports": [{"port": 80, "protocol": "UDP"}], "tags": ["y"], "args": ["1"],
        "limits": {"memory": "1Gi"}, "free": {"a": {"c": [1]}}});
    assert_eq!(less["spec"], want);
}

#[test]
fn configurations_fit_the_definition() {
    for (spec, problem) in [
        (json!({"nope": 1}), ".spec.nope: field not declared in schema"),
        (
            json!({"args": [1]}),
            ".spec.args[0]: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (
            json!({"ports": [{"name": "a"}]}),
            ".spec.ports: element 0: associative list with keys has an element that omits key field \"port\" (and doesn't have default value)",
        ),
        (json!({"tags": ["a", "a"]}), ".spec.tags: duplicate entries for key [=\"a\"]"),
    ] {
        let refused = applied(&Value::Null, "one", spec, false).expect_err(problem);
        let want =
            format!("failed to create typed patch object (/t; gold.io/v1, Kind=Thing): {problem}");
        assert_eq!((refused.code, refused.message), (500, want));
    }
}

#[test]
fn managers_of_other_versions_stay() {
    let rows = things();
    let one = applied(&Value::Null, "one", json!({"replicas": 1, "tags": ["x"]}), false);
    let one = one.expect("made");
    let mut seen = one.clone();
    seen["apiVersion"] = "gold.io/v2".into();
    let mut new = seen.clone();
    new["spec"]["replicas"] = 2.into();
    track(&rows[1], &seen, &mut new, &by("two", ""));
    let all = owners(&new);
    assert_eq!(all["one Apply"], ".spec.tags[=\"x\"]");
    assert_eq!(all["two Update"], ".spec.replicas");
    // A version that there is no more has no managers.
    new["metadata"]["managedFields"][0]["apiVersion"] = "gold.io/v0".into();
    let before = new.clone();
    new["spec"]["replicas"] = 3.into();
    track(&rows[1], &before, &mut new, &by("two", ""));
    assert_eq!(owners(&new).into_keys().collect::<Vec<_>>(), ["two Update"]);
}

#[test]
fn status_and_scale_have_managers_of_their_own() {
    let rows = things();
    let live = applied(&Value::Null, "one", json!({"replicas": 1, "tags": ["x"]}), false);
    let live = live.expect("made");
    let mut status = thing(json!({"replicas": 9}));
    status["status"] = json!({"ready": 1});
    let told = apply(&rows[0], &live, &status, true, &by("two", "status")).expect("a status");
    assert_eq!(owners(&told)["two Apply status"], ".status.ready");
    let config = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "t"},
        "spec": {"replicas": 5}});
    let refused = apply_scale(&rows[0], &live, &config, false, &by("three", "scale"));
    assert_eq!(
        refused.expect_err("owned").message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas"
    );
    let scaled = apply_scale(&rows[0], &live, &config, true, &by("three", "scale"));
    let scaled = scaled.expect("forced");
    assert_eq!(scaled["spec"], json!({"replicas": 5, "tags": ["x"]}));
    assert_eq!(owners(&scaled)["three Apply scale"], ".spec.replicas");
    assert_eq!(owners(&scaled)["one Apply"], ".spec.tags[=\"x\"]");
}

#[test]
fn who_writes_the_status_owns_nothing_else() {
    let rows = things();
    let maker = |live: &Value, new: &mut Value, subresource: &str| {
        track(&rows[0], live, new, &by("m", subresource));
    };
    let mut live = thing(json!({"replicas": 1}));
    live["metadata"]["labels"] = json!({"a": "b"});
    maker(&Value::Null, &mut live, "");
    live["metadata"]["uid"] = "u".into();
    let mut new = live.clone();
    new["spec"] = json!({"replicas": 2});
    new["metadata"]["labels"] = json!({"c": "d"});
    new["metadata"]["annotations"] = json!({"e": "f"});
    new["extra"] = json!(1);
    new["status"] = json!({"ready": 1});
    maker(&live, &mut new, "status");
    assert_eq!(owners(&new)["m Update status"], ".status .status.ready");
    // And takes nothing from others.
    assert_eq!(owners(&new)["m Update"], owners(&live)["m Update"]);
    let mut config = thing(json!({"replicas": 3}));
    config["metadata"]["labels"] = json!({"c": "d"});
    config["status"] = json!({"ready": 2});
    let by = by("teller", "status");
    let told = apply(&rows[0], &live, &config, false, &by).expect("no conflict");
    assert_eq!(owners(&told)["teller Apply status"], ".status.ready");
}
