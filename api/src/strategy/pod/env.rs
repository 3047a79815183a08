//! Environment variables and where their values come from.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, FileKeySelector, ObjectFieldSelector, ResourceFieldSelector,
};

use super::validate::Whole;
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::Quantity;

/// Fields of a pod that a variable may show.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of a pod that a file may show.
pub(super) const FILE_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// Fields that a pod has and neither may show.
const OTHER_FIELDS: &[&str] = &[
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.terminationGracePeriodSeconds",
    "status.phase",
];

const CPU_DIVISORS: &[&str] = &["1m", "1"];
const BYTE_DIVISORS: &[&str] =
    &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Checks the variables of a container. Like Kubernetes, the path of a source with none or several
/// references leaves out which source.
pub(super) fn validate(container: &Container, whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, variable) in container.env.iter().flatten().enumerate() {
        errors.extend(validate_variable(variable, whole, &path.child("env").index(n)));
    }
    let Some(sources) = &container.env_from else { return errors };
    let list = path.child("envFrom");
    for (n, source) in sources.iter().enumerate() {
        let path = list.index(n);
        if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
            let messages = names::env_name(prefix);
            errors.extend(
                messages.iter().map(|m| FieldError::invalid(&path.child("prefix"), prefix, m)),
            );
        }
        let (map, secret) = (source.config_map_ref.as_ref(), source.secret_ref.as_ref());
        match (map, secret) {
            (Some(_), Some(_)) => {
                let detail = "may not have more than one field specified at a time";
                errors.push(FieldError::invalid(&list, "", detail));
            }
            (None, None) => {
                let detail = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid(&list, "", detail));
            }
            _ => {}
        }
        for (field, name) in
            [("configMapRef", map.map(|m| &m.name)), ("secretRef", secret.map(|s| &s.name))]
        {
            if let Some(name) = name {
                errors.extend(reference_name(name, &path.child(field).child("name")));
            }
        }
    }
    errors
}

fn validate_variable(variable: &EnvVar, whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if variable.name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else {
        let messages = names::env_name(&variable.name);
        errors.extend(
            messages
                .iter()
                .map(|m| FieldError::invalid(&path.child("name"), variable.name.as_str(), m)),
        );
    }
    // Nothing can hold a NUL byte in its environment.
    if variable.value.as_deref().is_some_and(|value| value.contains('\0')) {
        let detail = "must not contain a NUL character";
        errors.push(FieldError::invalid(
            &path.child("value"),
            variable.value.clone().unwrap_or_default(),
            detail,
        ));
    }
    if let Some(source) = &variable.value_from {
        let valued = variable.value.as_deref().is_some_and(|value| !value.is_empty());
        errors.extend(validate_source(source, valued, whole, &path.child("valueFrom")));
    }
    errors
}

fn validate_source(source: &EnvVarSource, valued: bool, whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut sources = 0;
    if let Some(field) = &source.field_ref {
        sources += 1;
        errors.extend(validate_field(field, ENV_FIELDS, &path.child("fieldRef")));
    }
    if let Some(resource) = &source.resource_field_ref {
        sources += 1;
        errors.extend(validate_resource(resource, false, &path.child("resourceFieldRef")));
    }
    for (field, key) in [
        ("configMapKeyRef", source.config_map_key_ref.as_ref().map(|r| (&r.name, &r.key))),
        ("secretKeyRef", source.secret_key_ref.as_ref().map(|r| (&r.name, &r.key))),
    ] {
        let Some((name, key)) = key else { continue };
        sources += 1;
        let messages = names::dns1123_subdomain(name);
        errors.extend(FieldError::invalid_each(&path.child(field).child("name"), name, &messages));
        let path = path.child(field).child("key");
        if key.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else {
            errors.extend(
                names::config_key(key).iter().map(|m| FieldError::invalid(&path, key.as_str(), m)),
            );
        }
    }
    if let Some(file) = &source.file_key_ref {
        sources += 1;
        errors.extend(validate_file(file, whole, &path.child("fileKeyRef")));
    }
    let detail = if sources == 0 {
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
    } else if valued {
        "may not be specified when `value` is not empty"
    } else if sources > 1 {
        "may not have more than one field specified at a time"
    } else {
        return errors;
    };
    errors.push(FieldError::invalid(path, "", detail));
    errors
}

