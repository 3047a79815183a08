//! What kinds of several groups warn about: names that become host names, fractions of bytes, labels
//! of nodes that have another name by now, addresses written in an unusual way.
//!
//! A warning is a line that a client is shown about an object that is accepted. [`Strategy`] says
//! when a kind warns; those of pods are with the pods.
//!
//! [`Strategy`]: super::Strategy

mod addresses;
mod node_labels;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::field::{Path, go_quote};
use crate::names;
use crate::quantity::Quantity;

pub(super) use addresses::{of_address, of_network};
pub(super) use node_labels::{deprecated_label, of_expressions, of_selector};

/// About a name that host names are made of and that is no label of a DNS name; `used` says for what.
pub(super) fn of_host_name(object: &Value, used: &str) -> Option<String> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let problems = names::dns1123_label(name);
    if problems.is_empty() {
        return None;
    }
    Some(format!(
        "metadata.name: this is used in {used}, which can result in surprising behavior; a DNS label \
         is recommended: [{}]",
        problems.join(" ")
    ))
}

/// [`of_host_name`] for a workload, whose pods are named after it.
pub(super) fn of_workload_name(object: &Value) -> Option<String> {
    of_host_name(object, "Pod names and hostnames")
}

/// About an amount of bytes that is not a whole number of them, such as `100m`. `path` is that of all
/// amounts.
pub(super) fn of_fraction(amounts: &Value, name: &str, path: &Path) -> Option<String> {
    let amount: Quantity = amounts.get(name)?.as_str()?.parse().ok()?;
    // What is less than a thousandth short of the next byte counts as that byte.
    if amount.is_whole() || amount.milli_value() % 1000 == 0 {
        return None;
    }
    Some(format!(
        "{}: fractional byte value {} is invalid, must be an integer",
        path.key(name),
        go_quote(&amount.to_string())
    ))
}
