use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::plugins::fixtures::{claimant, put};
use crate::pod::PodUid;
use crate::volumes::objects::{Object, Stored};

/// All that a test says there is.
fn known(objects: &Value) -> Volumes {
    let mut volumes = Volumes::default();
    objects.as_array().unwrap().iter().for_each(|object| put(&mut volumes, object));
    volumes
}

fn merged(mut base: Value, more: Value) -> Value {
    for (field, value) in more.as_object().unwrap() {
        base[field] = value.clone();
    }
    base
}

/// A claim of 1Gi of the class `local`.
fn claim(name: &str, spec: Value) -> Value {
    let base = json!({"storageClassName": "local", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}});
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": merged(base, spec),
        "metadata": {"name": name, "namespace": "n", "uid": format!("uid-{name}")}})
}

/// A bound claim.
fn bound(name: &str, volume: &str) -> Value {
    let mut claim = claim(name, json!({"volumeName": volume}));
    claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
    claim
}

/// A free volume of 2Gi of the class `local` on nodes labelled `disk: fast`.
fn volume(name: &str, spec: Value) -> Value {
    let expression = json!({"key": "disk", "operator": "In", "values": ["fast"]});
    let base = json!({"storageClassName": "local", "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"], "nodeAffinity": {"required": {
            "nodeSelectorTerms": [{"matchExpressions": [expression]}]}}});
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "spec": merged(base, spec),
        "metadata": {"name": name, "labels": {"tier": "a"}}, "status": {"phase": "Available"}})
}

fn class(name: &str, provisioner: &str, more: Value) -> Value {
    let base = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": name}, "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer"});
    merged(base, more)
}

fn static_class() -> Value {
    class("local", "kubernetes.io/no-provisioner", json!({}))
}

/// The plan on the node `n1` with these labels, or the reasons against it.
fn plan(volumes: &Volumes, names: &[&str], labels: Value) -> Result<Plan, String> {
    let labels: Labels = serde_json::from_value(labels).unwrap();
    let pod = claimant("p", names);
    let sorted = claims(&pod, volumes)?;
    find(&sorted, "n1", &labels, volumes).map_err(|reasons| reasons.join(", "))
}

fn takes(pairs: &[(&str, &str)]) -> Plan {
    let pair = |(claim, volume): &(&str, &str)| (format!("n/{claim}"), (*volume).to_owned());
    Plan { takes: pairs.iter().map(pair).collect(), ..Plan::default() }
}

fn provisions(names: &[&str]) -> Plan {
    let provisions = names.iter().map(|name| format!("n/{name}")).collect();
    Plan { provisions, ..Plan::default() }
}

#[test]
fn what_keeps_a_pod_from_every_node() {
    let mut lost = bound("c", "v");
    lost["status"]["phase"] = json!("Lost");
    let mut deleting = bound("c", "v");
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let immediate = class("now", "x", json!({"volumeBindingMode": "Immediate"}));
    for (objects, why) in [
        (json!([]), "persistentvolumeclaim \"c\" not found"),
        (json!([lost]), "persistentvolumeclaim \"c\" bound to non-existent persistentvolume \"v\""),
        (json!([deleting]), "persistentvolumeclaim \"c\" is being deleted"),
        (json!([claim("c", json!({"storageClassName": "now"})), immediate]), IMMEDIATE),
        (json!([claim("c", json!({"storageClassName": "none"}))]), IMMEDIATE),
        (json!([claim("c", json!({"storageClassName": ""}))]), IMMEDIATE),
        // Somebody chose a volume; the two are not bound yet.
        (json!([claim("c", json!({"volumeName": "v"})), static_class()]), IMMEDIATE),
    ] {
        let told = plan(&known(&objects), &["c"], json!({})).unwrap_err();
        assert_eq!(told, why, "{objects}");
    }
    let mut ephemeral = claimant("p", &[]);
    ephemeral.claims = Box::new([crate::volumes::Claim { id: "n/p-e".into(), ephemeral: true }]);
    assert_eq!(
        claims(&ephemeral, &Volumes::default()).unwrap_err(),
        "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-e\""
    );
    let somebodys = known(&json!([claim("p-e", json!({}))]));
    assert_eq!(
        claims(&ephemeral, &somebodys).unwrap_err(),
        "PVC n/p-e was not created for pod n/p (pod is not owner)"
    );
}

