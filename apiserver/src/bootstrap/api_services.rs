//! The APIService objects: one for every version of a group, which says in which order clients are
//! shown groups and versions. All of them are served by this server.
//!
//! Source: k8s.io/kubernetes/pkg/controlplane/apiserver/aggregator.go.

use serde_json::{Value, json};

use crate::context::now;

pub(super) const TEXT: &str = include_str!("api_services.txt");
/// Says who keeps the object: `onstart` for built-in groups, `true` for those of definitions.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Those of the built-in groups.
pub(super) fn objects() -> Vec<Value> {
    let service = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [version, group, minimum, priority] = words[..] else { return None };
        let group = if group == "core" { "" } else { group };
        let number = |word: &str| word.parse::<i64>().unwrap_or(0);
        Some(of(version, group, (number(minimum), number(priority)), "onstart"))
    };
    let lines = TEXT.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(service).collect()
}

/// The object of a version of a group, with the least priorities of the group and of the version
/// in it.
pub(crate) fn of(
    version: &str,
    group: &str,
    (minimum, priority): (i64, i64),
    automanaged: &str,
) -> Value {
    let mut spec =
        json!({"version": version, "groupPriorityMinimum": minimum, "versionPriority": priority});
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {AUTOMANAGED: automanaged}},
        "spec": spec,
        "status": {"conditions": [{"type": "Available", "status": "True",
            "lastTransitionTime": api::meta::time(now()), "reason": "Local",
            "message": "Local APIServices are always available"}]},
    })
}

/// What `have` must become; `None` if it is as it should be.
pub(super) fn plan(want: &Value, have: &Value) -> Option<Value> {
    if have["spec"] == want["spec"] {
        return None;
    }
    let mut new = have.clone();
    new["spec"] = want["spec"].clone();
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_are_those_of_a_real_server() {
        let mut records = include_str!("../../../fixtures/wire/bootstrap.jsonl")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let record = records.find(|record| record["name"] == "apiservices").expect("a record");
        let comparable = |item: &Value| {
            let mut item = item.clone();
            for field in ["uid", "resourceVersion", "creationTimestamp"] {
                api::meta::remove(&mut item["metadata"], field);
            }
            for field in ["apiVersion", "kind"] {
                api::meta::remove(&mut item, field);
            }
            api::meta::remove(&mut item["status"]["conditions"][0], "lastTransitionTime");
            item
        };
        let items = record["response"]["items"].as_array().expect("items").iter();
        let items = items.filter(|item| item["metadata"]["labels"][AUTOMANAGED] == "onstart");
        let recorded: Vec<_> = items.map(comparable).collect();
        let ours = objects();
        assert_eq!(ours.len(), recorded.len());
        for ours in ours.iter().map(comparable) {
            assert!(recorded.contains(&ours), "{ours}");
        }
        // Every built-in group and version has one, but for the group of APIServices itself.
        let ours = [ours, super::super::metrics::api_services()].concat();
        let rows = api::resources::table().iter();
        for row in rows.filter(|row| row.group != "apiregistration.k8s.io") {
            let name = format!("{}.{}", row.version, row.group);
            assert!(ours.iter().any(|service| service["metadata"]["name"] == *name), "{name}");
        }
    }
}
