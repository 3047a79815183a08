//! Environment variables and where their values come from.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector,
};
use serde_json::json;

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

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub(super) fn validate(container: &Container, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, variable) in container.env.iter().flatten().enumerate() {
        errors.extend(validate_variable(variable, &path.child("env").index(n)));
    }
    for (n, source) in container.env_from.iter().flatten().enumerate() {
        let path = path.child("envFrom").index(n);
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
                errors.push(FieldError::invalid(&path, "", detail));
            }
            (None, None) => {
                let detail = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid(&path, "", detail));
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

fn validate_variable(variable: &EnvVar, path: &Path) -> Errors {
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
        errors.extend(validate_source(source, valued, &path.child("valueFrom")));
    }
    errors
}

fn validate_source(source: &EnvVarSource, valued: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut sources = 0;
    if let Some(field) = &source.field_ref {
        sources += 1;
        errors.extend(validate_field(field, ENV_FIELDS, true, &path.child("fieldRef")));
    }
    if let Some(resource) = &source.resource_field_ref {
        sources += 1;
        errors.extend(validate_resource(resource, &path.child("resourceFieldRef")));
    }
    for (field, key) in [
        ("configMapKeyRef", source.config_map_key_ref.as_ref().map(|r| (&r.name, &r.key))),
        ("secretKeyRef", source.secret_key_ref.as_ref().map(|r| (&r.name, &r.key))),
    ] {
        let Some((name, key)) = key else { continue };
        sources += 1;
        errors.extend(reference_name(name, &path.child(field).child("name")));
        let path = path.child(field).child("key");
        if key.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else {
            errors.extend(
                names::config_key(key).iter().map(|m| FieldError::invalid(&path, key.as_str(), m)),
            );
        }
    }
    let others = usize::from(source.file_key_ref.is_some());
    if sources + others == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.push(FieldError::invalid(path, "", detail));
    } else if valued {
        errors.push(FieldError::invalid(
            path,
            "",
            "may not be specified when `value` is not empty",
        ));
    } else if sources + others > 1 {
        errors.push(FieldError::invalid(
            path,
            "",
            "may not have more than one field specified at a time",
        ));
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
pub(super) fn validate_field(
    field: &ObjectFieldSelector,
    fields: &[&str],
    subscripts: bool,
    path: &Path,
) -> Errors {
    let text = field.field_path.as_str();
    if field.api_version.as_deref().unwrap_or_default().is_empty() {
        return vec![FieldError::required(&path.child("apiVersion"), "")];
    }
    if text.is_empty() {
        return vec![FieldError::required(&path.child("fieldPath"), "")];
    }
    let path = path.child("fieldPath");
    let subscript = text.strip_suffix("']").and_then(|text| {
        let rest = text.strip_prefix("metadata.labels['");
        rest.or_else(|| text.strip_prefix("metadata.annotations['"))
    });
    match subscript {
        Some(key) if subscripts || !key.is_empty() => {
            let messages = names::qualified_name(&key.to_ascii_lowercase());
            messages.iter().map(|m| FieldError::invalid(&path, key, m)).collect()
        }
        _ if fields.contains(&text) => Errors::new(),
        _ => vec![FieldError::not_supported(&path, text, fields)],
    }
}

pub(super) fn validate_resource(resource: &ResourceFieldSelector, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let name = resource.resource.as_str();
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&name) && !name.contains(".hugepages-") {
        errors.push(FieldError::not_supported(&path.child("resource"), name, RESOURCES));
    }
    let divisor = resource.divisor.as_ref().and_then(|divisor| Quantity::try_from(divisor).ok());
    if let Some(divisor) = divisor.filter(|divisor| !divisor.is_zero()) {
        let text = divisor.to_string();
        let permitted: &[&str] = if name.ends_with("cpu") {
            &["1m", "1"]
        } else {
            &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"]
        };
        // A divisor of 0 stands for 1; others would make the value meaningless.
        if !permitted.contains(&text.as_str()) {
            let detail = format!(
                "only divisor's values {} are supported with the {} resource",
                permitted.join(", "),
                name
            );
            errors.push(FieldError::invalid(&path.child("divisor"), json!(text), &detail));
        }
    }
    errors
}
