//! Whole requests against answers recorded from a real v1.36 API server.

use serde_json::{Value, json};

use super::*;
use crate::apply::{self, Change};
use crate::decode::{check, decode};
use crate::patch::{self, PatchType};
use crate::resources::by_path;

fn records(file: &str) -> Vec<Value> {
    file.lines().map(|line| serde_json::from_str(line).expect("a record per line")).collect()
}

fn row_of(path: &str) -> &'static Resource {
    served(path).unwrap_or_else(|| panic!("{path} is served"))
}

/// The recorded creations of the kinds that the table has.
fn defaulted() -> Vec<Value> {
    let mut all = records(include_str!("../../../fixtures/wire/defaulting.jsonl"));
    all.retain(|record| served(record["path"].as_str().unwrap_or_default()).is_some());
    all
}

fn served(path: &str) -> Option<&'static std::sync::Arc<Resource>> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = if parts[0] == "api" {
        ("", parts[1], &parts[2..])
    } else {
        (parts[1], parts[2], &parts[3..])
    };
    let plural = if rest[0] == "namespaces" && rest.len() > 2 { rest[2] } else { rest[0] };
    by_path(group, version, plural)
}

/// Stands for the recorded `<uid>`, which could not be the value of a label.
const UID: &str = "uid";

fn creation(resource: &Resource) -> Creation<'static> {
    Creation {
        namespace: resource.namespaced().then_some("gold"),
        uid: UID,
        now: Timestamp::UNIX_EPOCH,
        random: 7,
    }
}

fn create(resource: &Resource, body: &Value) -> Result<Value, Status> {
    let text = match body {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut object = decode(resource, text.as_bytes())?.object;
    resource.strategy.default(&mut object);
    let change = Change { manager: "", subresource: "", now: Timestamp::UNIX_EPOCH };
    apply::track(resource, &Value::Null, &mut object, &change);
    before_create(resource, &mut object, &creation(resource))?;
    Ok(object)
}

/// What a real server adds that comes from elsewhere than the object's strategy, so that the rest
/// must be equal. Each difference is intended:
fn strip(value: &mut Value) {
    let cluster_role = value["kind"] == "ClusterRole";
    let Some(metadata) = value["metadata"].as_object_mut() else { return };
    for entry in
        metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten()
    {
        entry.as_object_mut().map(|entry| entry.remove("time"));
    }
    if cluster_role {
        // Recorded with an empty list of rules, which Kubernetes holds to be another than none.
        metadata.remove("managedFields");
    }
    // The version comes with storing.
    metadata.remove("resourceVersion");
    metadata.remove("creationTimestamp");
    // LimitRanger wrote this and the resources it names; no LimitRange exists here.
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("kubernetes.io/limit-ranger");
    }
    if value["kind"] == "Event" {
        // Recorded as "<time>".
        value.as_object_mut().map(|event| event.remove("eventTime"));
    }
    if value["kind"] == "PersistentVolume" {
        // Recorded as "<time>".
        value["status"].as_object_mut().map(|status| status.remove("lastPhaseTransitionTime"));
    }
    if value["kind"] == "Service" {
        // Allocated by the API server between preparation and storing.
        if let Some(spec) = value["spec"].as_object_mut() {
            if spec.get("clusterIP").is_some_and(|ip| ip != "None") {
                spec.remove("clusterIP");
                spec.remove("clusterIPs");
            }
            for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                port.as_object_mut().map(|port| port.remove("nodePort"));
            }
        }
    }
    if value["kind"] == "Pod" {
        // The token volume is made by ServiceAccount admission, not built yet.
        let token =
            |item: &Value| item["name"].as_str().is_some_and(|n| n.starts_with("kube-api-access-"));
        let Some(spec) = value.get_mut("spec") else { return };
        remove_items(spec, "volumes", token);
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
            {
                remove_items(container, "volumeMounts", token);
            }
        }
    }
}

fn remove_items(map: &mut Value, field: &str, gone: impl Fn(&Value) -> bool) {
    let Some(map) = map.as_object_mut() else { return };
    if let Some(list) = map.get_mut(field).and_then(Value::as_array_mut) {
        list.retain(|item| !gone(item));
        if list.is_empty() {
            map.remove(field);
        }
    }
}

#[test]
fn created_objects_match_recorded_ones() {
    let all = defaulted();
    assert!(all.len() >= 18);
    for record in all {
        let resource = row_of(record["path"].as_str().expect("path"));
        let golden = record["response"].to_string().replace("<uid>", UID);
        let mut golden: Value = serde_json::from_str(&golden).expect("still JSON");
        let mut ours = create(resource, &record["body"]).expect("valid");
        strip(&mut ours);
        strip(&mut golden);
        assert_eq!(ours, golden, "{}", record["name"]);
        if let Some(warning) = record["headers"]["Warning"].as_str() {
            assert_eq!(warning, format!("299 - \"{}\"", resource.deprecation));
        } else {
            assert_eq!(resource.deprecation, "");
        }
    }
}

