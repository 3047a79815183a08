//! Where volumes come from, those of pods and PersistentVolumes alike: the sources that both can have.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/validation (the functions named after sources).

use serde_json::{Value, json};

use super::storage;
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// The field of a source, the name under which it is warned about, and since when it is old.
const OLD: &[(&str, &str, &str)] = &[
    (
        "photonPersistentDisk",
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// The warning about a source that no node can mount any more; `path` is where it stands.
pub(crate) fn deprecation(field: &str, path: &Path) -> Option<String> {
    let (_, shown, message) = OLD.iter().find(|(old, ..)| *old == field)?;
    Some(format!("{}: {message}", path.child(shown)))
}

/// The fields that a source cannot do without.
const REQUIRED: &[(&str, &[&str])] = &[
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("nfs", &["server", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", &["endpoints", "path"]),
    ("rbd", &["monitors", "image"]),
    ("cinder", &["volumeID"]),
    ("cephfs", &["monitors"]),
    ("quobyte", &["volume"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("storageos", &["volumeName"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("hostPath", &["path"]),
    ("local", &["path"]),
];

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
/// Units of a SCSI target.
const LUNS: std::ops::RangeInclusive<i64> = 0..=255;
const CACHING: &[&str] = &["None", "ReadOnly", "ReadWrite"];
const DISK_KINDS: &[&str] = &["Dedicated", "Managed", "Shared"];
const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";

/// How a source is named when there is one too many: one of them is spelled in another way then.
pub(super) fn surplus_name(field: &str) -> &str {
    if field == "cephfs" { "cephFS" } else { field }
}

/// Checks a source by the field that it is in; `path` is that of the volume.
pub(super) fn validate(field: &str, source: &Value, path: &Path) -> Errors {
    // Kubernetes names one of them otherwise when it looks inside.
    let at = path.child(if field == "gcePersistentDisk" { "persistentDisk" } else { field });
    let text = |field: &str| source[field].as_str().unwrap_or_default();
    let missing = |field: &str| match &source[field] {
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        other => other.is_null(),
    };
    let mut errors = Errors::new();
    let required = REQUIRED.iter().find(|(name, _)| *name == field).map_or(&[][..], |(_, r)| r);
    for field in required.iter().filter(|field| missing(field)) {
        errors.push(FieldError::required(&at.child(field), ""));
    }
    match field {
        "hostPath" | "local" if text("path").is_empty() => {}
        "hostPath" => errors.extend(host_path(source, &at)),
        "local" => errors.extend(no_backsteps(text("path"), &at.child("path"))),
        "gitRepo" => errors.extend(inside(text("directory"), &at.child("directory"))),
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            let partition = source["partition"].as_i64().unwrap_or(0);
            if !(0..=255).contains(&partition) {
                let detail = "must be between 1 and 255, inclusive";
                errors.push(FieldError::invalid(&at.child("partition"), partition, detail));
            }
        }
        "nfs" if !text("path").starts_with('/') => {
            let detail = "must be an absolute path";
            errors.push(FieldError::invalid(&at.child("path"), text("path"), detail));
        }
        "iscsi" => errors.extend(iscsi(source, &at)),
        "flocker" => errors.extend(flocker(source, &at)),
        "quobyte" => errors.extend(quobyte(source, &at)),
        "fc" => errors.extend(fibre_channel(source, &at)),
        "flexVolume" => errors.extend(flex_options(&source["options"], &at.child("options"))),
        "azureDisk" => errors.extend(azure_disk(source, &at)),
        "storageos" => {
            for field in ["volumeName", "volumeNamespace"] {
                let name = text(field);
                let messages =
                    if name.is_empty() { Vec::new() } else { names::dns1123_label(name) };
                errors.extend(FieldError::invalid_each(&at.child(field), name, &messages));
            }
        }
        "csi" => errors.extend(storage::validate_driver_name(text("driver"), &at.child("driver"))),
        _ => {}
    }
    let secret = &source["secretRef"];
    let named = !secret["name"].as_str().unwrap_or_default().is_empty();
    if matches!(field, "cinder" | "storageos") && secret.is_object() && !named {
        errors.push(FieldError::required(&at.child("secretRef").child("name"), ""));
    }
    errors
}

/// A path without `..`, which stays below where it starts.
pub(super) fn no_backsteps(text: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, text, "must not contain '..'"));
    }
    if text.contains('\0') {
        errors.push(FieldError::invalid(path, text, "must not contain a NUL character"));
    }
    errors
}

/// A relative path that stays where it starts.
pub(super) fn inside(text: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be a relative path"));
    }
    errors.extend(no_backsteps(text, path));
    errors
}

fn host_path(source: &Value, path: &Path) -> Errors {
    let mut errors = no_backsteps(source["path"].as_str().unwrap_or_default(), &path.child("path"));
    let kind = source["type"].as_str().unwrap_or_default();
    if !HOST_PATH_TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, HOST_PATH_TYPES));
    }
    errors
}

fn is_initiator(text: &str) -> bool {
    let alnum = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    // `eui.` and `naa.` with a number; `iqn.YYYY-MM.DOMAIN:NAME`.
    if let Some(rest) = text.strip_prefix("eui") {
        return rest.len() == 17 && alnum(&rest[1..], 16);
    }
    if let Some(rest) = text.strip_prefix("naa") {
        return rest.len() == 33 && alnum(&rest[1..], 32);
    }
    let Some((date, rest)) = text.strip_prefix("iqn.").and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let digits =
        |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    let dated = date.split_once('-').is_some_and(|(y, m)| digits(y, 4) && digits(m, 2));
    let (domain, name) = match rest.split_once(':') {
        Some((domain, name)) => (domain, Some(name)),
        None => (rest, None),
    };
    let domain_ok = !domain.is_empty()
        && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    let wrong = |c: char| ",;*&$|".contains(c) || c.is_whitespace();
    dated && domain_ok && name.is_none_or(|name| !name.is_empty() && !name.contains(wrong))
}

