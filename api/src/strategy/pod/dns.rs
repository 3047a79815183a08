//! Names and addresses: what a pod asks of its resolver, and how it is called itself.

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};
use serde_json::json;

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::address;

const NAMESERVERS: usize = 3;
const SEARCHES: usize = 32;
/// Characters of all search domains in one line, as the C library reads it.
const SEARCH_CHARACTERS: usize = 2048;
/// Bytes of a host name, as the kernel keeps it.
const HOSTNAME: usize = 64;

/// Checks `dnsConfig`, which must not be missing where it is all there is.
pub(super) fn validate_config(spec: &PodSpec, path: &Path) -> Errors {
    let alone = spec.dns_policy.as_deref() == Some("None");
    if spec.dns_config.is_none() && !alone {
        return Errors::new();
    }
    let path = &path.child("dnsConfig");
    let Some(config) = &spec.dns_config else {
        let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
        return vec![FieldError::required(path, detail)];
    };
    if alone && config.nameservers.as_ref().is_none_or(Vec::is_empty) {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        return vec![FieldError::required(&path.child("nameservers"), detail)];
    }
    validate(config, path)
}

fn validate(config: &PodDNSConfig, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let servers = config.nameservers.as_deref().unwrap_or_default();
    let at = path.child("nameservers");
    if servers.len() > NAMESERVERS {
        let detail = format!("must not have more than {NAMESERVERS} nameservers");
        errors.push(FieldError::invalid(&at, json!(servers), &detail));
    }
    for (n, server) in servers.iter().enumerate() {
        errors.extend(address::check(server, &at.index(n)));
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    let at = path.child("searches");
    if searches.len() > SEARCHES {
        let detail = format!("must not have more than {SEARCHES} search paths");
        errors.push(FieldError::invalid(&at, json!(searches), &detail));
    }
    let line = searches.iter().map(String::len).sum::<usize>() + searches.len().saturating_sub(1);
    if line > SEARCH_CHARACTERS {
        let detail = format!(
            "must not have more than {SEARCH_CHARACTERS} characters (including spaces) in the search list"
        );
        errors.push(FieldError::invalid(&at, json!(searches), &detail));
    }
    for (n, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        let name = search.strip_suffix('.').unwrap_or(search);
        let messages = names::subdomain_with_underscore(name);
        errors.extend(FieldError::invalid_each(&at.index(n), name, &messages));
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

pub(super) fn validate_host_aliases(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (n, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = path.child("hostAliases").index(n);
        errors.extend(address::check(&alias.ip, &path.child("ip")));
        for (n, name) in alias.hostnames.iter().flatten().enumerate() {
            let path = path.child("hostnames").index(n);
            errors.extend(FieldError::invalid_each(&path, name, &names::dns1123_subdomain(name)));
        }
    }
    errors
}

/// Checks the name that replaces all others.
pub(super) fn validate_hostname_override(spec: &PodSpec, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(name) = &spec.hostname_override else { return errors };
    let path = &path.child("hostnameOverride");
    if spec.set_hostname_as_fqdn == Some(true) {
        let detail = "may not be specified when setHostnameAsFQDN is true";
        errors.push(FieldError::forbidden(path, detail));
    }
    if spec.host_network == Some(true) {
        let detail = "may not be specified when hostNetwork is true";
        errors.push(FieldError::forbidden(path, detail));
    }
    if name.len() > HOSTNAME {
        errors.push(FieldError::too_long(path, HOSTNAME));
    }
    errors.extend(FieldError::invalid_each(path, name, &names::dns1123_subdomain(name)));
    errors
}
