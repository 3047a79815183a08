use serde_json::{Value, json};

use super::*;

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn claim_of(extra: Value) -> PersistentVolumeClaim {
    let mut value = json!({"metadata": {"name": "c", "namespace": "n", "uid": "c-uid"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}}}});
    merge(&mut value, extra);
    serde_json::from_value(value).unwrap()
}

fn volume_of(name: &str, size: &str, extra: Value) -> Arc<PersistentVolume> {
    let mut value = json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "hostPath": {"path": "/tmp"}},
        "status": {"phase": "Available"}});
    merge(&mut value, extra);
    Arc::new(serde_json::from_value(value).unwrap())
}

fn reference(name: &str, uid: &str) -> Value {
    json!({"spec": {"claimRef": {"namespace": "n", "name": name, "uid": uid}}})
}

fn class(mode: &str, provisioner: &str) -> StorageClass {
    serde_json::from_value(json!({"metadata": {"name": "s"}, "provisioner": provisioner,
        "volumeBindingMode": mode}))
    .unwrap()
}

fn decide(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>]) -> ClaimStep {
    super::claim(claim, &Around { volumes, class: None, default_class: None, pods: &[] })
}

fn shown(step: &ClaimStep) -> String {
    match step {
        ClaimStep::Bind(volume) => volume.name_any(),
        ClaimStep::Classify(class) => format!("classify {class}"),
        ClaimStep::Provision(provisioner) => format!("provision {provisioner}"),
        ClaimStep::Pending(event) => event.as_ref().map_or("pending", |e| e.reason).to_owned(),
        ClaimStep::Lost(event) => event.reason.to_owned(),
    }
}

#[test]
fn the_smallest_volume_that_suits_is_taken() {
    let plain = json!({});
    for (case, claim, volumes, wanted) in [
        (
            "smallest",
            plain.clone(),
            vec![
                ("a", "5Gi", plain.clone()),
                ("b", "1Gi", plain.clone()),
                ("s", "1Mi", plain.clone()),
            ],
            "b",
        ),
        ("too small", plain.clone(), vec![("a", "500Mi", plain.clone())], "FailedBinding"),
        (
            "other class",
            plain.clone(),
            vec![("a", "1Gi", json!({"spec": {"storageClassName": "x"}}))],
            "FailedBinding",
        ),
        (
            "other attributes",
            plain.clone(),
            vec![("a", "1Gi", json!({"spec": {"volumeAttributesClassName": "gold"}}))],
            "FailedBinding",
        ),
        (
            "same attributes",
            json!({"spec": {"volumeAttributesClassName": "gold"}}),
            vec![
                ("a", "1Gi", plain.clone()),
                ("g", "1Gi", json!({"spec": {"volumeAttributesClassName": "gold"}})),
            ],
            "g",
        ),
        (
            "other mode",
            plain.clone(),
            vec![("a", "1Gi", json!({"spec": {"volumeMode": "Block"}}))],
            "FailedBinding",
        ),
        (
            "other access",
            json!({"spec": {"accessModes": ["ReadWriteMany"]}}),
            vec![("a", "1Gi", plain.clone())],
            "FailedBinding",
        ),
        (
            "selector",
            json!({"spec": {"selector": {"matchLabels": {"disk": "fast"}}}}),
            vec![
                ("a", "1Gi", plain.clone()),
                ("b", "9Gi", json!({"metadata": {"labels": {"disk": "fast"}}})),
            ],
            "b",
        ),
        (
            "not seen free",
            plain.clone(),
            vec![("a", "1Gi", json!({"status": {"phase": "Pending"}}))],
            "FailedBinding",
        ),
        ("taken", plain.clone(), vec![("a", "1Gi", reference("other", "x"))], "FailedBinding"),
        (
            "meant for it",
            plain.clone(),
            vec![("a", "1Gi", plain.clone()), ("b", "9Gi", reference("c", ""))],
            "b",
        ),
        (
            "meant for an earlier claim of its name",
            plain.clone(),
            vec![("b", "9Gi", reference("c", "old"))],
            "FailedBinding",
        ),
        (
            "asked for",
            json!({"spec": {"volumeName": "b"}}),
            vec![("a", "1Gi", plain.clone()), ("b", "9Gi", plain.clone())],
            "b",
        ),
        ("asked for, absent", json!({"spec": {"volumeName": "b"}}), vec![], "pending"),
        (
            "asked for, taken",
            json!({"spec": {"volumeName": "b"}}),
            vec![("b", "9Gi", reference("other", "x"))],
            "FailedBinding",
        ),
        (
            "asked for, too small",
            json!({"spec": {"volumeName": "b"}}),
            vec![("b", "1Mi", plain.clone())],
            "VolumeMismatch",
        ),
    ] {
        let volumes: Vec<_> =
            volumes.into_iter().map(|(name, size, extra)| volume_of(name, size, extra)).collect();
        assert_eq!(shown(&decide(&claim_of(claim), &volumes)), wanted, "{case}");
    }
}

