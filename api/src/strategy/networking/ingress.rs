//! Ingress. Source: k8s.io/kubernetes/pkg/apis/networking/validation.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{text, validate_reference};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::address::NO_IP;
use crate::strategy::{Strategy, each, object_at, set_default};

/// The annotation by which a class was named before `spec.ingressClassName`.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const BAD_SEQUENCES: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const BAD_SUFFIXES: &[&str] = &["/..", "/."];
const NO_NAME: &str = "must be a DNS name, not an IP address";

#[derive(Debug)]
pub(crate) struct Ingress;

impl Strategy for Ingress {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        if let Some(backend) = object_at(object, "/spec/defaultBackend") {
            default_backend(backend);
        }
        for rule in each(object, "/spec/rules") {
            for path in each(rule, "/http/paths") {
                set_default(path, "backend", json!({}));
                default_backend(&mut path["backend"]);
            }
        }
        set_default(object, "status", json!({}));
        set_default(&mut object["status"], "loadBalancer", json!({}));
    }

    fn first_status(&self) -> Option<Value> {
        Some(json!({"loadBalancer": {}}))
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = validate_spec(&object["spec"], &Path::new("spec"));
        let annotation = object["metadata"]["annotations"][CLASS_ANNOTATION].as_str();
        let class = object["spec"]["ingressClassName"].as_str();
        if let (Some(annotation), Some(class)) = (annotation, class)
            && annotation != class
        {
            let path = Path::new("annotations").child(CLASS_ANNOTATION);
            let detail = "must match `ingressClassName` when both are specified";
            errors.push(FieldError::invalid(&path, annotation, detail));
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Errors {
        validate_spec(&new["spec"], &Path::new("spec"))
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("status").child("loadBalancer").child("ingress");
        let all = new["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
        for (n, ingress) in all.enumerate() {
            let (ip, host) = (text(ingress, "ip"), text(ingress, "hostname"));
            if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
                errors.push(FieldError::invalid(&path.index(n).child("ip"), ip, NO_IP));
            }
            if !host.is_empty() {
                let path = path.index(n).child("hostname");
                let messages = names::dns1123_subdomain(host);
                errors.extend(FieldError::invalid_each(&path, host, &messages));
                if host.parse::<IpAddr>().is_ok() {
                    errors.push(FieldError::invalid(&path, host, NO_NAME));
                }
            }
        }
        errors
    }

    /// Only who makes an Ingress is told.
    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        let annotated = new["metadata"]["annotations"][CLASS_ANNOTATION].is_string();
        if old.is_null() && annotated && new["spec"]["ingressClassName"].is_null() {
            vec![format!(
                "annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
            )]
        } else {
            Vec::new()
        }
    }
}

fn default_backend(backend: &mut Value) {
    if let Some(service) = object_at(backend, "/service") {
        set_default(service, "port", json!({}));
    }
}

fn validate_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let rules = spec["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() && spec["defaultBackend"].is_null() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(path, spec["rules"].clone(), detail));
    }
    if !spec["defaultBackend"].is_null() {
        errors.extend(validate_backend(&spec["defaultBackend"], &path.child("defaultBackend")));
    }
    for (n, rule) in rules.iter().enumerate() {
        errors.extend(validate_rule(rule, &path.child("rules").index(n)));
    }
    for (n, tls) in spec["tls"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("tls").index(n);
        for (n, host) in tls["hosts"].as_array().into_iter().flatten().enumerate() {
            let host = host.as_str().unwrap_or_default();
            errors.extend(validate_host(host, &path.child("hosts").index(n)));
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            let messages = names::dns1123_subdomain(secret);
            errors.extend(FieldError::invalid_each(&path.child("secretName"), secret, &messages));
        }
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        let messages = names::dns1123_subdomain(class);
        errors.extend(FieldError::invalid_each(&path.child("ingressClassName"), class, &messages));
    }
    errors
}

fn validate_host(host: &str, path: &Path) -> Errors {
    let rule =
        if host.contains('*') { names::wildcard_subdomain } else { names::dns1123_subdomain };
    FieldError::invalid_each(path, host, &rule(host))
}

fn validate_rule(rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let host = text(rule, "host");
    if !host.is_empty() {
        let path = path.child("host");
        if host.parse::<IpAddr>().is_ok() {
            errors.push(FieldError::invalid(&path, host, NO_NAME));
        }
        errors.extend(validate_host(host, &path));
    }
    if rule["http"].is_null() {
        return errors;
    }
    let at = path.child("http").child("paths");
    let paths = rule["http"]["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
    if paths.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    for (n, path) in paths.iter().enumerate() {
        errors.extend(validate_path(path, &at.index(n)));
    }
    errors
}

fn validate_path(http: &Value, path: &Path) -> Errors {
    let Some(kind) = http["pathType"].as_str() else {
        let path = path.child("pathType");
        return vec![FieldError::required(&path, "pathType must be specified")];
    };
    let mut errors = Errors::new();
    let (value, at) = (text(http, "path"), path.child("path"));
    let strict = matches!(kind, "Exact" | "Prefix");
    if !PATH_TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("pathType"), kind, PATH_TYPES));
    } else if !value.starts_with('/') && (strict || !value.is_empty()) {
        errors.push(FieldError::invalid(&at, value, "must be an absolute path"));
    }
    if strict {
        for bad in BAD_SEQUENCES.iter().filter(|bad| value.contains(**bad)) {
            errors.push(FieldError::invalid(&at, value, &format!("must not contain '{bad}'")));
        }
        for bad in BAD_SUFFIXES.iter().filter(|bad| value.ends_with(**bad)) {
            errors.push(FieldError::invalid(&at, value, &format!("cannot end with '{bad}'")));
        }
    }
    errors.extend(validate_backend(&http["backend"], &path.child("backend")));
    errors
}

fn validate_backend(backend: &Value, path: &Path) -> Errors {
    let (resource, service) = (&backend["resource"], &backend["service"]);
    match (resource.is_null(), service.is_null()) {
        (false, false) => {
            let detail = "cannot set both resource and service backends";
            return vec![FieldError::invalid(path, "", detail)];
        }
        (true, true) => {
            let detail = "resource or service backend is required";
            return vec![FieldError::invalid(path, "", detail)];
        }
        (false, true) => return validate_reference(resource, &path.child("resource")),
        (true, false) => {}
    }
    let mut errors = Errors::new();
    let (name, at) = (text(service, "name"), path.child("service").child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        errors.extend(FieldError::invalid_each(&at, name, &names::dns1123_label(name)));
    }
    let (port, at) = (&service["port"], path.child("service").child("port"));
    match (text(port, "name"), port["number"].as_i64().unwrap_or(0)) {
        ("", 0) => errors.push(FieldError::required(path, "port name or number is required")),
        ("", number) => {
            for message in names::port_number(number) {
                errors.push(FieldError::invalid(&at.child("number"), number, &message));
            }
        }
        (name, 0) => {
            let messages = names::port_name(name);
            errors.extend(FieldError::invalid_each(&at.child("name"), name, &messages));
        }
        _ => {
            let detail = "cannot set both port name & port number";
            errors.push(FieldError::invalid(path, "", detail));
        }
    }
    errors
}
