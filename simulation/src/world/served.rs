//! What is served besides objects: which kinds a group has, and what pods use.

use api::resources;
use api::selector::LabelSelector;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::query;
use super::{Answer, State, row};
use crate::facts::{name, serves, text};

/// Thousandths of a CPU that autoscalers want a pod to use. All pods of a workload together use so many
/// times this as [`LOAD`] says, however many they are; up to seven share it without a remainder.
pub(crate) const TARGET: i64 = 420;
/// The label of a workload's pods that says how many pods their load is worth.
pub(crate) const LOAD: &str = "load";

/// Answers a request for a path; `None` if it is none of these.
pub(super) fn answer(state: &State, path: &str, text: &str, now: Timestamp) -> Option<Answer> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let answer = match segments.as_slice() {
        ["apis", group, version] => kinds(group, version),
        ["apis", "metrics.k8s.io", "v1beta1", "namespaces", namespace, "pods"] => {
            let query = query(text);
            let selector = query.get("labelSelector").map_or("", String::as_str);
            usage(state, namespace, &LabelSelector::parse(selector).ok()?, now)
        }
        _ => return None,
    };
    Some(Ok((200, Bytes::from(answer.to_string()))))
}

/// The kinds of a group.
fn kinds(group: &str, version: &str) -> Value {
    let mut all = Vec::new();
    let rows = resources::table().iter().filter(|row| row.group == group && row.version == version);
    for row in rows {
        let entry = |name: String, kind: &str| {
            json!({"name": name, "singularName": "", "namespaced": row.namespaced(), "kind": kind,
                "verbs": ["get"]})
        };
        all.push(entry(row.plural.to_string(), &row.kind));
        for subresource in &row.subresources {
            all.push(entry(format!("{}/{}", row.plural, subresource.name), &row.kind));
        }
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": format!("{group}/{version}"), "resources": all})
}

/// What pods use that serve: they share the load evenly.
fn usage(state: &State, namespace: &str, selector: &LabelSelector, now: Timestamp) -> Value {
    let selected = |pod: &&Value| {
        text(pod, "/metadata/namespace") == namespace && selector.matches_object(pod) && serves(pod)
    };
    let pods: Vec<&Value> = state.all(row("", "pods")).filter(selected).collect();
    let count = i64::try_from(pods.len()).unwrap_or(1).max(1);
    let items = pods.iter().map(|pod| {
        let load = pod["metadata"]["labels"][LOAD].as_str().and_then(|load| load.parse().ok());
        let share = load.unwrap_or(0) * TARGET / count;
        json!({"metadata": {"name": name(pod), "namespace": namespace}, "window": "15s",
            "timestamp": api::meta::time(now),
            "containers": [{"name": "c", "usage": {"cpu": format!("{share}m")}}]})
    });
    json!({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {},
        "items": items.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_with_their_subresources() {
        let list = kinds("apps", "v1");
        let names: Vec<&str> = list["resources"].as_array().unwrap().iter().map(plural).collect();
        for name in ["deployments", "deployments/scale", "daemonsets"] {
            assert!(names.contains(&name), "{name} is missing: {names:?}");
        }
        assert!(!names.contains(&"pods") && !names.contains(&"daemonsets/scale"));
    }

    fn plural(entry: &Value) -> &str {
        text(entry, "/name")
    }
}