#[test]
fn bound_claims_keep_their_volume_or_are_lost() {
    let done = |volume: &str| {
        claim_of(json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}},
            "spec": {"volumeName": volume}}))
    };
    for (volume, extra, wanted) in [
        ("a", reference("c", "c-uid"), "a"),
        ("a", json!({}), "a"),
        ("a", reference("other", "x"), "ClaimMisbound"),
        ("gone", json!({}), "ClaimLost"),
        ("", json!({}), "ClaimLost"),
    ] {
        let volumes = [volume_of("a", "1Gi", extra.clone())];
        assert_eq!(shown(&decide(&done(volume), &volumes)), wanted, "{volume} {extra}");
    }
}

#[test]
fn classes_wait_or_ask_their_provisioner() {
    let named = |extra: Value| {
        let mut value = json!({"spec": {"storageClassName": "s"}});
        merge(&mut value, extra);
        claim_of(value)
    };
    let placed = json!({"metadata": {"annotations": {SELECTED_NODE: "node"}}});
    let free = [volume_of("a", "1Gi", json!({"spec": {"storageClassName": "s"}}))];
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}})).unwrap();
    let pods = [Arc::new(pod)];
    let wait = class("WaitForFirstConsumer", "x.io/disks");
    let at_once = class("Immediate", "x.io/disks");
    let none = class("Immediate", "kubernetes.io/no-provisioner");
    let decide = |claim: &PersistentVolumeClaim, class: Option<&StorageClass>, volumes, pods| {
        shown(&super::claim(claim, &Around { volumes, class, default_class: None, pods }))
    };
    let claim = named(json!({}));
    assert_eq!(decide(&claim, Some(&wait), &free, &[]), "WaitForFirstConsumer");
    assert_eq!(decide(&claim, Some(&wait), &free, &pods), "WaitForPodScheduled");
    assert_eq!(decide(&named(placed), Some(&wait), &[], &pods), "provision x.io/disks");
    assert_eq!(decide(&claim, Some(&at_once), &free, &[]), "a");
    assert_eq!(decide(&claim, Some(&at_once), &[], &[]), "provision x.io/disks");
    assert_eq!(decide(&claim, Some(&none), &[], &[]), "ProvisioningFailed");
    assert_eq!(decide(&claim, None, &[], &[]), "ProvisioningFailed");
}

#[test]
fn a_claim_without_a_class_gets_the_default_one_if_no_volume_suits() {
    let unnamed = || json!({"spec": {"storageClassName": null}});
    let old = json!({"volume.beta.kubernetes.io/storage-class": ""});
    let old = json!({"metadata": {"annotations": old}, "spec": {"storageClassName": null}});
    let asks = json!({"spec": {"storageClassName": null, "volumeName": "x"}});
    let free = || vec![volume_of("a", "1Gi", json!({}))];
    for (case, claim, volumes, default, wanted) in [
        ("no class", unnamed(), vec![], Some("d"), "classify d"),
        ("no default", unnamed(), vec![], None, "FailedBinding"),
        ("a volume suits", unnamed(), free(), Some("d"), "a"),
        ("none is wanted", json!({}), vec![], Some("d"), "FailedBinding"),
        ("none by annotation", old, vec![], Some("d"), "FailedBinding"),
        ("a volume is named", asks, vec![], Some("d"), "pending"),
    ] {
        let around = Around { volumes: &volumes, class: None, default_class: default, pods: &[] };
        assert_eq!(shown(&super::claim(&claim_of(claim), &around)), wanted, "{case}");
    }
}

#[test]
fn volumes_follow_their_claim() {
    let here = |volume: &str| claim_of(json!({"spec": {"volumeName": volume}}));
    let mut provisioned = reference("c", "c-uid");
    merge(
        &mut provisioned,
        json!({"metadata": {"annotations": {PROVISIONED_BY: "x"}},
            "spec": {"persistentVolumeReclaimPolicy": "Delete"}}),
    );
    for (extra, claim, wanted) in [
        (json!({}), None, VolumeStep::Available),
        (reference("c", ""), None, VolumeStep::Available),
        (reference("c", "c-uid"), Some(here("")), VolumeStep::Wait),
        (reference("c", "c-uid"), Some(here("a")), VolumeStep::Bound),
        (reference("c", "c-uid"), None, VolumeStep::Release),
        (reference("c", "old"), Some(here("a")), VolumeStep::Release),
        (reference("c", "c-uid"), Some(here("b")), VolumeStep::Unbind),
        (provisioned, Some(here("b")), VolumeStep::Release),
    ] {
        let a = volume_of("a", "1Gi", extra.clone());
        assert_eq!(super::volume(&a, claim.as_ref()), wanted, "{extra}");
    }
}