/// Defaulting what was defaulted changes nothing.
#[test]
fn defaulting_is_idempotent_and_valid() {
    for record in defaulted() {
        let resource = row_of(record["path"].as_str().expect("path"));
        let mut object = create(resource, &record["body"]).expect("valid");
        let before = object.clone();
        resource.strategy.default(&mut object);
        assert_eq!(object, before, "{}", record["name"]);
        let again = check(resource, object.clone()).expect("decodes");
        assert_eq!(again.problems, Vec::<String>::new());
        let mut updated = object.clone();
        before_update(resource, &mut updated, &object).expect("an update that changes nothing");
        assert_eq!(updated, object, "{}", record["name"]);
        before_status_update(resource, &mut updated, &object)
            .expect("a status update that changes nothing");
        assert_eq!(updated, object, "{}", record["name"]);
    }
}

/// Carries out a recorded request as far as this crate is concerned.
fn replay(record: &Value, stored: impl Fn(&Resource) -> Value) -> Result<Value, Status> {
    let path = record["path"].as_str().expect("path");
    let resource = row_of(path);
    let body = match &record["body"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match record["method"].as_str().expect("method") {
        "POST" => {
            let decoded = decode(resource, body.as_bytes())?;
            if path.contains("fieldValidation=Strict") {
                decoded.strict(resource)?;
            }
            let mut object = decoded.object;
            before_create(resource, &mut object, &creation(resource))?;
            Ok(object)
        }
        "PUT" => {
            let mut object = decode(resource, body.as_bytes())?.object;
            before_update(resource, &mut object, &stored(resource))?;
            Ok(object)
        }
        "PATCH" => {
            let kind =
                PatchType::from_content_type(record["contentType"].as_str().unwrap_or_default())
                    .ok_or_else(Status::unsupported_patch_type)?;
            let old = stored(resource);
            let mut object =
                check(resource, patch::apply(resource, kind, &old, body.as_bytes())?)?.object;
            before_update(resource, &mut object, &old)?;
            Ok(object)
        }
        method => panic!("{method} is not replayed"),
    }
}

/// Every recorded refusal whose reason lies in the object or the patch.
#[test]
fn refusals_match_recorded_ones() {
    let defaulted = defaulted();
    let stored = |resource: &Resource| {
        let record = defaulted
            .iter()
            .find(|r| {
                r["response"]["kind"] == *resource.kind && r["body"]["metadata"]["name"] == "min"
            })
            .expect("a stored object");
        create(resource, &record["body"])
            .map(|mut object| {
                object["metadata"]["resourceVersion"] = "5".into();
                if resource.kind == "Service" {
                    object["spec"]["clusterIP"] = "10.96.0.9".into();
                    object["spec"]["clusterIPs"] = json!(["10.96.0.9"]);
                }
                object
            })
            .expect("valid")
    };
    let names = [
        "ns-mismatch",
        "kind-mismatch",
        "version-mismatch",
        "no-kind",
        "bad-json",
        "empty",
        "bad-type",
        "name-bad",
        "no-name",
        "no-containers",
        "many-causes",
        "unknown-strict",
        "duplicate-strict",
        "patch-type",
        "put-name-mismatch",
        "immutable-service-ip",
        "immutable-pod",
        "immutable-secret-type",
        "immutable-selector",
        "json-patch-bad-path",
        "json-patch-test",
        "json-patch-malformed",
    ];
    let all = records(include_str!("../../../fixtures/wire/errors.jsonl"));
    for name in names {
        let record =
            all.iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("{name} was recorded"));
        let ours = replay(record, stored).expect_err(name).to_value();
        let mut golden = record["response"].clone();
        soften(name, &mut golden);
        assert_eq!(ours, golden, "{name}");
    }
}

/// Where Kubernetes' words show the insides of its own program, ours end before.
fn soften(name: &str, golden: &mut Value) {
    let cut = |text: &mut Value, at: &str| {
        if let Some(short) = text.as_str().and_then(|t| t.split(at).next()).map(str::to_owned) {
            *text = short.into();
        }
    };
    match name {
        // The path of a Go source file.
        "version-mismatch" => cut(&mut golden["message"], " \"pkg/"),
        // A diff of Go structures follows.
        "immutable-pod" => {
            cut(&mut golden["message"], "\n@@");
            cut(&mut golden["details"]["causes"][0]["message"], "\n@@");
        }
        _ => {}
    }
}