#[test]
fn bound_volumes_must_be_within_reach() {
    let there = known(&json!([bound("c", "v"), volume("v", json!({}))]));
    assert_eq!(plan(&there, &["c"], json!({"disk": "fast"})), Ok(Plan::default()));
    let far = plan(&there, &["c"], json!({"disk": "slow"})).unwrap_err();
    assert_eq!(far, AFFINITY_CONFLICT);
    let gone = known(&json!([bound("c", "v")]));
    assert_eq!(plan(&gone, &["c"], json!({})).unwrap_err(), NOT_THERE);
}

#[test]
fn the_smallest_volume_that_suits() {
    let sized = |name: &str, size: &str, more: Value| {
        volume(name, merged(json!({"capacity": {"storage": size}}), more))
    };
    let volumes = [
        sized("big", "5Gi", json!({})),
        volume("fits", json!({})),
        sized("small", "1Mi", json!({})),
        sized("other", "1Gi", json!({"storageClassName": "x"})),
        sized("block", "1Gi", json!({"volumeMode": "Block"})),
        sized("taken", "1Gi", json!({"claimRef": {"name": "d", "namespace": "n", "uid": "v"}})),
        sized("quick", "1Gi", json!({"volumeAttributesClassName": "gold"})),
    ];
    for (change, disk, wanted) in [
        (json!({}), "fast", Some("fits")),
        (json!({}), "slow", None),
        (json!({"resources": {"requests": {"storage": "3Gi"}}}), "fast", Some("big")),
        (json!({"resources": {"requests": {"storage": "9Gi"}}}), "fast", None),
        (json!({"accessModes": ["ReadWriteMany"]}), "fast", None),
        (json!({"volumeMode": "Block"}), "fast", Some("block")),
        (json!({"volumeAttributesClassName": "gold"}), "fast", Some("quick")),
        (json!({"selector": {"matchLabels": {"tier": "a"}}}), "fast", Some("fits")),
        (json!({"selector": {"matchLabels": {"tier": "b"}}}), "fast", None),
    ] {
        let mut objects = vec![static_class(), claim("c", change.clone())];
        objects.extend(volumes.iter().cloned());
        let found = plan(&known(&json!(objects)), &["c"], json!({"disk": disk}));
        let expected = match wanted {
            Some(volume) => Ok(takes(&[("c", volume)])),
            None => Err(NO_VOLUME.to_owned()),
        };
        assert_eq!(found, expected, "{change} on {disk}");
    }
}

#[test]
fn no_volume_is_taken_twice() {
    let large = claim("large", json!({"resources": {"requests": {"storage": "2Gi"}}}));
    let volumes = known(&json!([
        static_class(),
        large,
        claim("small", json!({})),
        volume("a", json!({})),
        volume("b", json!({"capacity": {"storage": "5Gi"}}))
    ]));
    let labels = json!({"disk": "fast"});
    let both = plan(&volumes, &["large", "small"], labels.clone());
    // The smaller claim chooses first.
    assert_eq!(both, Ok(takes(&[("small", "a"), ("large", "b")])));

    // What was decided for a pod is not there for the next.
    let mut volumes = volumes;
    let uid = PodUid("first".into());
    volumes.reserve(&uid, &Arc::from("n1"), takes(&[("other", "a")]));
    assert_eq!(plan(&volumes, &["small"], labels.clone()), Ok(takes(&[("small", "b")])));
    volumes.release(&uid);
    assert_eq!(plan(&volumes, &["small"], labels.clone()), Ok(takes(&[("small", "a")])));
    // Until it shows in the volume, and then that counts.
    volumes.reserve(&uid, &Arc::from("n1"), takes(&[("other", "a")]));
    volumes.settle(&uid);
    assert_eq!(volumes.taken_for("a"), Some("n/other"));
    let claimed = volume("a", json!({"claimRef": {"name": "other", "namespace": "n", "uid": "x"}}));
    let claimed: k8s_openapi::api::core::v1::PersistentVolume =
        serde_json::from_value(claimed).unwrap();
    volumes.set("a".to_owned(), claimed.reduce());
    assert_eq!(volumes.taken_for("a"), None);
    assert_eq!(plan(&volumes, &["small"], labels), Ok(takes(&[("small", "b")])));
}

