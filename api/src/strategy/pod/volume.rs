//! Volumes and their sources.

mod projected;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{KeyToPath, PodSpec, Volume};
use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::Quantity;
use crate::strategy::core::persistent_volume_claim;
use crate::strategy::volume_source;

pub(super) use volume_source::{inside, no_backsteps};

/// Checks all volumes of a pod, or of a template, and returns those that can be mounted. `pod` is the
/// metadata of the pod.
pub(super) fn validate_all<'a>(
    spec: &'a PodSpec,
    pod: Option<&Value>,
    path: &Path,
) -> (BTreeMap<&'a str, &'a Volume>, Errors) {
    let (mut valid, mut errors) = (BTreeMap::new(), Errors::new());
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let pod_name = pod.and_then(|metadata| metadata["name"].as_str()).unwrap_or_default();
    for (n, volume) in volumes.iter().enumerate() {
        let path = path.index(n);
        let (name, at) = (volume.name.as_str(), path.child("name"));
        let mut wrong = validate_source(volume, pod, pod_name, &path);
        if name.is_empty() {
            wrong.push(FieldError::required(&at, ""));
        } else {
            wrong.extend(FieldError::invalid_each(&at, name, &names::dns1123_label(name)));
        }
        if valid.contains_key(name) {
            wrong.push(FieldError::duplicate(&at, name));
        }
        if wrong.is_empty() {
            valid.insert(name, volume);
        }
        errors.extend(wrong);
        let claim = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.as_str());
        if let Some(claim) = claim.filter(|_| !pod_name.is_empty())
            && volumes.iter().any(|made| {
                made.ephemeral.is_some() && claim == format!("{pod_name}-{}", made.name)
            })
        {
            let path = path.child("persistentVolumeClaim").child("claimName");
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(FieldError::invalid(&path, claim, detail));
        }
    }
    (valid, errors)
}

/// The sources that a volume has, in the order in which Kubernetes looks for them, as it calls them
/// when there are several. The pattern names every field there is, so that the compiler finds the one
/// that is new.
fn sources(volume: &Volume) -> impl Iterator<Item = &'static str> {
    let Volume {
        name: _,
        aws_elastic_block_store,
        azure_disk,
        azure_file,
        cephfs,
        cinder,
        config_map,
        csi,
        downward_api,
        empty_dir,
        ephemeral,
        fc,
        flex_volume,
        flocker,
        gce_persistent_disk,
        git_repo,
        glusterfs,
        host_path,
        image,
        iscsi,
        nfs,
        persistent_volume_claim,
        photon_persistent_disk,
        portworx_volume,
        projected,
        quobyte,
        rbd,
        scale_io,
        secret,
        storageos,
        vsphere_volume,
    } = volume;
    let all = [
        ("emptyDir", empty_dir.is_some()),
        ("hostPath", host_path.is_some()),
        ("gitRepo", git_repo.is_some()),
        ("gcePersistentDisk", gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", aws_elastic_block_store.is_some()),
        ("secret", secret.is_some()),
        ("nfs", nfs.is_some()),
        ("iscsi", iscsi.is_some()),
        ("glusterfs", glusterfs.is_some()),
        ("flocker", flocker.is_some()),
        ("persistentVolumeClaim", persistent_volume_claim.is_some()),
        ("rbd", rbd.is_some()),
        ("cinder", cinder.is_some()),
        ("cephFS", cephfs.is_some()),
        ("quobyte", quobyte.is_some()),
        ("downwardAPI", downward_api.is_some()),
        ("fc", fc.is_some()),
        ("flexVolume", flex_volume.is_some()),
        ("configMap", config_map.is_some()),
        ("azureFile", azure_file.is_some()),
        ("vsphereVolume", vsphere_volume.is_some()),
        ("photonPersistentDisk", photon_persistent_disk.is_some()),
        ("portworxVolume", portworx_volume.is_some()),
        ("azureDisk", azure_disk.is_some()),
        ("storageos", storageos.is_some()),
        ("projected", projected.is_some()),
        ("scaleIO", scale_io.is_some()),
        ("csi", csi.is_some()),
        ("ephemeral", ephemeral.is_some()),
        ("image", image.is_some()),
    ];
    all.into_iter().filter(|(_, present)| *present).map(|(name, _)| name)
}

/// Checks that there is one source, and this one; further ones are refused as they are.
fn validate_source(volume: &Volume, pod: Option<&Value>, pod_name: &str, path: &Path) -> Errors {
    let mut sources = sources(volume);
    let Some(source) = sources.next() else {
        return vec![FieldError::required(path, "must specify a volume type")];
    };
    let detail = "may not specify more than 1 volume type";
    let mut errors: Errors =
        sources.map(|more| FieldError::forbidden(&path.child(more), detail)).collect();
    let at = path.child(source);
    errors.extend(match source {
        "emptyDir" => empty_dir(volume, &at),
        "secret" | "configMap" => keys(volume, &at),
        "downwardAPI" | "projected" => projected::validate(volume, &at),
        "persistentVolumeClaim" => {
            let claim = volume.persistent_volume_claim.as_ref();
            let empty = claim.is_some_and(|claim| claim.claim_name.is_empty());
            let at = at.child("claimName");
            if empty { vec![FieldError::required(&at, "")] } else { Errors::new() }
        }
        "ephemeral" => ephemeral(volume, pod_name, path),
        "image" => image(volume, pod.is_some(), &at),
        _ => shared(volume, source, path),
    });
    errors
}

