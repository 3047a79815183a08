//! What must hold for any input. A check returns when it does, and panics when it does not; that the
//! code under it never panics by itself is part of every law.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::apply::{self, Change};
use api::cel::{Device, Selector};
use api::custom;
use api::decode;
use api::lifecycle::{self, Creation};
use api::openapi::Source;
use api::patch::{self, PatchType};
use api::protobuf;
use api::quantity::Quantity;
use api::resources::{self, Resource};
use api::selector::{FieldSelector, LabelSelector};
use serde_json::{Value, json};

/// Kinds with all that bodies are made of: keyed and plain lists, maps, quantities, times, unions.
const KINDS: &[(&str, &str, &str)] = &[
    ("", "v1", "pods"),
    ("", "v1", "services"),
    ("", "v1", "configmaps"),
    ("apps", "v1", "deployments"),
    ("batch", "v1", "cronjobs"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
];

/// A label selector that can be read is shown in a form that means the same.
pub(crate) fn label_selector(text: &str) {
    let Ok(selector) = LabelSelector::parse(text) else { return };
    let shown = selector.to_string();
    let again = LabelSelector::parse(&shown).expect("what is shown can be read");
    for (key, value) in [("a", "b"), ("a", ""), ("b", "1"), ("a.b/c", "x")] {
        let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(selector.matches(&labels), again.matches(&labels), "{text:?} as {shown:?}");
    }
    assert_eq!(shown, again.to_string());
}

/// So is a field selector.
pub(crate) fn field_selector(text: &str) {
    let Ok(selector) = FieldSelector::parse(text) else { return };
    let shown = selector.to_string();
    let again = FieldSelector::parse(&shown).expect("what is shown can be read");
    assert_eq!(selector.terms(), again.terms(), "{text:?} as {shown:?}");
    let pods = resources::by_path("", "v1", "pods").expect("served");
    let _ = FieldSelector::parse_for(pods, text).map(|selector| selector.matches(pods, &sample()));
}

/// A quantity that can be read is shown in one canonical form, and has the same size in it.
pub(crate) fn quantity(text: &str) {
    let Ok(quantity) = text.parse::<Quantity>() else { return };
    let shown = quantity.to_string();
    let again: Quantity = shown.parse().expect("what is shown can be read");
    assert!(again == quantity, "{text:?} as {shown:?}");
    assert_eq!(again.to_string(), shown);
    assert_eq!((quantity.value(), quantity.milli_value()), (again.value(), again.milli_value()));
    let _ = (quantity + again, quantity - again, quantity.cmp(&again));
}

/// An expression that compiles says one thing of a device, however often it is asked, and the opposite when
/// it is negated.
pub(crate) fn cel(text: &str) {
    let Ok(selector) = Selector::compile(text) else { return };
    let device = json!({"name": "d",
        "attributes": {"a": {"string": "x"}, "b": {"int": 1}, "c": {"version": "1.2.3"}},
        "capacity": {"memory": {"value": "1Gi"}}});
    let device = serde_json::from_value(device).expect("a device");
    let device = Device::read("d.io", &device).expect("its values can be read");
    let said = selector.matches(&device);
    assert_eq!(said, selector.matches(&device), "{text:?}");
    // A comment would swallow the bracket; one level deeper may be too deep.
    if let Ok(negated) = Selector::compile(&format!("!({text}\n)"))
        && let (Ok(said), Ok(negated)) = (said, negated.matches(&device))
    {
        assert_eq!(said, !negated, "{text:?}");
    }
}

/// A body that is accepted is clean: reading it again finds nothing more to do.
pub(crate) fn body(bytes: &[u8]) {
    for (group, version, plural) in KINDS {
        let row = resources::by_path(group, version, plural).expect("served");
        let Ok(decoded) = decode::decode(row, bytes) else { continue };
        let text = decoded.object.to_string();
        let again = decode::decode(row, text.as_bytes()).expect("what was cleaned can be read");
        assert_eq!(again.object, decoded.object);
        assert_eq!(again.problems, [""; 0]);
        created(row, decoded.object);
    }
}

/// What is created may be replaced with itself, and is not changed by that.
fn created(row: &Resource, mut object: Value) {
    let namespace = row.namespaced().then_some("default");
    let creation = Creation { namespace, uid: "u", now: jiff::Timestamp::UNIX_EPOCH, random: 7 };
    if lifecycle::before_create(row, &mut object, &creation).is_err() {
        return;
    }
    let mut new = object.clone();
    lifecycle::before_update(row, &mut new, &object).expect("no change is a valid change");
    assert_eq!(new, object);
    if let Some(message) = protobuf::write(&object) {
        let read = decode::from_protobuf(&message, ("", "")).expect("what was written can be read");
        let read = decode::check(row, read).expect("it is of that kind").object;
        let mut read = read;
        row.strategy.default(&mut read);
        assert_eq!(read, object);
    }
}

/// A body in protobuf that can be read is written and read again as the same object.
pub(crate) fn protobuf_body(bytes: &[u8]) {
    let Ok(object) = decode::from_protobuf(bytes, ("", "")) else { return };
    let Some(written) = protobuf::write(&object) else { return };
    let again = decode::from_protobuf(&written, ("", "")).expect("what was written can be read");
    assert_eq!(again, object);
    body(object.to_string().as_bytes());
}

/// A patch is applied or refused, and a merge patch says what is, not what to do.
pub(crate) fn patch(bytes: &[u8]) {
    let pods = resources::by_path("", "v1", "pods").expect("served");
    for patch_type in [PatchType::Json, PatchType::Merge, PatchType::Strategic] {
        let _ = patch::problems(patch_type, bytes);
        let Ok(once) = patch::apply(pods, patch_type, &sample(), bytes) else { continue };
        if patch_type == PatchType::Merge {
            let twice = patch::apply(pods, patch_type, &once, bytes).expect("it did once");
            assert_eq!(once, twice);
        }
        let _ = decode::check(pods, once);
    }
}

/// Applying a configuration again changes nothing; another manager's forced configuration takes
/// what it names and nothing else from the first.
pub(crate) fn server_side_apply(one: &Value, two: &Value) {
    let pods = resources::by_path("", "v1", "pods").expect("served");
    let kept = |mut object: Value| {
        object["metadata"]["uid"] = "u".into();
        let mut object = decode::check(pods, object).ok()?.object;
        pods.strategy.default(&mut object);
        Some(object)
    };
    let by = |manager| Change { manager, subresource: "", now: jiff::Timestamp::UNIX_EPOCH };
    let put = |live: &Value, config: &Value, manager| {
        apply::apply(pods, live, config, true, &by(manager)).ok().and_then(&kept)
    };
    let Some(first) = put(&Value::Null, one, "one") else { return };
    // A configuration that says nothing leaves no trace of who applied it.
    if first["metadata"]["managedFields"].is_null() {
        return;
    }
    assert_eq!(put(&first, one, "one").as_ref(), Some(&first), "the first again");
    let Some(second) = put(&first, two, "two") else { return };
    assert_eq!(put(&second, two, "two").as_ref(), Some(&second), "the second again");
    // The first takes back what it wants: now each of its fields is as it says.
    let Some(third) = put(&second, one, "one") else { return };
    assert_eq!(put(&third, one, "one").as_ref(), Some(&third), "the first after the second");
}

/// A schema that is accepted is published in documents that can be read, in which every reference
/// resolves; and objects of it are read, pruned and defaulted once and for all.
pub(crate) fn schema(schema: &Value, object: &[u8]) {
    let definitions = resources::by_path("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let definitions = definitions.expect("served");
    let definition = json!({
        "metadata": {"name": "foos.gold.io"},
        "spec": {"group": "gold.io", "scope": "Namespaced",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}]}});
    let Ok(decoded) = decode::check(definitions, definition) else { return };
    let mut definition = decoded.object;
    let creation =
        Creation { namespace: None, uid: "u", now: jiff::Timestamp::UNIX_EPOCH, random: 7 };
    if lifecycle::before_create(definitions, &mut definition, &creation).is_err() {
        return;
    }
    let rows: Vec<Arc<Resource>> = custom::rows(&definition).into_iter().map(Arc::new).collect();
    assert_eq!(rows.len(), 1, "what is accepted is served: {definition}");
    let written = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let custom = |_: &Resource| Some(written.clone());
    let source = Source { rows: &rows, custom: &custom };
    let mut v3 = Vec::new();
    source.write_v3("gold.io", "v1", &mut v3).expect("memory takes it");
    let mut v2 = Vec::new();
    source.write_v2(&mut v2).expect("memory takes it");
    for document in [v3, v2] {
        let document: Value = serde_json::from_slice(&document).expect("documents are JSON");
        check_references(&document, &document);
    }
    let _ = source.v2_protobuf();
    let row = &rows[0];
    let Ok(mut object) = serde_json::from_slice::<Value>(object) else { return };
    if let Some(object) = object.as_object_mut() {
        // Nothing is looked at in what does not say that it is one.
        object.insert("apiVersion".to_owned(), "gold.io/v1".into());
        object.insert("kind".to_owned(), "Foo".into());
    }
    let Ok(decoded) = decode::decode(row, object.to_string().as_bytes()) else { return };
    let again = decode::decode(row, decoded.object.to_string().as_bytes());
    assert_eq!(again.expect("what was cleaned can be read").object, decoded.object);
    created(row, decoded.object);
}

fn check_references(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("a reference within");
                assert!(document.pointer(pointer).is_some(), "{reference} is nowhere");
            }
            fields.values().for_each(|field| check_references(document, field));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(document, item)),
        _ => {}
    }
}

/// A pod with something of everything.
fn sample() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "labels": {"a": "b"},
            "finalizers": ["a/b"]},
        "spec": {"containers": [
            {"name": "a", "image": "x", "env": [{"name": "A", "value": "1"}],
             "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"name": "b", "image": "y", "command": ["c"]}],
            "tolerations": [{"key": "k", "operator": "Exists"}]}})
}
