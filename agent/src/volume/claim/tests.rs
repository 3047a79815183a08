//! Which claims are mounted, and what is said of the others.

use serde_json::{Value, json};

use super::*;

fn pod(volumes: Value, container: Value) -> Pod {
    let mut container = container;
    container["name"] = json!("c");
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "pod"},
        "spec": {"containers": [container], "volumes": volumes}}))
    .unwrap()
}

fn data() -> Value {
    json!([{"name": "data", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}}])
}

fn claim(change: fn(&mut Value)) -> PersistentVolumeClaim {
    let mut value = json!({"metadata": {"name": "c", "namespace": "n", "uid": "u"},
        "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}});
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn volume(spec: Value) -> PersistentVolume {
    let mut spec = spec;
    spec["claimRef"] = json!({"name": "c", "namespace": "n", "uid": "u"});
    serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": spec})).unwrap()
}

#[test]
fn volumes_that_are_claims() {
    let pod = pod(
        json!([
            {"name": "data", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"name": "none", "emptyDir": {}},
        ]),
        json!({}),
    );
    let named = |volume: &str, claim: &str, ephemeral, read_only| ClaimVolume {
        volume: volume.to_owned(),
        claim: claim.to_owned(),
        ephemeral,
        read_only,
    };
    let wanted = [named("data", "c", false, true), named("scratch", "p-scratch", true, false)];
    assert_eq!(of_pod(&pod), wanted);
}

#[test]
fn only_a_bound_claim_has_a_volume() {
    let pod = pod(data(), json!({}));
    let of = of_pod(&pod).remove(0);
    type Change = fn(&mut Value);
    let cases: [(Change, Result<&str, &str>); 5] = [
        (|_| {}, Ok("pv")),
        (|claim| claim["status"]["phase"] = json!("Pending"), Err("PVC is not bound")),
        (|claim| claim["status"]["phase"] = json!("Lost"), Err("PVC is not bound")),
        (|claim| claim["spec"] = json!({}), Err("PVC has empty pvc.Spec.VolumeName")),
        (
            |claim| claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            Err("PVC is being deleted"),
        ),
    ];
    for (change, wanted) in cases {
        let found = bound(&pod, &of, &claim(change)).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), wanted);
    }
    let error =
        ClaimError::ClaimUnread { message: "persistentvolumeclaims \"c\" not found".into() };
    assert_eq!(
        error.event("n", &of),
        "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed \
         to process volumes=[data]: error processing PVC n/c: failed to fetch PVC from API server: \
         persistentvolumeclaims \"c\" not found"
    );
}

#[test]
fn an_ephemeral_claim_must_be_the_pods_own() {
    let scratch = json!([{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]);
    let pod = pod(scratch, json!({}));
    let of = of_pod(&pod).remove(0);
    let owner = |uid: &str, controller: bool| {
        let mut claim = claim(|_| {});
        let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid,
            "controller": controller}]);
        claim.metadata.owner_references = serde_json::from_value(owner).unwrap();
        bound(&pod, &of, &claim).map_err(|error| error.to_string())
    };
    assert_eq!(owner("pod", true).as_deref(), Ok("pv"));
    for (uid, controller) in [("another", true), ("pod", false)] {
        let said = "PVC n/p-v was not created for pod n/p (pod is not owner)";
        assert_eq!(owner(uid, controller), Err(said.to_owned()));
    }
}

#[test]
fn file_systems_are_mounted_and_block_devices_are_not() {
    let mounts = json!({"volumeMounts": [{"name": "data", "mountPath": "/d"}]});
    let devices = json!({"volumeDevices": [{"name": "data", "devicePath": "/dev/d"}]});
    for (container, mode, said) in [
        (&mounts, json!(null), ""),
        (&mounts, json!("Filesystem"), ""),
        (
            &mounts,
            json!("Block"),
            "volume data has volumeMode Block, but is specified in volumeMounts",
        ),
        (
            &devices,
            json!("Filesystem"),
            "volume data has volumeMode Filesystem, but is specified in volumeDevices",
        ),
        (
            &devices,
            json!("Block"),
            "volume data has volumeMode Block, which this node cannot give: claim volumeMode Filesystem",
        ),
    ] {
        let pod = pod(data(), container.clone());
        let of = of_pod(&pod).remove(0);
        let checked = check_mode(&pod, &of, &volume(json!({"volumeMode": mode})));
        assert_eq!(checked.map_err(|error| error.to_string()).err().unwrap_or_default(), said);
    }
}

#[test]
fn a_folder_of_this_node_is_behind_a_claim() {
    let node: Node = serde_json::from_value(
        json!({"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "host"}}}),
    )
    .unwrap();
    let on = |host: &str| {
        let expression =
            json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [host]});
        json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}})
    };
    let found = |spec: Value| backing(&claim(|_| {}), &volume(spec), &node);
    let local = Backing::Local(PathBuf::from("/srv/a"));
    assert_eq!(found(json!({"local": {"path": "/srv/a"}})), Ok(local.clone()));
    assert_eq!(found(json!({"local": {"path": "/srv/a"}, "nodeAffinity": on("host")})), Ok(local));
    let source = HostPathVolumeSource { path: "/srv/b".into(), type_: Some("Directory".into()) };
    let host_path = json!({"hostPath": {"path": "/srv/b", "type": "Directory"}});
    assert_eq!(found(host_path), Ok(Backing::HostPath(source)));

    let elsewhere = found(json!({"local": {"path": "/a"}, "nodeAffinity": on("other")}));
    let of = of_pod(&pod(data(), json!({}))).remove(0);
    assert_eq!(
        elsewhere.unwrap_err().event("n", &of),
        "MountVolume.NodeAffinity check failed for volume \"pv\" : no matching NodeSelectorTerms"
    );
    assert_eq!(
        found(json!({"csi": {"driver": "d", "volumeHandle": "h"}})),
        Err(ClaimError::Unsupported { volume: "pv".into() })
    );
    let stranger = claim(|claim| claim["metadata"]["uid"] = json!("another"));
    let refused = backing(&stranger, &volume(json!({"local": {"path": "/a"}})), &node);
    assert_eq!(refused, Err(ClaimError::OtherClaim { volume: "pv".into() }));
}