fn empty_dir(volume: &Volume, path: &Path) -> Errors {
    let limit = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref());
    let limit = limit.and_then(|limit| Quantity::try_from(limit).ok());
    if limit.is_some_and(Quantity::is_negative) {
        let detail = "SizeLimit field must be a valid resource quantity";
        return vec![FieldError::forbidden(&path.child("sizeLimit"), detail)];
    }
    Errors::new()
}

/// A source that PersistentVolumes can have, too.
fn shared(volume: &Volume, field: &str, path: &Path) -> Errors {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let field = if field == "cephFS" { "cephfs" } else { field };
    let source = &value[field];
    let mut errors = volume_source::validate(field, source, path);
    if field == "csi" {
        errors.extend(publish_secret(&source["nodePublishSecretRef"], &path.child(field)));
    }
    if field == "iscsi"
        && let Some(detail) = volume_source::iscsi_name_is_too_long(&volume.name, source)
    {
        errors.push(FieldError::invalid(&path.child("name"), volume.name.as_str(), detail));
    }
    errors
}

/// The secret of a CSI volume, which is one of the pod's namespace.
fn publish_secret(secret: &Value, path: &Path) -> Errors {
    if secret.is_null() {
        return Errors::new();
    }
    match secret["name"].as_str().unwrap_or_default() {
        "" => {
            let at = path.child("nodePublishSecretRef").child("name");
            vec![FieldError::required(&at, "")]
        }
        name => {
            let messages = names::dns1123_subdomain(name);
            FieldError::invalid_each(&path.child("name"), name, &messages)
        }
    }
}

/// A Secret or a ConfigMap: its name, and which of its keys become which files.
fn keys(volume: &Volume, path: &Path) -> Errors {
    let (field, name, default_mode, keys) = match (&volume.secret, &volume.config_map) {
        (Some(secret), _) => {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            ("secretName", name, secret.default_mode, &secret.items)
        }
        (_, Some(map)) => ("name", map.name.as_str(), map.default_mode, &map.items),
        (None, None) => return Errors::new(),
    };
    let mut errors = Errors::new();
    if name.is_empty() {
        errors.push(FieldError::required(&path.child(field), ""));
    }
    errors.extend(mode(default_mode, &path.child("defaultMode")));
    errors.extend(items(keys.as_deref().unwrap_or_default(), &path.child("items")));
    errors
}

/// A claim that is made with the pod, named after both.
fn ephemeral(volume: &Volume, pod_name: &str, path: &Path) -> Errors {
    let Some(source) = &volume.ephemeral else { return Errors::new() };
    let at = path.child("ephemeral").child("volumeClaimTemplate");
    let mut errors = match &source.volume_claim_template {
        None => vec![FieldError::required(&at, "")],
        Some(template) => {
            let template = serde_json::to_value(template).unwrap_or_default();
            validate_claim_template(&template, &at)
        }
    };
    if !pod_name.is_empty() && !volume.name.is_empty() {
        let claim = format!("{pod_name}-{}", volume.name);
        let shown = crate::field::go_quote(&claim);
        errors.extend(names::dns1123_subdomain(&claim).iter().map(|why| {
            let detail = format!("PVC name {shown}: {why}");
            FieldError::invalid(&path.child("name"), volume.name.as_str(), &detail)
        }));
    }
    errors
}

/// Of the metadata of such a claim, labels and annotations can be chosen.
fn validate_claim_template(template: &Value, path: &Path) -> Errors {
    let (metadata, at) = (&template["metadata"], path.child("metadata"));
    let mut errors =
        crate::meta::validate_annotations(&metadata["annotations"], &at.child("annotations"));
    errors.extend(crate::meta::validate_labels(&metadata["labels"], &at.child("labels")));
    for (field, value) in metadata.as_object().into_iter().flatten() {
        let empty = value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
        if !matches!(field.as_str(), "annotations" | "labels") && !value.is_null() && !empty {
            errors.push(FieldError::forbidden(&at.child(field), "cannot be set"));
        }
    }
    errors.extend(persistent_volume_claim::validate_spec(&template["spec"], &path.child("spec")));
    errors
}

/// The files of an image. A template may leave out which, for somebody else to fill in.
fn image(volume: &Volume, is_pod: bool, path: &Path) -> Errors {
    let Some(source) = &volume.image else { return Errors::new() };
    let mut errors = Errors::new();
    if is_pod && source.reference.as_deref().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(&path.child("reference"), ""));
    }
    let (policy, supported) = (source.pull_policy.as_deref(), super::container::PULL_POLICIES);
    super::container::choice(&mut errors, policy, supported, &path.child("pullPolicy"));
    errors
}

fn mode(mode: Option<i32>, path: &Path) -> Option<FieldError> {
    let mode = mode.filter(|mode| !(0..=0o777).contains(mode))?;
    let detail = "must be a number between 0 and 0777 (octal), both inclusive";
    Some(FieldError::invalid(path, mode, detail))
}

/// Like [`inside`]; names beginning with `..` are reserved for atomic updates of the volume.
fn file_path(text: &str, path: &Path) -> Errors {
    if text.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = inside(text, path);
    if text.starts_with("..") && !text.starts_with("../") {
        errors.push(FieldError::invalid(path, text, "must not start with '..'"));
    }
    errors
}

fn items(items: &[KeyToPath], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, item) in items.iter().enumerate() {
        let path = path.index(n);
        if item.key.is_empty() {
            errors.push(FieldError::required(&path.child("key"), ""));
        }
        errors.extend(file_path(&item.path, &path.child("path")));
        errors.extend(mode(item.mode, &path.child("mode")));
    }
    errors
}
