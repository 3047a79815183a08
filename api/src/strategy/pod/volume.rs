//! Volumes and their sources.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Volume, VolumeProjection,
};

use super::env::{FILE_FIELDS, validate_field, validate_resource};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::Quantity;

const HOST_PATH_TYPES: &[&str] = &[
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Checks all volumes of a pod.
pub(super) fn validate_all(volumes: &[Volume], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, volume) in volumes.iter().enumerate() {
        let path = path.index(n);
        errors.extend(validate_source(volume, &path));
        if volume.name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
            continue;
        }
        let messages = names::dns1123_label(&volume.name);
        errors.extend(
            messages
                .iter()
                .map(|m| FieldError::invalid(&path.child("name"), volume.name.as_str(), m)),
        );
        if !seen.insert(volume.name.as_str()) {
            errors.push(FieldError::duplicate(&path.child("name"), volume.name.as_str()));
        }
    }
    errors
}

/// The names of the sources that a volume has, in alphabetical order. The pattern names every field
/// there is, so that the compiler finds the one that is new.
fn sources(volume: &Volume) -> Vec<&'static str> {
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
        ("awsElasticBlockStore", aws_elastic_block_store.is_some()),
        ("azureDisk", azure_disk.is_some()),
        ("azureFile", azure_file.is_some()),
        ("cephfs", cephfs.is_some()),
        ("cinder", cinder.is_some()),
        ("configMap", config_map.is_some()),
        ("csi", csi.is_some()),
        ("downwardAPI", downward_api.is_some()),
        ("emptyDir", empty_dir.is_some()),
        ("ephemeral", ephemeral.is_some()),
        ("fc", fc.is_some()),
        ("flexVolume", flex_volume.is_some()),
        ("flocker", flocker.is_some()),
        ("gcePersistentDisk", gce_persistent_disk.is_some()),
        ("gitRepo", git_repo.is_some()),
        ("glusterfs", glusterfs.is_some()),
        ("hostPath", host_path.is_some()),
        ("image", image.is_some()),
        ("iscsi", iscsi.is_some()),
        ("nfs", nfs.is_some()),
        ("persistentVolumeClaim", persistent_volume_claim.is_some()),
        ("photonPersistentDisk", photon_persistent_disk.is_some()),
        ("portworxVolume", portworx_volume.is_some()),
        ("projected", projected.is_some()),
        ("quobyte", quobyte.is_some()),
        ("rbd", rbd.is_some()),
        ("scaleIO", scale_io.is_some()),
        ("secret", secret.is_some()),
        ("storageos", storageos.is_some()),
        ("vsphereVolume", vsphere_volume.is_some()),
    ];
    all.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
}

fn validate_source(volume: &Volume, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let sources = sources(volume);
    if sources.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for more in sources.iter().skip(1) {
        errors.push(FieldError::forbidden(
            &path.child(more),
            "may not specify more than 1 volume type",
        ));
    }
    if let Some(source) = &volume.empty_dir {
        let limit = source.size_limit.as_ref().and_then(|limit| Quantity::try_from(limit).ok());
        if limit.is_some_and(Quantity::is_negative) {
            let path = path.child("emptyDir").child("sizeLimit");
            errors.push(FieldError::forbidden(
                &path,
                "SizeLimit field must be a valid resource quantity",
            ));
        }
    }
    if let Some(source) = &volume.host_path {
        let path = path.child("hostPath");
        if source.path.is_empty() {
            errors.push(FieldError::required(&path.child("path"), ""));
        } else if source.path.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(
                &path.child("path"),
                source.path.as_str(),
                "must not contain '..'",
            ));
        }
        let kind = source.type_.as_deref().unwrap_or_default();
        if !HOST_PATH_TYPES.contains(&kind) {
            errors.push(FieldError::not_supported(&path.child("type"), kind, HOST_PATH_TYPES));
        }
    }
    if let Some(source) = &volume.secret {
        let path = path.child("secret");
        if source.secret_name.as_deref().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&path.child("secretName"), ""));
        }
        errors.extend(mode(source.default_mode, &path.child("defaultMode")));
        errors.extend(items(source.items.as_deref().unwrap_or_default(), &path.child("items")));
    }
    if let Some(source) = &volume.config_map {
        let path = path.child("configMap");
        if source.name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        errors.extend(mode(source.default_mode, &path.child("defaultMode")));
        errors.extend(items(source.items.as_deref().unwrap_or_default(), &path.child("items")));
    }
    if let Some(source) = &volume.downward_api {
        let path = path.child("downwardAPI");
        errors.extend(mode(source.default_mode, &path.child("defaultMode")));
        errors.extend(downward(source.items.as_deref().unwrap_or_default(), &path));
    }
    if let Some(source) = &volume.projected {
        errors.extend(projected(source, &path.child("projected")));
    }
    if let Some(source) = &volume.persistent_volume_claim
        && source.claim_name.is_empty()
    {
        let path = path.child("persistentVolumeClaim").child("claimName");
        errors.push(FieldError::required(&path, ""));
    }
    errors
}

