//! Volumes of other machines and drivers, projections, and claims made with the pod.

use serde_json::{Value, json};

use super::{assert_errors, errors_of, template_errors_of};

fn volume(source: &str, fields: Value) -> Value {
    json!({"volumes": [{"name": "v", source: fields}]})
}

#[test]
fn sources_on_other_machines() {
    let at = |rest: &str| format!("spec.volumes[0].{rest}");
    let iqn = |iqn: &str| volume("iscsi", json!({"targetPortal": "t", "iqn": iqn, "lun": 0}));
    for good in [
        "iqn.2001-04.com.example:storage.kube",
        "eui.0123456789abcdef",
        "naa.62004567ba64678d0123456789abcdef",
    ] {
        assert_eq!(errors_of(&iqn(good)), Vec::<String>::new(), "{good}");
    }
    for (source, fields, wanted) in [
        ("nfs", json!({"server": "s", "path": "/"}), None),
        (
            "nfs",
            json!({"server": "s", "path": "a"}),
            Some("nfs.path: Invalid value: \"a\": must be an absolute path"),
        ),
        ("gitRepo", json!({"repository": ""}), Some("gitRepo.repository: Required value")),
        (
            "gitRepo",
            json!({"repository": "r", "directory": "../x"}),
            Some("gitRepo.directory: Invalid value: \"../x\": must not contain '..'"),
        ),
        (
            "gcePersistentDisk",
            json!({"pdName": "p", "partition": 256}),
            Some(
                "persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive",
            ),
        ),
        (
            "iscsi",
            json!({"targetPortal": "t", "iqn": "x", "lun": 0}),
            Some(
                "iscsi.iqn: Invalid value: \"x\": must be valid format starting with iqn, eui, or naa",
            ),
        ),
        (
            "iscsi",
            json!({"targetPortal": "t", "iqn": "iqn.x", "lun": 0}),
            Some("iscsi.iqn: Invalid value: \"iqn.x\": must be valid format"),
        ),
        (
            "iscsi",
            json!({"targetPortal": "t", "iqn": "eui.0123456789abcdef", "lun": 256}),
            Some("iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive"),
        ),
        (
            "iscsi",
            json!({"targetPortal": "t", "iqn": "eui.0123456789abcdef", "lun": 0, "chapAuthSession": true}),
            Some("iscsi.secretRef: Required value"),
        ),
        (
            "flocker",
            json!({}),
            Some("flocker: Required value: one of datasetName and datasetUUID is required"),
        ),
        ("rbd", json!({"monitors": [], "image": "i"}), Some("rbd.monitors: Required value")),
        ("cephfs", json!({"monitors": []}), Some("cephfs.monitors: Required value")),
        (
            "quobyte",
            json!({"registry": "r", "volume": "v"}),
            Some(
                "quobyte.registry: Invalid value: \"r\": must be a host:port pair or multiple pairs separated by commas",
            ),
        ),
        ("quobyte", json!({"registry": "r:1,s:2", "volume": "v"}), None),
        (
            "fc",
            json!({}),
            Some(
                "fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both",
            ),
        ),
        (
            "fc",
            json!({"targetWWNs": ["a"]}),
            Some("fc.lun: Required value: lun is required if targetWWNs is specified"),
        ),
        (
            "flexVolume",
            json!({"driver": "d", "options": {"x.kubernetes.io/a": "b"}}),
            Some(
                "flexVolume.options[x.kubernetes.io/a]: Invalid value: \"x.kubernetes.io/a\": kubernetes.io and k8s.io namespaces are reserved",
            ),
        ),
        (
            "azureFile",
            json!({"secretName": "s", "shareName": ""}),
            Some("azureFile.shareName: Required value"),
        ),
        (
            "azureDisk",
            json!({"diskName": "d", "diskURI": "u", "kind": "Managed"}),
            Some(
                "azureDisk.diskURI: Unsupported value: \"u\": supported values: \"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}\"",
            ),
        ),
        (
            "storageos",
            json!({"volumeName": "a.b"}),
            Some("storageos.volumeName: Invalid value: \"a.b\": must not contain dots"),
        ),
        ("csi", json!({"driver": ""}), Some("csi.driver: Required value")),
        (
            "csi",
            json!({"driver": "d", "nodePublishSecretRef": {"name": ""}}),
            Some("csi.nodePublishSecretRef.name: Required value"),
        ),
    ] {
        let wanted = Vec::from_iter(wanted.map(at));
        assert_eq!(errors_of(&volume(source, fields.clone())), wanted, "{source} {fields}");
    }
}

