//! The rules of a FlowSchema: whose requests, and which.

use serde_json::Value;

use super::text;
use crate::field::{Errors, FieldError, Path};
use crate::names;

const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/// Kinds of subjects, and the field that each is described in.
const SUBJECTS: &[(&str, &str)] =
    &[("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
const SUBJECT_KINDS: &[&str] = &["Group", "ServiceAccount", "User"];
const NAMESPACE: &str = "each member of this list must be '*' or a DNS-1123 label; ";

pub(super) fn validate(rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let list = |field: &str| rule[field].as_array().map(Vec::as_slice).unwrap_or_default();
    let at = path.child("subjects");
    if list("subjects").is_empty() {
        errors.push(FieldError::required(&at, "subjects must contain at least one value"));
    }
    for (n, subject) in list("subjects").iter().enumerate() {
        errors.extend(validate_subject(subject, &at.index(n)));
    }
    if list("resourceRules").is_empty() && list("nonResourceRules").is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, detail));
    }
    for (n, rule) in list("resourceRules").iter().enumerate() {
        errors.extend(validate_resources(rule, &path.child("resourceRules").index(n)));
    }
    for (n, rule) in list("nonResourceRules").iter().enumerate() {
        errors.extend(validate_urls(rule, &path.child("nonResourceRules").index(n)));
    }
    errors
}

fn validate_subject(subject: &Value, path: &Path) -> Errors {
    let kind = text(subject, "kind");
    let Some((_, own)) = SUBJECTS.iter().find(|(name, _)| *name == kind) else {
        return vec![FieldError::not_supported(&path.child("kind"), kind, SUBJECT_KINDS)];
    };
    let (described, at) = (&subject[*own], path.child(own));
    let mut errors = Errors::new();
    if described.is_null() {
        let detail = format!("{own} is required when subject kind is '{kind}'");
        errors.push(FieldError::required(&at, &detail));
    } else {
        errors.extend(validate_described(kind, described, &at));
    }
    for (other, field) in SUBJECTS.iter().filter(|(name, _)| *name != kind) {
        if !subject[*field].is_null() {
            let detail = format!("{field} is forbidden when subject kind is not '{other}'");
            errors.push(FieldError::forbidden(&path.child(field), &detail));
        }
    }
    errors
}

fn validate_described(kind: &str, described: &Value, path: &Path) -> Errors {
    let (name, at) = (text(described, "name"), path.child("name"));
    let mut errors = Errors::new();
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    if kind != "ServiceAccount" {
        return errors;
    }
    if !name.is_empty() && name != "*" {
        errors.extend(FieldError::invalid_each(&at, name, &names::dns1123_subdomain(name)));
    }
    let (namespace, at) = (text(described, "namespace"), path.child("namespace"));
    if namespace.is_empty() {
        errors.push(FieldError::required(&at, "must specify namespace for service account"));
    } else {
        errors.extend(FieldError::invalid_each(&at, namespace, &names::dns1123_label(namespace)));
    }
    errors
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `*` stands alone, because it covers the others.
fn validate_wildcard(list: &Value, path: &Path, others: &str) -> Option<FieldError> {
    let items = texts(list);
    (items.len() > 1 && items.contains(&"*")).then(|| {
        let detail = format!("if '*' is present, must not specify other {others}");
        FieldError::invalid(path, list.clone(), &detail)
    })
}

fn validate_verbs(rule: &Value, path: &Path) -> Errors {
    let (verbs, path) = (&rule["verbs"], path.child("verbs"));
    let items = texts(verbs);
    if items.is_empty() {
        return vec![FieldError::required(&path, "verbs must contain at least one value")];
    }
    if !items.contains(&"*") && items.iter().any(|verb| !VERBS.contains(verb)) {
        return vec![FieldError::not_supported(&path, verbs.clone(), VERBS)];
    }
    validate_wildcard(verbs, &path, "verbs").into_iter().collect()
}

fn validate_resources(rule: &Value, path: &Path) -> Errors {
    let mut errors = validate_verbs(rule, path);
    for (field, one, others) in
        [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
    {
        let at = path.child(field);
        if texts(&rule[field]).is_empty() {
            let detail = format!("resource rules must supply at least one {one}");
            errors.push(FieldError::required(&at, &detail));
        }
        errors.extend(validate_wildcard(&rule[field], &at, others));
    }
    let (namespaces, at) = (texts(&rule["namespaces"]), path.child("namespaces"));
    if namespaces.is_empty() && rule["clusterScope"] != true {
        let detail =
            "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(&at, detail));
    } else if namespaces.contains(&"*") {
        errors.extend(validate_wildcard(&rule["namespaces"], &at, "namespaces"));
    } else {
        for (n, namespace) in namespaces.iter().enumerate() {
            for message in names::dns1123_label(namespace) {
                let detail = format!("{NAMESPACE}{message}");
                errors.push(FieldError::invalid(&at.index(n), *namespace, &detail));
            }
        }
    }
    errors
}

fn validate_urls(rule: &Value, path: &Path) -> Errors {
    let mut errors = validate_verbs(rule, path);
    let (urls, at) = (texts(&rule["nonResourceURLs"]), path.child("nonResourceURLs"));
    if urls.is_empty() {
        let detail = "nonResourceURLs must contain at least one value";
        errors.push(FieldError::required(&at, detail));
    } else if urls.contains(&"*") {
        errors.extend(validate_wildcard(&rule["nonResourceURLs"], &at, "non-resource URLs"));
    } else {
        for (n, url) in urls.iter().enumerate() {
            if let Some(detail) = wrong_in(url) {
                errors.push(FieldError::invalid(&at.index(n), *url, detail));
            }
        }
    }
    errors
}

/// What is wrong with the path of requests that are not for resources.
fn wrong_in(url: &str) -> Option<&'static str> {
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if url.contains('*') && (url.matches('*').count() > 1 || !url.ends_with("/*")) => {
            Some("wildcard can only do suffix matching")
        }
        _ => None,
    }
}