fn mode(mode: Option<i32>, path: &Path) -> Option<FieldError> {
    let mode = mode.filter(|mode| !(0..=0o777).contains(mode))?;
    let detail = "must be a number between 0 and 0777 (octal), both inclusive";
    Some(FieldError::invalid(path, mode, detail))
}

/// A relative path that stays where it starts.
pub(super) fn inside(text: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be a relative path"));
    }
    if text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, text, "must not contain '..'"));
    }
    if text.contains('\0') {
        errors.push(FieldError::invalid(path, text, "must not contain a NUL character"));
    }
    errors
}

/// Like [`inside`]; names beginning with `..` are reserved for atomic updates of the volume.
fn file_path(text: &str, path: &Path) -> Errors {
    if text.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let mut errors = inside(text, path);
    if text.starts_with("..") && !text.starts_with("../") && text != ".." {
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

fn downward(files: &[DownwardAPIVolumeFile], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, file) in files.iter().enumerate() {
        let path = path.child("items").index(n);
        errors.extend(file_path(&file.path, &path.child("path")));
        errors.extend(mode(file.mode, &path.child("mode")));
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(_), Some(_)) => {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(&path, "resource", detail));
            }
            (None, None) => {
                errors.push(FieldError::required(
                    &path,
                    "one of fieldRef and resourceFieldRef is required",
                ));
            }
            (Some(field), None) => {
                errors.extend(validate_field(field, FILE_FIELDS, false, &path.child("fieldRef")));
            }
            (None, Some(resource)) => {
                let path = path.child("resourceFieldRef");
                if resource.container_name.as_deref().unwrap_or_default().is_empty() {
                    errors.push(FieldError::required(&path.child("containerName"), ""));
                }
                errors.extend(validate_resource(resource, &path));
            }
        }
    }
    errors
}

/// How many sources are named where one is due. As in [`sources`], the pattern names every field.
fn given(source: &VolumeProjection) -> usize {
    let VolumeProjection {
        cluster_trust_bundle,
        config_map,
        downward_api,
        pod_certificate,
        secret,
        service_account_token,
    } = source;
    let all = [
        cluster_trust_bundle.is_some(),
        config_map.is_some(),
        downward_api.is_some(),
        pod_certificate.is_some(),
        secret.is_some(),
        service_account_token.is_some(),
    ];
    all.into_iter().filter(|given| *given).count()
}

fn projected(source: &ProjectedVolumeSource, path: &Path) -> Errors {
    let mut errors = Errors::new();
    errors.extend(mode(source.default_mode, &path.child("defaultMode")));
    for (n, source) in source.sources.iter().flatten().enumerate() {
        let path = path.child("sources").index(n);
        let given = given(source);
        if given == 0 {
            errors.push(FieldError::required(&path, "must specify one source"));
        } else if given > 1 {
            errors.push(FieldError::forbidden(
                &path,
                "may not specify more than 1 volume type per source",
            ));
        }
        if let Some(secret) = &source.secret {
            let path = path.child("secret");
            if secret.name.is_empty() {
                errors.push(FieldError::required(&path.child("name"), ""));
            }
            errors.extend(items(secret.items.as_deref().unwrap_or_default(), &path.child("items")));
        }
        if let Some(map) = &source.config_map {
            let path = path.child("configMap");
            if map.name.is_empty() {
                errors.push(FieldError::required(&path.child("name"), ""));
            }
            errors.extend(items(map.items.as_deref().unwrap_or_default(), &path.child("items")));
        }
        if let Some(downward_api) = &source.downward_api {
            let path = path.child("downwardAPI");
            errors.extend(downward(downward_api.items.as_deref().unwrap_or_default(), &path));
        }
        if let Some(token) = &source.service_account_token {
            let path = path.child("serviceAccountToken");
            errors.extend(file_path(&token.path, &path.child("path")));
            let seconds = token.expiration_seconds.unwrap_or(3600);
            if !(600..=1 << 32).contains(&seconds) {
                let detail = if seconds < 600 {
                    "may not specify a duration less than 10 minutes"
                } else {
                    "may not specify a duration larger than 2^32 seconds"
                };
                errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
            }
        }
    }
    errors
}
