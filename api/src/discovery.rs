//! Discovery documents, made from the table: what kubectl asks first.
//!
//! All functions take the rows to show, so that custom resources appear next to built-in ones.
//! Legacy documents answer plain JSON requests; the aggregated form
//! (`apidiscovery.k8s.io/v2`) answers both `/api` and `/apis` in one piece each.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::resources::{Resource, Subresource, Verb};

/// The version of Kubernetes whose API this is.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

/// `GET /version`.
#[must_use]
pub fn version() -> Value {
    let git_version = format!("{KUBERNETES_VERSION}+wharf{}", env!("CARGO_PKG_VERSION"));
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": "1", "minor": "36",
        "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": git_version, "gitCommit": "", "gitTreeState": "clean", "buildDate": "",
        "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{arch}", std::env::consts::OS),
    })
}

/// `GET /api`. `server_address` is `HOST:PORT` as clients reach this server.
#[must_use]
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs":
            [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `GET /apis`.
#[must_use]
pub fn groups(rows: &[Arc<Resource>]) -> Value {
    let groups: Vec<Value> = group_names(rows)
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| group_entry(rows, name))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/GROUP`; `None` when no row is in the group.
#[must_use]
pub fn group(rows: &[Arc<Resource>], name: &str) -> Option<Value> {
    if name.is_empty() || !group_names(rows).contains(&name) {
        return None;
    }
    let mut entry = group_entry(rows, name);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = "v1".into();
    Some(entry)
}

/// `GET /api/v1` or `/apis/GROUP/VERSION`; `None` when no row is there.
#[must_use]
pub fn resource_list(rows: &[Arc<Resource>], group: &str, version: &str) -> Option<Value> {
    let here = rows_of(rows, group, version);
    let first = here.first()?;
    let mut resources = Vec::new();
    for row in &here {
        resources.push(resource_entry(row));
        resources.extend(row.subresources.iter().map(|sub| subresource_entry(row, sub)));
    }
    let mut list = json!({
        "kind": "APIResourceList", "groupVersion": first.api_version(), "resources": resources,
    });
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

/// `GET /api` (with `core`) or `/apis` in the aggregated form.
#[must_use]
pub fn aggregated(rows: &[Arc<Resource>], core: bool) -> Value {
    let items: Vec<Value> = group_names(rows)
        .into_iter()
        .filter(|name| name.is_empty() == core)
        .map(|name| {
            let versions: Vec<Value> = versions_of(rows, name)
                .into_iter()
                .map(|version| {
                    let resources: Vec<Value> =
                        rows_of(rows, name, version).into_iter().map(aggregated_entry).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items,
    })
}

fn group_names(rows: &[Arc<Resource>]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&&*row.group) {
            names.push(&row.group);
        }
    }
    names
}

fn versions_of<'a>(rows: &'a [Arc<Resource>], group: &str) -> Vec<&'a str> {
    let mut versions: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.group == group) {
        if !versions.contains(&&*row.version) {
            versions.push(&row.version);
        }
    }
    versions
}

fn rows_of<'a>(rows: &'a [Arc<Resource>], group: &str, version: &str) -> Vec<&'a Resource> {
    let mut here: Vec<&Resource> = rows
        .iter()
        .filter(|row| row.group == group && row.version == version)
        .map(Arc::as_ref)
        .collect();
    here.sort_by(|a, b| a.plural.cmp(&b.plural));
    here
}

fn group_entry(rows: &[Arc<Resource>], name: &str) -> Value {
    let versions: Vec<Value> = versions_of(rows, name)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    let preferred = versions.first().cloned();
    json!({"name": name, "versions": versions, "preferredVersion": preferred})
}

fn verbs(verbs: &[Verb]) -> Value {
    verbs.iter().map(|verb| Value::from(verb.as_str())).collect()
}

fn insert_names(row: &Resource, entry: &mut Map<String, Value>) {
    if !row.short_names.is_empty() {
        entry.insert("shortNames".to_owned(), json!(row.short_names));
    }
    if !row.categories.is_empty() {
        entry.insert("categories".to_owned(), json!(row.categories));
    }
}

fn resource_entry(row: &Resource) -> Value {
    let mut entry = json!({
        "name": row.plural, "singularName": row.singular, "namespaced": row.namespaced(),
        "kind": row.kind, "verbs": verbs(row.verbs),
    });
    if let Some(entry) = entry.as_object_mut() {
        insert_names(row, entry);
        if !row.storage_version_hash.is_empty() {
            entry.insert("storageVersionHash".to_owned(), json!(row.storage_version_hash));
        }
    }
    entry
}

fn subresource_entry(row: &Resource, sub: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", row.plural, sub.name), "singularName": "",
        "namespaced": row.namespaced(), "kind": sub.kind, "verbs": verbs(sub.verbs),
    });
    if !sub.version.is_empty() {
        entry["group"] = json!(sub.group);
        entry["version"] = json!(sub.version);
    }
    entry
}

fn aggregated_entry(row: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    // Kubernetes leaves group and version empty where they are those of the list itself.
    let mut entry = json!({
        "resource": row.plural, "responseKind": kind("", "", &row.kind),
        "scope": if row.namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular, "verbs": verbs(row.verbs),
    });
    let subresources: Vec<Value> = row
        .subresources
        .iter()
        .map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": kind(&sub.group, &sub.version, &sub.kind),
                "verbs": verbs(sub.verbs),
            })
        })
        .collect();
    if let Some(entry) = entry.as_object_mut() {
        insert_names(row, entry);
        if !subresources.is_empty() {
            entry.insert("subresources".to_owned(), Value::Array(subresources));
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::table;

    /// Answers recorded from a real server, by path and form.
    fn recorded(path: &str, aggregated: bool) -> Value {
        include_str!("../../fixtures/wire/discovery.jsonl")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a record per line"))
            .find(|record| record["path"] == path && record["accept"].is_string() == aggregated)
            .map(|record| record["response"].clone())
            .expect("the path was recorded")
    }

    /// The rows that a server of Kubernetes has itself: metrics come from an add-on there.
    fn without_addons() -> Vec<Arc<Resource>> {
        table().iter().filter(|row| row.group != "metrics.k8s.io").cloned().collect()
    }

    /// Drops from a recorded document what this server does not serve (other kinds, and
    /// subresources that are not built yet), so that all the rest must be equal.
    fn only_ours(list: &Value, name: &str, ours: &Value) -> Value {
        let known: Vec<&Value> =
            ours.as_array().expect("a list").iter().map(|v| &v[name]).collect();
        list.as_array()
            .expect("a list")
            .iter()
            .filter(|v| known.contains(&&v[name]))
            .cloned()
            .collect()
    }

    #[test]
    fn legacy_lists_match_recorded_ones() {
        for path in [
            "/api/v1",
            "/apis/events.k8s.io/v1",
            "/apis/authentication.k8s.io/v1",
            "/apis/authorization.k8s.io/v1",
            "/apis/coordination.k8s.io/v1",
            "/apis/discovery.k8s.io/v1",
            "/apis/autoscaling/v2",
            "/apis/autoscaling/v1",
            "/apis/certificates.k8s.io/v1",
            "/apis/networking.k8s.io/v1",
            "/apis/policy/v1",
            "/apis/rbac.authorization.k8s.io/v1",
            "/apis/storage.k8s.io/v1",
            "/apis/scheduling.k8s.io/v1",
            "/apis/node.k8s.io/v1",
            "/apis/flowcontrol.apiserver.k8s.io/v1",
            "/apis/admissionregistration.k8s.io/v1",
            "/apis/apiregistration.k8s.io/v1",
            "/apis/resource.k8s.io/v1",
        ] {
            let (group, version) =
                path.strip_prefix("/apis/").and_then(|p| p.split_once('/')).unwrap_or(("", "v1"));
            let mut golden = recorded(path, false);
            let ours = resource_list(table(), group, version).expect("served");
            golden["resources"] = only_ours(&golden["resources"], "name", &ours["resources"]);
            assert_eq!(ours, golden, "{path}");
        }
        let mut golden = recorded("/apis", false);
        let ours = groups(&without_addons());
        golden["groups"] = only_ours(&golden["groups"], "name", &ours["groups"]);
        assert_eq!(ours, golden);
        assert_eq!(core_versions("127.0.0.1:27443"), recorded("/api", false));
        assert!(
            group(table(), "no.io").is_none() && resource_list(table(), "no.io", "v1").is_none()
        );
    }

    #[test]
    fn aggregated_lists_match_recorded_ones() {
        let ours = aggregated(table(), true);
        let golden = recorded("/api", true);
        for row in ours["items"][0]["versions"][0]["resources"].as_array().expect("rows") {
            let mut same = golden["items"][0]["versions"][0]["resources"]
                .as_array()
                .and_then(|all| all.iter().find(|r| r["resource"] == row["resource"]).cloned())
                .unwrap_or_else(|| panic!("{row} exists in Kubernetes"));
            match row.get("subresources") {
                Some(subs) => {
                    same["subresources"] = only_ours(&same["subresources"], "subresource", subs)
                }
                None => drop(same.as_object_mut().map(|entry| entry.remove("subresources"))),
            }
            assert_eq!(row, &same);
        }
        let (ours, golden) = (aggregated(&without_addons(), false), recorded("/apis", true));
        for item in ours["items"].as_array().expect("groups") {
            let same = golden["items"].as_array().and_then(|all| {
                all.iter().find(|i| i["metadata"]["name"] == item["metadata"]["name"])
            });
            assert_eq!(Some(&item["versions"]), same.map(|same| &same["versions"]));
        }
    }

    #[test]
    fn metrics_are_listed_last_as_their_addon_lists_them() {
        let all = groups(table());
        let last = all["groups"].as_array().and_then(|groups| groups.last()).expect("groups");
        assert_eq!(last["preferredVersion"]["groupVersion"], "metrics.k8s.io/v1beta1");
        let entry = |name: &str, kind: &str, namespaced: bool| {
            json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind,
                "verbs": ["get", "list"]})
        };
        let want = [entry("nodes", "NodeMetrics", false), entry("pods", "PodMetrics", true)];
        let list = resource_list(table(), "metrics.k8s.io", "v1beta1").expect("served");
        assert_eq!(list["resources"], json!(want));
    }

    #[test]
    fn version_has_all_fields() {
        let (ours, golden) = (version(), recorded("/version", false));
        let keys = |value: &Value| value.as_object().map(|m| m.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&ours), keys(&golden));
        assert!(ours["gitVersion"].as_str().is_some_and(|v| v.starts_with("v1.36.0+wharf")));
    }
}
