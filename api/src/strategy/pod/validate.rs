//! The rules of a pod spec; what belongs to one field family is in the files beside.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;

use super::{affinity, container, resources, scheduling, security, volume};
use crate::field::{Errors, FieldError, Path};
use crate::names;

const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// Checks a pod spec, of a pod or of the template of a workload.
pub(in crate::strategy) fn validate_spec(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    errors.extend(volume::validate_all(volumes, &path.child("volumes")));
    let volumes: BTreeSet<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    errors.extend(container::validate_all(spec, &volumes, path));

    let required =
        |errors: &mut Errors, field: &str, value: &Option<String>, supported: &[&str]| {
            let path = path.child(field);
            match value.as_deref().unwrap_or_default() {
                "" => errors.push(FieldError::required(&path, "")),
                value if supported.contains(&value) => {}
                value => errors.push(FieldError::not_supported(&path, value, supported)),
            }
        };
    required(&mut errors, "restartPolicy", &spec.restart_policy, RESTART_POLICIES);
    required(&mut errors, "dnsPolicy", &spec.dns_policy, DNS_POLICIES);
    errors.extend(dns_config(spec, &path.child("dnsConfig")));
    for (key, value) in spec.node_selector.iter().flatten() {
        let path = path.child("nodeSelector");
        errors.extend(
            names::qualified_name(key).iter().map(|m| FieldError::invalid(&path, key.as_str(), m)),
        );
        errors.extend(
            names::label_value(value).iter().map(|m| FieldError::invalid(&path, value.as_str(), m)),
        );
    }
    errors.extend(security::validate_pod(spec, path));
    errors.extend(security::validate_proc_mounts(spec, path));
    for (n, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if secret.name.is_empty() {
            errors.push(FieldError::required(
                &path.child("imagePullSecrets").index(n).child("name"),
                "",
            ));
        }
    }
    if let Some(affinity) = &spec.affinity {
        errors.extend(affinity::validate(affinity, &path.child("affinity")));
    }
    errors.extend(names_and_deadlines(spec, path));
    errors.extend(scheduling::validate_tolerations(
        spec.tolerations.as_deref().unwrap_or_default(),
        &path.child("tolerations"),
    ));
    errors.extend(host_aliases(spec, &path.child("hostAliases")));
    errors.extend(scheduling::validate(spec, path));
    for (name, amount) in spec.overhead.iter().flatten() {
        errors.extend(resources::validate_amount(name, amount, &path.child("overhead").key(name)));
    }
    errors
}

/// Everything that is a name or a number of seconds.
fn names_and_deadlines(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut check = |field: &str, value: &Option<String>, rule: fn(&str) -> Vec<String>| {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            let messages = rule(value);
            errors
                .extend(messages.iter().map(|m| FieldError::invalid(&path.child(field), value, m)));
        }
    };
    check("serviceAccountName", &spec.service_account_name, names::dns1123_subdomain);
    check("nodeName", &spec.node_name, names::dns1123_subdomain);
    check("hostname", &spec.hostname, names::dns1123_label);
    check("subdomain", &spec.subdomain, names::dns1123_label);
    check("priorityClassName", &spec.priority_class_name, names::dns1123_subdomain);
    check("runtimeClassName", &spec.runtime_class_name, names::dns1123_subdomain);
    check("schedulerName", &spec.scheduler_name, names::qualified_name);
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), seconds, detail));
    }
    match spec.termination_grace_period_seconds {
        Some(seconds) if seconds < 0 => {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(
                &path.child("terminationGracePeriodSeconds"),
                seconds,
                detail,
            ));
        }
        _ => {}
    }
    errors
}

fn dns_config(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let servers =
        spec.dns_config.as_ref().and_then(|c| c.nameservers.as_deref()).unwrap_or_default();
    if spec.dns_policy.as_deref() == Some("None") && servers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(&path.child("nameservers"), detail));
    }
    let Some(config) = &spec.dns_config else { return errors };
    if servers.len() > 3 {
        let detail = "must not have more than 3 nameservers";
        errors.push(FieldError::invalid(
            &path.child("nameservers"),
            serde_json::json!(servers),
            detail,
        ));
    }
    for (n, server) in servers.iter().enumerate() {
        errors.extend(ip(server, &path.child("nameservers").index(n)));
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > 32 {
        let detail = "must not have more than 32 search paths";
        errors.push(FieldError::invalid(
            &path.child("searches"),
            serde_json::json!(searches),
            detail,
        ));
    }
    for (n, search) in searches.iter().enumerate() {
        let name = search.strip_suffix('.').unwrap_or(search);
        if !name.is_empty() {
            let messages = names::dns1123_subdomain(&name.replace('_', "-"));
            let path = path.child("searches").index(n);
            errors.extend(messages.iter().map(|m| FieldError::invalid(&path, search.as_str(), m)));
        }
    }
    for (n, option) in config.options.iter().flatten().enumerate() {
        let name = option.name.as_deref().unwrap_or_default();
        let path = path.child("options").index(n);
        // They become words of one line of resolv.conf.
        let text = format!("{name}{}", option.value.as_deref().unwrap_or_default());
        if name.is_empty() {
            errors.push(FieldError::required(&path, "must not be empty"));
        } else if text.contains(char::is_whitespace) {
            errors.push(FieldError::invalid(&path, text, "must not contain white space"));
        }
    }
    errors
}

fn host_aliases(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = path.index(n);
        errors.extend(ip(&alias.ip, &path.child("ip")));
        for (n, name) in alias.hostnames.iter().flatten().enumerate() {
            let path = path.child("hostnames").index(n);
            let messages = names::dns1123_subdomain(name);
            errors.extend(messages.iter().map(|m| FieldError::invalid(&path, name.as_str(), m)));
        }
    }
    errors
}

fn ip(text: &str, path: &Path) -> Errors {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Errors::new(),
        Err(_) => {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            vec![FieldError::invalid(path, text, detail)]
        }
    }
}