#[test]
fn a_volume_has_one_source() {
    let both =
        json!({"volumes": [{"name": "v", "cephfs": {"monitors": []}, "configMap": {"name": ""}}]});
    let unused = json!({"volumes": [{"name": "v", "secret": {"secretName": ""}}],
        "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]});
    assert_errors(&[
        (
            both,
            &[
                "spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type",
                "spec.volumes[0].cephfs.monitors: Required value",
            ],
        ),
        // What is wrong cannot be mounted.
        (
            unused,
            &[
                "spec.volumes[0].secret.secretName: Required value",
                "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
            ],
        ),
    ]);
}

#[test]
fn images_name_what_they_mount() {
    let none = volume("image", json!({}));
    let policy = volume("image", json!({"reference": "r", "pullPolicy": "Often"}));
    assert_errors(&[
        (volume("image", json!({"reference": "r"})), &[]),
        (none.clone(), &["spec.volumes[0].image.reference: Required value"]),
        (
            policy,
            &[
                "spec.volumes[0].image.pullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            ],
        ),
    ]);
    assert_eq!(template_errors_of(&json!({}), &none), Vec::<String>::new());
}

#[test]
fn claims_made_with_the_pod() {
    let template = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claim = |template: &Value| volume("ephemeral", json!({"volumeClaimTemplate": template}));
    let mut named = template.clone();
    named["metadata"] = json!({"name": "x", "labels": {"a": "b"}});
    let mut own = claim(&template);
    let other = json!({"name": "w", "persistentVolumeClaim": {"claimName": "p-v"}});
    own["volumes"].as_array_mut().expect("a list").push(other);
    let mut no_modes = template.clone();
    no_modes["spec"]["accessModes"] = json!([]);
    let at = "spec.volumes[0].ephemeral.volumeClaimTemplate";
    assert_errors(&[
        (claim(&template), &[]),
        (volume("ephemeral", json!({})), &[&format!("{at}: Required value")]),
        (claim(&named), &[&format!("{at}.metadata.name: Forbidden: cannot be set")]),
        (
            claim(&no_modes),
            &[&format!(
                "{at}.spec.accessModes: Required value: at least 1 access mode is required"
            )],
        ),
        (
            own,
            &[
                "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"p-v\": must not reference a PVC that gets created for an ephemeral volume",
            ],
        ),
    ]);
}

#[test]
fn projections_share_a_folder() {
    let projected = |sources: Value| volume("projected", json!({"sources": sources}));
    let at = "spec.volumes[0].projected";
    let item = json!([{"key": "k", "path": "f"}]);
    let field = |path: &str| json!({"path": path, "fieldRef": {"fieldPath": "metadata.name"}});
    let certificate = |fields: Value| {
        let mut source = json!({"signerName": "x.io/y", "keyType": "ED25519", "keyPath": "k"});
        json_patch::merge(&mut source, &fields);
        projected(json!([{"podCertificate": source}]))
    };
    assert_errors(&[
        (projected(json!([{}])), &[]),
        (
            projected(
                json!([{"secret": {"name": "s", "items": item}}, {"configMap": {"name": "m", "items": item}}]),
            ),
            &[&format!("{at}: Invalid value: \"m\": conflicting duplicate paths")],
        ),
        (
            projected(json!([{"downwardAPI": {"items": [field("a"), field("a")]}}])),
            &[&format!("{at}: Invalid value: \"a\": conflicting duplicate paths")],
        ),
        (
            projected(json!([{"serviceAccountToken": {"path": ""}}])),
            &[&format!("{at}.path: Required value")],
        ),
        (
            projected(json!([{"secret": {"name": "s"}, "configMap": {"name": "m"}}])),
            &[&format!(
                "{at}.sources[0]: Forbidden: may not specify more than 1 volume type per source"
            )],
        ),
        (
            projected(json!([{"clusterTrustBundle": {"path": "p"}}])),
            &[&format!(
                "{at}.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified"
            )],
        ),
        (certificate(json!({})), &[]),
        (
            certificate(json!({"keyPath": null})),
            &[&format!(
                "{at}.sources[0].podCertificate: Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
            )],
        ),
        (
            certificate(json!({"maxExpirationSeconds": 60})),
            &[&format!(
                "{at}.sources[0].podCertificate.maxExpirationSeconds: Invalid value: 60: if provided, maxExpirationSeconds must be >= 3600"
            )],
        ),
        (
            volume("downwardAPI", json!({"items": [{"path": "a"}]})),
            &[
                "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
            ],
        ),
    ]);
}