/// A variable from a file, which an init container leaves in a folder that the pod has for itself.
fn validate_file(file: &FileKeySelector, whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (key, at) = (file.key.as_str(), path.child("key"));
    if key.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        errors.extend(FieldError::invalid_each(&at, key, &names::env_name(key)));
    }
    let (volume, at) = (file.volume_name.as_str(), path.child("volumeName"));
    if volume.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        errors.extend(FieldError::invalid_each(&at, volume, &names::dns1123_label(volume)));
    }
    if file.path.is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
    } else {
        errors.extend(super::volume::no_backsteps(&file.path, &path.child("path")));
    }
    match whole.spec.volumes.iter().flatten().find(|known| known.name == volume) {
        None => errors.push(FieldError::not_found(&at, volume)),
        Some(known) if known.empty_dir.is_none() => {
            let detail = "referenced volume must be of type emptyDir";
            errors.push(FieldError::invalid(&at, volume, detail));
        }
        Some(_) => {}
    }
    errors
}

fn reference_name(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    names::dns1123_subdomain(name).iter().map(|m| FieldError::invalid(path, name, m)).collect()
}

/// `metadata.labels['key']` and `metadata.annotations['key']` beside the plain paths.
pub(super) fn validate_field(field: &ObjectFieldSelector, fields: &[&str], at: &Path) -> Errors {
    let text = field.field_path.as_str();
    let version = field.api_version.as_deref().unwrap_or_default();
    if version.is_empty() {
        return vec![FieldError::required(&at.child("apiVersion"), "")];
    }
    let path = at.child("fieldPath");
    if text.is_empty() {
        return vec![FieldError::required(&path, "")];
    }
    let unknown = |why: String| {
        let detail = format!("error converting fieldPath: {why}");
        vec![FieldError::invalid(&path, text, &detail)]
    };
    if version != "v1" {
        return unknown(format!("unsupported pod version: {version}"));
    }
    let subscript = text.strip_suffix("']").and_then(|text| text.split_once("['"));
    match subscript {
        Some(("metadata.annotations", key)) => {
            let key = key.to_ascii_lowercase();
            FieldError::invalid_each(at, &key, &names::qualified_name(&key))
        }
        Some(("metadata.labels", key)) => {
            FieldError::invalid_each(at, key, &names::qualified_name(key))
        }
        Some(_) => unknown(format!("field label does not support subscript: {text}")),
        None if fields.contains(&text) => Errors::new(),
        None if is_field(text) => vec![FieldError::not_supported(&path, text, fields)],
        None => unknown(format!("field label not supported: {text}")),
    }
}

/// Whether a pod has the field and may show it somewhere.
fn is_field(text: &str) -> bool {
    ENV_FIELDS.contains(&text) || FILE_FIELDS.contains(&text) || OTHER_FIELDS.contains(&text)
}

pub(super) fn validate_resource(
    resource: &ResourceFieldSelector,
    in_file: bool,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let name = resource.resource.as_str();
    let huge = name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if in_file && resource.container_name.as_deref().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if name.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&name) && !huge {
        errors.push(FieldError::not_supported(&path.child("resource"), name, RESOURCES));
    }
    let divisor = resource.divisor.as_ref().and_then(|divisor| Quantity::try_from(divisor).ok());
    // A divisor of 0 stands for 1; others would make the value meaningless.
    let Some(divisor) = divisor.filter(|divisor| !divisor.is_zero()) else { return errors };
    let (permitted, kind) = match name.split_once('.').map_or("", |(_, kind)| kind) {
        "cpu" => (CPU_DIVISORS, "cpu"),
        "memory" => (BYTE_DIVISORS, "memory"),
        "ephemeral-storage" => (BYTE_DIVISORS, "local ephemeral storage"),
        _ if huge => (BYTE_DIVISORS, "hugepages"),
        _ => return errors,
    };
    if !permitted.contains(&divisor.to_string().as_str()) {
        let values = permitted.join(if kind == "cpu" { " and " } else { ", " });
        let detail =
            format!("only divisor's values {values} are supported with the {kind} resource");
        errors.push(FieldError::invalid(&path.child("divisor"), name, &detail));
    }
    errors
}