#[test]
fn a_volume_that_is_meant_for_the_claim() {
    for (reference, meant) in [
        (json!({"name": "c", "namespace": "n"}), true),
        (json!({"name": "c", "namespace": "n", "uid": "uid-c"}), true),
        (json!({"name": "c", "namespace": "n", "uid": "before"}), false),
        (json!({"name": "c", "namespace": "m"}), false),
    ] {
        let volumes = known(&json!([
            static_class(),
            claim("c", json!({})),
            volume("v", json!({"claimRef": reference}))
        ]));
        let found = plan(&volumes, &["c"], json!({"disk": "fast"}));
        let awaits = Plan { awaits: vec!["n/c".to_owned()], ..Plan::default() };
        let expected = if meant { Ok(awaits) } else { Err(NO_VOLUME.to_owned()) };
        assert_eq!(found, expected, "{reference}");
        assert_eq!(plan(&volumes, &["c"], json!({})), Err(NO_VOLUME.to_owned()), "out of reach");
    }
}

#[test]
fn volumes_are_made_where_the_class_allows_it() {
    let zones = json!({"allowedTopologies": [{"matchLabelExpressions": [
        {"key": "zone", "values": ["a", "b"]}, {"key": "rack", "values": ["1"]}]}]});
    let volumes =
        known(&json!([class("local", "example.com/maker", zones), claim("c", json!({}))]));
    for (labels, made) in [
        (json!({"zone": "a", "rack": "1"}), true),
        (json!({"zone": "b", "rack": "1"}), true),
        (json!({"zone": "c", "rack": "1"}), false),
        (json!({"zone": "a"}), false),
    ] {
        let expected = if made { Ok(provisions(&["c"])) } else { Err(NO_VOLUME.to_owned()) };
        assert_eq!(plan(&volumes, &["c"], labels.clone()), expected, "{labels}");
    }
    // A node that is chosen already is the only one.
    let anywhere = class("local", "example.com/maker", json!({}));
    let mut chosen = claim("c", json!({}));
    for (node, made) in [("n1", true), ("n2", false)] {
        chosen["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": node});
        let volumes = known(&json!([anywhere, chosen]));
        let expected = if made { Ok(provisions(&["c"])) } else { Err(NO_VOLUME.to_owned()) };
        assert_eq!(plan(&volumes, &["c"], json!({})), expected, "{node}");
    }
    let mut volumes = known(&json!([anywhere, claim("c", json!({}))]));
    volumes.reserve(&PodUid("first".into()), &Arc::from("n2"), provisions(&["c"]));
    assert_eq!(plan(&volumes, &["c"], json!({})), Err(NO_VOLUME.to_owned()));
}

#[test]
fn drivers_that_say_how_much_room_they_have_are_believed() {
    let driver = |measured: bool| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
            "metadata": {"name": "example.com/maker"}, "spec": {"storageCapacity": measured}})
    };
    let capacity = |more: Value| {
        let base = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity",
            "metadata": {"name": "room", "namespace": "drivers"}, "storageClassName": "local",
            "nodeTopology": {"matchLabels": {"zone": "a"}}, "capacity": "10Gi"});
        merged(base, more)
    };
    for (what, driver, capacity, zone, room) in [
        ("enough", driver(true), capacity(json!({})), "a", true),
        ("elsewhere", driver(true), capacity(json!({})), "b", false),
        ("too little", driver(true), capacity(json!({"capacity": "1Mi"})), "a", false),
        ("too small", driver(true), capacity(json!({"maximumVolumeSize": "1Mi"})), "a", false),
        ("of another class", driver(true), capacity(json!({"storageClassName": "x"})), "a", false),
        ("not measured", driver(false), capacity(json!({"capacity": "1Mi"})), "a", true),
    ] {
        let volumes = known(&json!([
            class("local", "example.com/maker", json!({})),
            claim("c", json!({})),
            driver,
            capacity
        ]));
        let expected = if room { Ok(provisions(&["c"])) } else { Err(NO_ROOM.to_owned()) };
        assert_eq!(plan(&volumes, &["c"], json!({"zone": zone})), expected, "{what}");
    }
}

#[test]
fn only_news_wake_pods() {
    let mut volumes = Volumes::default();
    let read = |object: Value| -> Object {
        let volume: k8s_openapi::api::core::v1::PersistentVolume =
            serde_json::from_value(object).unwrap();
        volume.reduce()
    };
    let mut object = volume("v", json!({}));
    assert!(volumes.set("v".to_owned(), read(object.clone())).is_some());
    object["metadata"]["resourceVersion"] = json!("7");
    assert!(volumes.set("v".to_owned(), read(object.clone())).is_none());
    assert_eq!(volumes.volume("v").unwrap().version, "7", "what is written is about this version");
    object["metadata"]["labels"] = json!({"tier": "b"});
    assert!(volumes.set("v".to_owned(), read(object)).is_some());
}
