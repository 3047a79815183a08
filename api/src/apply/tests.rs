//! Recorded answers of a real server, and laws that hold for all objects.

mod custom;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::field::Errors;
use crate::patch::{self, PatchType};
use crate::resources::{self, GroupResource, Scope};
use crate::status::Status;
use crate::strategy::Strategy;

/// A kind of which only the schema matters.
#[derive(Debug)]
struct Plain;

impl Strategy for Plain {
    fn validate(&self, _object: &Value) -> Errors {
        Errors::new()
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        match subresource {
            "status" => &[&["spec"], &["metadata", "labels"]],
            _ => &[&["status"]],
        }
    }
}

fn deployments() -> Resource {
    Resource {
        group: "apps".into(),
        version: "v1".into(),
        kind: "Deployment".into(),
        plural: "deployments".into(),
        singular: "deployment".into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: Scope::Namespaced,
        verbs: &[],
        subresources: Vec::new(),
        selectable_fields: Vec::new(),
        stored_as: GroupResource::new("apps", "deployments"),
        stored_version: "v1".into(),
        storage_version_hash: "".into(),
        schema_type: "apps.v1.Deployment".into(),
        deprecation: "".into(),
        strategy: Arc::new(Plain),
        printer: crate::table::NAME_AND_AGE,
    }
}

fn core(plural: &str) -> &'static Resource {
    resources::by_path("", "v1", plural).expect("served")
}

/// The moment at which everything here happens.
const NOW: &str = "2024-01-01T00:00:00Z";

fn by<'a>(manager: &'a str, subresource: &'a str) -> Change<'a> {
    Change { manager, subresource, now: NOW.parse().expect("a time") }
}

fn records(text: &str) -> Vec<Value> {
    let text = text.replace("<time>", NOW);
    text.lines().map(|line| serde_json::from_str(line).expect("a record per line")).collect()
}

fn managed(object: &Value) -> &Value {
    &object["metadata"]["managedFields"]
}

/// The managers with what they own, in short: `one Apply: .spec.replicas`.
fn owners(object: &Value) -> BTreeMap<String, String> {
    let entries = managed(object).as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default();
            let set = FieldSet::from_fields_v1(&entry["fieldsV1"]).expect("readable");
            let name = format!("{} {} {}", text("manager"), text("operation"), text("subresource"));
            (name.trim().to_owned(), set.to_string().trim().replace('\n', " "))
        })
        .collect()
}

#[test]
fn created_objects_have_the_recorded_managers() {
    let mut compared = 0;
    for record in records(include_str!("../../../fixtures/wire/defaulting.jsonl")) {
        let body = &record["body"];
        let text = |field: &str| body[field].as_str().unwrap_or_default();
        let Some(resource) = resources::by_kind(text("apiVersion"), text("kind")) else { continue };
        let decoded = crate::decode::decode(resource, body.to_string().as_bytes());
        let mut object = decoded.expect("decodes").object;
        resource.strategy.default(&mut object);
        track(resource, &Value::Null, &mut object, &by("", ""));
        if record["name"] == "clusterrole" {
            // Its rules are an empty list, which Kubernetes holds to be another thing than none.
            continue;
        }
        assert_eq!(managed(&object), managed(&record["response"]), "{}", record["name"]);
        compared += 1;
    }
    assert!(compared >= 18, "{compared}");
}

/// Carries out a recorded request on the recorded object that was there before.
fn replay(record: &Value, live: &Value) -> Result<Value, Status> {
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let resource = if text("path").contains("/foos/") { custom::foos() } else { deployments() };
    let (path, query) = text("path").split_once('?').expect("a query");
    let subresource = if path.ends_with("/status") { "status" } else { "" };
    let manager = query.split('&').find_map(|pair| pair.strip_prefix("fieldManager="));
    let change = by(manager.expect("a manager"), subresource);
    match PatchType::from_content_type(text("contentType")) {
        Some(kind) => {
            let body = record["body"].to_string();
            let mut new = patch::apply(&resource, kind, live, body.as_bytes())?;
            track(&resource, live, &mut new, &change);
            Ok(new)
        }
        None => {
            let config = serde_json::from_str(text("body")).expect("JSON");
            apply(&resource, live, &config, query.contains("force=true"), &change)
        }
    }
}