fn initiator(text: &str, path: &Path) -> Option<FieldError> {
    let detail = if !["iqn", "eui", "naa"].iter().any(|prefix| text.starts_with(prefix)) {
        "must be valid format starting with iqn, eui, or naa"
    } else if !text.is_ascii() || !is_initiator(text) {
        "must be valid format"
    } else {
        return None;
    };
    Some(FieldError::invalid(path, text, detail))
}

fn iscsi(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let iqn = source["iqn"].as_str().unwrap_or_default();
    if !iqn.is_empty() {
        errors.extend(initiator(iqn, &path.child("iqn")));
    }
    let lun = source["lun"].as_i64().unwrap_or(0);
    if !LUNS.contains(&lun) {
        let detail = "must be between 0 and 255, inclusive";
        errors.push(FieldError::invalid(&path.child("lun"), lun, detail));
    }
    let chap = ["chapAuthDiscovery", "chapAuthSession"].iter().any(|field| source[*field] == true);
    if chap && source["secretRef"].is_null() {
        errors.push(FieldError::required(&path.child("secretRef"), ""));
    }
    if let Some(own) = source["initiatorName"].as_str() {
        errors.extend(initiator(own, &path.child("initiatorname")));
    }
    errors
}

/// Whether the name of an iSCSI volume and its portal are too long to make one name of both, for a
/// source that names its initiator; if so, why that is refused.
pub(super) fn iscsi_name_is_too_long(volume: &str, source: &Value) -> Option<&'static str> {
    let portal = source["targetPortal"].as_str().unwrap_or_default();
    let long = volume.len() + 1 + portal.len() > 64;
    (long && !source["initiatorName"].is_null()).then_some(
        "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
         iscsi.initiatorName is specified.",
    )
}

fn flocker(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let text = |field: &str| source[field].as_str().unwrap_or_default();
    match (text("datasetName").is_empty(), text("datasetUUID").is_empty()) {
        (true, true) => {
            let detail = "one of datasetName and datasetUUID is required";
            errors.push(FieldError::required(path, detail));
        }
        (false, false) => {
            let detail = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", detail));
        }
        _ => {}
    }
    if text("datasetName").contains('/') {
        let at = path.child("datasetName");
        errors.push(FieldError::invalid(&at, text("datasetName"), "must not contain '/'"));
    }
    errors
}

fn quobyte(source: &Value, path: &Path) -> Errors {
    let registry = source["registry"].as_str().unwrap_or_default();
    if registry.is_empty() {
        return vec![FieldError::required(&path.child("registry"), PAIRS)];
    }
    if source["tenant"].as_str().is_some_and(|tenant| tenant.len() > 64) {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        return vec![FieldError::required(&path.child("tenant"), detail)];
    }
    let pair = |pair: &&str| match pair.rsplit_once(':') {
        Some((host, _)) => !host.contains(':') || (host.starts_with('[') && host.ends_with(']')),
        None => false,
    };
    let wrong = registry.split(',').filter(|text| !pair(text));
    wrong.map(|_| FieldError::invalid(&path.child("registry"), registry, PAIRS)).collect()
}

fn fibre_channel(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let list = |field: &str| source[field].as_array().filter(|list| !list.is_empty());
    let at = path.child("targetWWNs");
    match (list("targetWWNs"), list("wwids")) {
        (None, None) => {
            let detail = "must specify either targetWWNs or wwids, but not both";
            errors.push(FieldError::required(&at, detail));
        }
        (Some(names), Some(_)) => {
            let detail = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(FieldError::invalid(&at, json!(names), detail));
        }
        _ => {}
    }
    if list("targetWWNs").is_some() {
        match source["lun"].as_i64() {
            None => {
                let detail = "lun is required if targetWWNs is specified";
                errors.push(FieldError::required(&path.child("lun"), detail));
            }
            Some(lun) if !LUNS.contains(&lun) => {
                let detail = "must be between 0 and 255, inclusive";
                errors.push(FieldError::invalid(&path.child("lun"), lun, detail));
            }
            Some(_) => {}
        }
    }
    errors
}

/// Options are the user's own, not Kubernetes'.
fn flex_options(options: &Value, path: &Path) -> Errors {
    let reserved = |key: &str| {
        let namespace = key.split('/').next().unwrap_or(key).to_lowercase();
        let namespace = format!(".{namespace}");
        namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io")
    };
    let keys = options.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let detail = "kubernetes.io and k8s.io namespaces are reserved";
    let reserved = keys.filter(|key| reserved(key));
    reserved.map(|key| FieldError::invalid(&path.key(key), key, detail)).collect()
}

fn azure_disk(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (field, supported) in [("cachingMode", CACHING), ("kind", DISK_KINDS)] {
        if let Some(given) = source[field].as_str().filter(|given| !supported.contains(given)) {
            errors.push(FieldError::not_supported(&path.child(field), given, supported));
        }
    }
    let (uri, at) = (source["diskURI"].as_str().unwrap_or_default(), path.child("diskURI"));
    let (start, form) = match source["kind"].as_str() {
        Some("Managed") => (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ),
        Some(_) => (
            "https://",
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
        ),
        None => return errors,
    };
    if !uri.starts_with(start) {
        errors.push(FieldError::not_supported(&at, uri, &[form]));
    }
    errors
}
