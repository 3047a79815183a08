//! Who is asked before an object is written: admission webhooks and admission policies.
//!
//! The kinds are stored and checked; every write of one is answered with a warning that it is not
//! enforced.

mod binding;
pub(super) mod client_config;
mod conditions;
mod matching;
mod policy;
mod rule;
#[cfg(test)]
mod tests;
mod webhook;

use serde_json::Value;

pub(crate) use binding::Binding;
pub(crate) use policy::Policy;
pub(crate) use webhook::WebhookConfiguration;

const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

fn list<'a>(map: &'a Value, field: &str) -> &'a [Value] {
    map[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
