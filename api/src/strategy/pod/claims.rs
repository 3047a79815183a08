//! Claims of devices: `resourceClaims` of a pod, `resources.claims` of its containers.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodResourceClaim, PodSpec, ResourceClaim};
use serde_json::{Value, json};

use super::{MIRROR, annotation};
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// The names that containers may use.
pub(super) fn named(spec: &PodSpec) -> BTreeSet<&str> {
    let names = spec.resource_claims.iter().flatten().map(|claim| claim.name.as_str());
    names.filter(|name| !name.is_empty()).collect()
}

/// Checks the claims of a pod, or of the template of one.
pub(super) fn validate(spec: &PodSpec, pod: Option<&Value>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (n, claim) in spec.resource_claims.iter().flatten().enumerate() {
        if pod.is_some_and(|metadata| annotation(metadata, MIRROR).is_some()) {
            let detail = "static pods do not support resource claims";
            errors.push(FieldError::forbidden(&Path::root(), detail));
            continue;
        }
        let path = path.child("resourceClaims").index(n);
        errors.extend(validate_claim(claim, &mut seen, &path));
    }
    errors
}

fn validate_claim<'a>(
    claim: &'a PodResourceClaim,
    seen: &mut BTreeSet<&'a str>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let (name, at) = (claim.name.as_str(), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !seen.insert(name) {
        errors.push(FieldError::duplicate(&at, name));
    } else {
        errors.extend(FieldError::invalid_each(&at, name, &names::dns1123_label(name)));
    }
    let (direct, template) = (&claim.resource_claim_name, &claim.resource_claim_template_name);
    let shown =
        json!({"Name": name, "ResourceClaimName": direct, "ResourceClaimTemplateName": template});
    match (direct, template) {
        (Some(_), Some(_)) => {
            let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
            errors.push(FieldError::invalid(path, shown, detail));
        }
        (None, None) => {
            let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
            errors.push(FieldError::invalid(path, shown, detail));
        }
        _ => {}
    }
    for (field, name) in [("resourceClaimName", direct), ("resourceClaimTemplateName", template)] {
        if let Some(name) = name {
            let messages = names::dns1123_subdomain(name);
            errors.extend(FieldError::invalid_each(&path.child(field), name, &messages));
        }
    }
    errors
}

/// Checks which of the pod's claims a container uses; a claim as a whole excludes its parts.
pub(super) fn validate_used(
    used: &[ResourceClaim],
    claims: &BTreeSet<&str>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (n, claim) in used.iter().enumerate() {
        let (name, path) = (claim.name.as_str(), path.index(n));
        let request = claim.request.as_deref().unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        if seen.contains(&(name, "")) {
            errors.push(FieldError::duplicate(&path, name));
        } else if request.is_empty() {
            for _ in seen.iter().filter(|(other, _)| *other == name) {
                errors.push(FieldError::duplicate(&path, name));
            }
        } else {
            let messages = names::dns1123_label(request);
            errors.extend(FieldError::invalid_each(&path.child("request"), request, &messages));
            if seen.contains(&(name, request)) {
                errors.push(FieldError::duplicate(&path, format!("{name}/{request}")));
            }
        }
        seen.insert((name, request));
        if !claims.contains(name) {
            let mut error = FieldError::not_found(&path, name);
            error.message.push_str(": must be one of the names in pod.spec.resourceClaims");
            if claims.is_empty() {
                error.message.push_str(" which is empty");
            } else {
                let names: Vec<&str> = claims.iter().copied().collect();
                error.message.push_str(": ");
                error.message.push_str(&names.join(", "));
            }
            errors.push(error);
        }
    }
    errors
}