#[test]
fn recorded_applies_come_to_the_recorded_objects() {
    let skipped = [
        ("no-manager", "the API server asks for one"),
        ("strategic", "the words of an error that the patch module does not copy"),
    ];
    let mut live = BTreeMap::new();
    let mut compared = 0;
    for record in records(include_str!("../../../fixtures/wire/apply.jsonl")) {
        let name = record["name"].as_str().unwrap_or_default();
        if skipped.iter().any(|(skipped, _)| *skipped == name) {
            continue;
        }
        let path = record["path"].as_str().unwrap_or_default();
        let key = path.split('?').next().unwrap_or_default().trim_end_matches("/status");
        let before = live.get(key).cloned().unwrap_or_default();
        let golden = &record["response"];
        match replay(&record, &before) {
            Ok(object) => {
                assert_eq!(managed(&object), managed(golden), "{name}");
                // The first one has yet to get its defaults.
                if !before.is_null() {
                    let mut want = golden.clone();
                    want["metadata"]["generation"] = object["metadata"]["generation"].clone();
                    assert_eq!(object, want, "{name}");
                }
                live.insert(key.to_owned(), golden.clone());
            }
            Err(status) => assert_eq!(&status.to_value(), golden, "{name}"),
        }
        compared += 1;
    }
    assert_eq!(compared, 11);
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

/// A config map as it is stored once it has been applied to.
fn stored(mut object: Value) -> Value {
    object["metadata"]["uid"] = "u".into();
    crate::decode::check(core("configmaps"), object).expect("decodes").object
}

fn applied(live: &Value, manager: &str, data: Value, force: bool) -> Result<Value, Status> {
    apply(core("configmaps"), live, &map(data), force, &by(manager, "")).map(stored)
}

fn updated(live: &Value, manager: &str, data: Value) -> Value {
    let mut new = live.clone();
    if live.is_null() {
        new = map(Value::Null);
    }
    new["data"] = data;
    track(core("configmaps"), live, &mut new, &by(manager, ""));
    stored(new)
}

#[test]
fn owners_share_lose_and_give_back() {
    let one = applied(&Value::Null, "one", json!({"a": "1", "b": "1"}), false).expect("made");
    assert_eq!(owners(&one), BTreeMap::from([("one Apply".into(), ".data.a .data.b".into())]));
    // The same value is nobody's conflict.
    let both = applied(&one, "two", json!({"a": "1"}), false).expect("shared");
    assert_eq!(owners(&both)["two Apply"], ".data.a");
    let refused = applied(&both, "three", json!({"a": "2", "b": "2"}), false).expect_err("owned");
    assert_eq!(
        refused.message,
        "Apply failed with 3 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b\n\
         conflicts with \"two\":\n- .data.a"
    );
    let forced = applied(&both, "three", json!({"a": "2"}), true).expect("forced");
    assert_eq!(
        owners(&forced),
        BTreeMap::from([
            ("one Apply".into(), ".data.b".into()),
            ("three Apply".into(), ".data.a".into())
        ])
    );
    // What is shared stays until the last one lets go.
    let less = applied(&both, "one", json!({"b": "1"}), false).expect("less");
    assert_eq!(less["data"], json!({"a": "1", "b": "1"}));
    let gone = applied(&less, "two", json!({"c": "1"}), false).expect("another");
    assert_eq!(gone["data"], json!({"b": "1", "c": "1"}));
    let none = applied(&gone, "one", json!({}), false).expect("nothing");
    assert_eq!(none["data"], json!({"c": "1"}));
    let nothing = applied(&none, "two", Value::Null, false).expect("nothing at all");
    assert_eq!(nothing.get("data"), None);
}

#[test]
fn an_update_takes_what_it_changes() {
    let made = updated(&Value::Null, "maker", json!({"a": "1", "b": "1"}));
    assert_eq!(owners(&made)["maker Update"], ".data .data.a .data.b");
    let changed = updated(&made, "changer", json!({"a": "2", "b": "1", "c": "1"}));
    assert_eq!(
        owners(&changed),
        BTreeMap::from([
            ("maker Update".into(), ".data .data.b".into()),
            ("changer Update".into(), ".data.a .data.c".into())
        ])
    );
    assert_eq!(updated(&changed, "nobody", changed["data"].clone()), changed);
    let fewer = updated(&changed, "remover", json!({"a": "2", "b": "1"}));
    assert_eq!(owners(&fewer)["changer Update"], ".data.a");
    assert!(!owners(&fewer).contains_key("remover Update"), "who only removes owns nothing");
    let back = applied(&fewer, "applier", json!({"b": "2"}), false).expect_err("owned by maker");
    assert_eq!(
        back.message,
        "Apply failed with 1 conflict: conflict with \"maker\" using v1: .data.b"
    );
}

#[test]
fn objects_without_managers() {
    let mut live = updated(&Value::Null, "maker", json!({"a": "1"}));
    crate::meta::remove(&mut live["metadata"], "managedFields");
    let changed = updated(&live, "changer", json!({"a": "2"}));
    assert_eq!(managed(&changed), &Value::Null, "nobody keeps account");
    let taken = applied(&changed, "one", json!({"b": "1"}), false).expect("nobody's");
    assert_eq!(
        owners(&taken),
        BTreeMap::from([
            ("before-first-apply Update".into(), ".data .data.a".into()),
            ("one Apply".into(), ".data.b".into())
        ])
    );
    // Sent managers count, unreadable ones do not, one empty one makes all forgotten.
    let mut sent = taken.clone();
    let mine = json!([{"manager": "x", "operation": "Update", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}]);
    for (entries, want) in [
        (mine, "x Update"),
        (json!([{"manager": "x"}]), "one Apply"),
        (json!([]), "one Apply"),
        (Value::Null, "one Apply"),
    ] {
        sent["metadata"]["managedFields"] = entries.clone();
        track(core("configmaps"), &taken, &mut sent, &by("y", ""));
        assert!(owners(&sent).contains_key(want), "{entries}: {:?}", owners(&sent));
    }
    sent["metadata"]["managedFields"] = json!([{}]);
    track(core("configmaps"), &taken, &mut sent, &by("y", ""));
    assert_eq!(managed(&sent), &Value::Null);
    sent["metadata"]["managedFields"] = json!([{}]);
    track(core("configmaps"), &taken, &mut sent, &by("y", "status"));
    assert_eq!(managed(&sent), managed(&taken), "not through a subresource");
}

#[test]
fn what_cannot_be_applied() {
    let refuse = |change: Value| {
        let mut config = map(json!({"a": "1"}));
        json_patch::merge(&mut config, &change);
        apply(core("configmaps"), &Value::Null, &config, false, &by("one", ""))
            .expect_err("refused")
    };
    let cases = [
        (json!({"kind": "Pod"}), 400, "invalid object type: /v1, Kind=Pod"),
        (json!({"apiVersion": null, "kind": null}), 400, "invalid object type: /, Kind="),
        (json!({"metadata": {"managedFields": []}}), 400, "metadata.managedFields must be nil"),
        (
            json!({"nope": 1}),
            500,
            "failed to create typed patch object (/m; /v1, Kind=ConfigMap): .nope: field not declared in schema",
        ),
    ];
    for (change, code, message) in cases {
        let status = refuse(change);
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }
}

#[test]
fn kubectl_goes_over_from_client_side() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let mut live = updated(&Value::Null, "kubectl-client-side-apply", json!({"a": "1", "b": "1"}));
    let last = map(json!({"a": "1", "b": "1"})).to_string();
    live["metadata"]["annotations"] = json!({annotation: last});
    let live = updated(&live, "other", json!({"a": "1", "b": "2"}));
    // kubectl may change what it applied before; `b` is another's since.
    let taken = applied(&live, "kubectl", json!({"a": "3"}), false).expect("its own");
    assert_eq!(taken["data"], json!({"a": "3", "b": "2"}));
    let kept = taken["metadata"]["annotations"][annotation].as_str().expect("an annotation");
    assert_eq!(kept, format!("{}\n", map(json!({"a": "3"}))));
    let refused = applied(&live, "kubectl", json!({"a": "3", "b": "3"}), false).expect_err("owned");
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"other\" using v1: .data.b"
    );
    applied(&live, "somebody", json!({"a": "3"}), false).expect_err("not kubectl");
}

