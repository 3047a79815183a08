//! The status of a claim: what it got, who uses it, and what drivers say about the devices.

use std::collections::HashSet;

use ipnet::IpNet;
use serde_json::Value;

use super::request::{validate_name, validate_names, validate_toleration};
use super::{
    MAX_CONFIGS, each_of, list, own_text, set_of, text, validate_binding, validate_configuration,
    validate_driver, validate_label_name, validate_nodes, validate_pool_name, validate_raw,
};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::bounds::immutable;
use crate::strategy::conditions;

const MAX_RESERVATIONS: usize = 256;
const MAX_RESULTS: usize = 32;
const MAX_TOLERATIONS: usize = 16;
const MAX_CONDITIONS: usize = 8;
const MAX_IPS: usize = 16;
/// Bytes of the name and of the address of a network interface.
const MAX_INTERFACE: usize = 256;
const MAX_HARDWARE: usize = 128;
const SOURCES: &[&str] = &["FromClaim", "FromClass"];
const NO_UID: &str = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
const NO_ADDRESS: &str =
    "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
const DELETED: &str =
    "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";

/// Driver, pool and name of a device.
pub(super) fn device_of(of: &Value) -> [String; 3] {
    ["driver", "pool", "device"].map(|field| text(of, field).to_owned())
}

/// The device, and the share of it when it can be allocated several times.
fn share_of(of: &Value) -> String {
    let device = device_of(of).join("/");
    match of["shareID"].as_str() {
        Some(share) => format!("{device}/{share}"),
        None => device,
    }
}

/// Checks a changed status of a claim.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let (status, path) = (&new["status"], Path::new("status"));
    let (allocation, at) = (&status["allocation"], path.child("allocation"));
    let check = |user: &Value, path: &Path| {
        let missing = ["resource", "name", "uid"].into_iter().filter(|f| text(user, f).is_empty());
        missing.map(|field| FieldError::required(&path.child(field), "")).collect()
    };
    let uid = |user: &Value| text(user, "uid").to_owned();
    let mut errors = set_of(status, "reservedFor", MAX_RESERVATIONS, &path, check, uid);
    let allocated: HashSet<String> =
        list(&allocation["devices"], "results").iter().map(share_of).collect();
    let check = |device: &Value, path: &Path| validate_device(device, &allocated, path);
    errors.extend(set_of(status, "devices", usize::MAX, &path, check, share_of));
    let (users, before) = (list(status, "reservedFor"), list(&old["status"], "reservedFor"));
    let reserved_at = path.child("reservedFor");
    if !users.is_empty() && allocation.is_null() {
        let detail = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden(&reserved_at, detail));
    } else if !new["metadata"]["deletionTimestamp"].is_null()
        && users.iter().any(|user| !before.contains(user))
    {
        errors.push(FieldError::forbidden(&reserved_at, DELETED));
    }
    // What was allocated stays until all of it is given back.
    match (allocation.is_null(), &old["status"]["allocation"]) {
        (true, _) => {}
        (false, Value::Null) => {
            errors.extend(validate_allocation(allocation, &new["spec"]["devices"], &at));
        }
        (false, had) => errors.extend(immutable(allocation, had, &at)),
    }
    errors
}

fn validate_allocation(allocation: &Value, claim: &Value, path: &Path) -> Errors {
    let (devices, at) = (&allocation["devices"], path.child("devices"));
    let check = |result: &Value, path: &Path| validate_result(result, claim, path);
    let mut errors = each_of(devices, "results", MAX_RESULTS, &at, check);
    // Those of the classes, and those of the claim.
    errors.extend(each_of(devices, "config", 2 * MAX_CONFIGS, &at, |config, path| {
        let (source, at) = (text(config, "source"), path.child("source"));
        let mut errors = Errors::new();
        if source.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !SOURCES.contains(&source) {
            errors.push(FieldError::not_supported(&at, source, SOURCES));
        }
        errors.extend(validate_names(claim, config, path));
        errors.extend(validate_configuration(config, path));
        errors
    }));
    if !allocation["nodeSelector"].is_null() {
        errors.extend(validate_nodes(&allocation["nodeSelector"], &path.child("nodeSelector")));
    }
    errors
}

fn validate_result(result: &Value, claim: &Value, path: &Path) -> Errors {
    let mut errors = validate_name(claim, text(result, "request"), &path.child("request"));
    errors.extend(validate_identity(result, path));
    errors.extend(validate_binding(result, path));
    errors.extend(each_of(result, "tolerations", MAX_TOLERATIONS, path, validate_toleration));
    errors
}

fn validate_identity(of: &Value, path: &Path) -> Errors {
    let mut errors = validate_driver(of, path);
    errors.extend(validate_pool_name(of, "pool", path));
    errors.extend(validate_label_name(of, "device", path));
    if let Some(share) = of["shareID"].as_str().filter(|share| !is_uid(share)) {
        errors.push(FieldError::invalid(&path.child("shareID"), share, NO_UID));
    }
    errors
}

fn is_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(n, b)| match n {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

fn validate_device(device: &Value, allocated: &HashSet<String>, path: &Path) -> Errors {
    let mut errors = validate_identity(device, path);
    let share = share_of(device);
    if !allocated.contains(&share) {
        let detail = "must be an allocated device in the claim";
        errors.push(FieldError::invalid(path, share, detail));
    }
    let (count, at) = (list(device, "conditions").len(), path.child("conditions"));
    if count > MAX_CONDITIONS {
        errors.push(FieldError::too_many(&at, count, MAX_CONDITIONS));
    }
    errors.extend(conditions::validate(&device["conditions"], &at));
    if !device["data"].is_null() {
        errors.extend(validate_raw(&device["data"], &path.child("data")));
    }
    let (network, path) = (&device["networkData"], path.child("networkData"));
    for (field, limit) in [("interfaceName", MAX_INTERFACE), ("hardwareAddress", MAX_HARDWARE)] {
        if text(network, field).len() > limit {
            errors.push(FieldError::too_long(&path.child(field), limit));
        }
    }
    errors.extend(set_of(network, "ips", MAX_IPS, &path, validate_address, own_text));
    errors
}

/// The address of an interface, with the length of its network's prefix.
fn validate_address(address: &Value, path: &Path) -> Errors {
    let shown = own_text(address);
    match shown.parse::<IpNet>() {
        Err(_) => vec![FieldError::invalid(path, shown, NO_ADDRESS)],
        Ok(parsed) if parsed.to_string() != shown => {
            let detail = format!("must be in canonical form (\"{parsed}\")");
            vec![FieldError::invalid(path, shown, &detail)]
        }
        Ok(_) => Errors::new(),
    }
}