#[test]
fn status_words_match_recorded_ones() {
    use crate::resources::GroupResource;
    let all = records(include_str!("../../../fixtures/wire/errors.jsonl"));
    let golden =
        |name: &str| all.iter().find(|r| r["name"] == name).expect(name)["response"].clone();
    let pods = GroupResource::new("", "pods");
    let maps = GroupResource::new("", "configmaps");
    let kind = by_path("", "v1", "configmaps").expect("served").group_kind();
    let list = "application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    let cases = [
        ("missing", Status::not_found(&pods, "none")),
        ("exists", Status::already_exists(&pods, "min")),
        ("no-namespace", Status::not_found(&GroupResource::new("", "namespaces"), "none")),
        ("conflict", Status::modified(&maps, "min")),
        ("uid-precondition", Status::uid_conflict(&kind, "min", "nope", "<uid>")),
        ("method", Status::method_not_allowed()),
        ("not-acceptable", Status::not_acceptable(&list.split(", ").collect::<Vec<_>>())),
        (
            "unsupported-media",
            Status::unsupported_media_type(&[
                "application/json",
                "application/yaml",
                "application/vnd.kubernetes.protobuf",
            ]),
        ),
        ("rv-future", Status::too_large_resource_version(999_999_999, 275)),
        (
            "forbidden",
            Status::forbidden(
                &pods,
                "",
                "User \"nobody\" cannot list resource \"pods\" in API group \"\" in the namespace \"gold\"",
            ),
        ),
        ("forbidden-nonresource", Status::forbidden_path("nobody", "get", "/metrics")),
        ("pod-in-terminating-ns", Status::namespace_terminating(&pods, "x", "min")),
    ];
    for (name, status) in cases {
        assert_eq!(status.to_value(), golden(name), "{name}");
    }
    assert_eq!(Status::deleted(&maps, "min", "<uid>"), golden("delete-ok"));
    let bad = crate::selector::LabelSelector::parse("a===b").expect_err("malformed");
    assert_eq!(Status::bad_request(bad.to_string()).to_value(), golden("label-bad"));
    let pod_row = by_path("", "v1", "pods").expect("served");
    let bad = crate::selector::FieldSelector::parse_for(pod_row, "spec.nope=x")
        .expect_err("not selectable");
    assert_eq!(Status::bad_request(bad.to_string()).to_value(), golden("field-bad"));
}

#[test]
fn generated_names_and_generations() {
    let pods = by_path("", "v1", "pods").expect("served");
    let body = json!({"metadata": {"generateName": "web-", "uid": "mine", "resourceVersion": "9", "generation": 7},
        "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Running"}});
    let old = create(pods, &body).expect("valid");
    assert!(
        old["metadata"]["name"]
            .as_str()
            .is_some_and(|name| name.len() == 9 && name.starts_with("web-"))
    );
    assert_eq!(old["metadata"]["uid"], UID);
    assert_eq!(old["metadata"]["generation"], 1);
    assert!(old["metadata"].get("resourceVersion").is_none());
    assert_eq!(old["status"]["phase"], "Pending");
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    new["status"]["phase"] = "Failed".into();
    before_update(pods, &mut new, &old).expect("valid");
    assert_eq!(new["metadata"]["generation"], 1, "labels do not count");
    assert_eq!(new["status"], old["status"], "status has its own path");
    new["spec"]["containers"][0]["image"] = "j".into();
    before_update(pods, &mut new, &old).expect("an image may change");
    assert_eq!(new["metadata"]["generation"], 2);
    let mut status = old.clone();
    status["status"]["phase"] = "Running".into();
    status["spec"]["containers"][0]["image"] = "evil".into();
    before_status_update(pods, &mut status, &old).expect("valid");
    assert_eq!((&status["status"]["phase"], &status["spec"]), (&json!("Running"), &old["spec"]));
    status["metadata"]["uid"] = "other".into();
    assert_eq!(before_status_update(pods, &mut status, &old).expect_err("uid").code, 409);
}

#[test]
fn finalizers_cannot_be_added_while_deleting() {
    let maps = by_path("", "v1", "configmaps").expect("served");
    let mut old =
        create(maps, &json!({"metadata": {"name": "a", "finalizers": ["x.io/a"]}})).expect("valid");
    old["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!(["x.io/a", "x.io/b"]);
    let error = before_update(maps, &mut new, &old).expect_err("added");
    assert!(
        error.message.contains("no new finalizers can be added if the object is being deleted"),
        "{error}"
    );
    new["metadata"]["finalizers"] = json!([]);
    new["metadata"]["deletionTimestamp"] = Value::Null;
    before_update(maps, &mut new, &old).expect("removed");
    assert_eq!(new["metadata"]["deletionTimestamp"], "2024-01-01T00:00:00Z");
}