#[test]
fn the_status_is_owned_through_its_own_door() {
    let pods = core("pods");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u"},
        "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}});
    let mut made = pod.clone();
    track(pods, &Value::Null, &mut made, &by("maker", ""));
    assert!(!owners(&made)["maker Update"].contains(".status"));
    let mut new = made.clone();
    new["status"] =
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    new["spec"]["nodeName"] = "n".into();
    new["metadata"]["labels"] = json!({"l": "1"});
    new["metadata"]["ownerReferences"] = json!([{"uid": "x"}]);
    track(pods, &made, &mut new, &by("node", "status"));
    assert_eq!(
        owners(&new)["node Update status"],
        ".metadata.labels .metadata.labels.l .status.conditions .status.phase \
         .status.conditions[type=\"Ready\"] .status.conditions[type=\"Ready\"].status \
         .status.conditions[type=\"Ready\"].type"
    );
    let config = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "status": {"phase": "Failed"}});
    let refused = apply(pods, &new, &config, false, &by("judge", "status")).expect_err("owned");
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"node\" with subresource \"status\" using v1: .status.phase"
    );
}

#[test]
fn a_resize_owns_resources_only() {
    let pods = core("pods");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let mut made = pod;
    track(pods, &Value::Null, &mut made, &by("maker", ""));
    let mut new = made.clone();
    new["metadata"]["labels"] = json!({"l": "1"});
    new["spec"]["containers"][0]["image"] = "j".into();
    new["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
    track(pods, &made, &mut new, &by("sizer", "resize"));
    assert_eq!(
        owners(&new)["sizer Update resize"],
        ".spec.containers[name=\"c\"].resources.limits .spec.containers[name=\"c\"].resources.limits.cpu"
    );
    assert!(owners(&new)["maker Update"].contains(".image"));
}

#[test]
fn events_are_owned_in_the_version_in_which_they_are_written() {
    let (old, new) = (core("events"), resources::by_path("events.k8s.io", "v1", "events"));
    let new = new.expect("served");
    let mut made = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": "e"}, "note": "first", "reason": "Why"});
    track(new, &Value::Null, &mut made, &by("maker", ""));
    let live = old.strategy.from_stored(new.strategy.to_stored(made));
    let mut changed = live.clone();
    changed["message"] = "second".into();
    track(old, &live, &mut changed, &by("changer", ""));
    let owners = owners(&changed);
    assert_eq!(owners["changer Update"], ".message");
    assert_eq!(owners["maker Update"], ".reason", "the note is the message");
}

/// Prints what keeping account costs; run it in release with `--ignored --nocapture`.
#[test]
#[ignore = "measures, asserts nothing"]
fn cost() {
    let pods = core("pods");
    let body = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "d", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx",
            "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}]}});
    let mut pod = crate::decode::check(pods, body.clone()).expect("decodes").object;
    pods.strategy.default(&mut pod);
    let mut stored = pod.clone();
    track(pods, &Value::Null, &mut stored, &by("maker", ""));
    stored["metadata"]["uid"] = "u".into();
    let mut running = stored.clone();
    running["status"] = json!({"phase": "Running", "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}]});
    let measure = |name: &str, run: &dyn Fn() -> Value| {
        const ROUNDS: u32 = 20_000;
        let start = std::time::Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(run());
        }
        eprintln!("{name}: {:?}", start.elapsed() / ROUNDS);
    };
    measure("a copy of the pod", &|| pod.clone());
    measure("its defaults, once more", &|| {
        let mut pod = pod.clone();
        pods.strategy.default(&mut pod);
        pod
    });
    measure("track: create", &|| {
        let mut pod = pod.clone();
        track(pods, &Value::Null, &mut pod, &by("maker", ""));
        pod
    });
    measure("track: status", &|| {
        let mut pod = running.clone();
        track(pods, &stored, &mut pod, &by("node", "status"));
        pod
    });
    measure("track: nothing changed", &|| {
        let mut pod = stored.clone();
        track(pods, &stored, &mut pod, &by("other", ""));
        pod
    });
    measure("apply", &|| apply(pods, &stored, &body, true, &by("one", "")).expect("applies"));
}

mod laws;
