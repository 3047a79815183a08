//! OpenAPI v3: the index and one document per group and version, made from the table.
//!
//! The documents are true but do not carry the schemas of objects yet. What they are for: kubectl
//! reads them before every `apply`, `create -f` and `edit` to learn whether the server takes the
//! `fieldValidation` parameter, and by which patch types. PATCH therefore names JSON and merge
//! patch only: kubectl then computes strategic merge patches with its built-in merge keys.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::discovery::KUBERNETES_VERSION;
use crate::resources::{Resource, Verb};

/// The path of a group's document below `/openapi/v3/`: `api/v1` or `apis/GROUP/VERSION`.
#[must_use]
pub fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `GET /openapi/v3`: the documents and where they are. The address of each carries a hash of its
/// content, because clients keep documents for ever.
#[must_use]
pub fn index(rows: &[Arc<Resource>]) -> Value {
    let mut paths = Map::new();
    for row in rows {
        let path = document_path(&row.group, &row.version);
        if !paths.contains_key(&path) {
            let document = document(rows, &row.group, &row.version).unwrap_or_default();
            let hash = fnv1a(document.to_string().as_bytes());
            let url = format!("/openapi/v3/{path}?hash={hash:016X}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// `GET /openapi/v3/api/v1` and `/openapi/v3/apis/GROUP/VERSION`; `None` when no row is there.
#[must_use]
pub fn document(rows: &[Arc<Resource>], group: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    for row in rows.iter().filter(|row| row.group == group && row.version == version) {
        for (path, item) in path_items(row) {
            paths.insert(path, item);
        }
    }
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": paths,
        "components": {},
    }))
}

/// A hash that changes with the content; it identifies, it does not protect.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn path_items(row: &Resource) -> Vec<(String, Value)> {
    let root = format!("/{}", document_path(&row.group, &row.version));
    let collection = if row.namespaced() {
        format!("{root}/namespaces/{{namespace}}/{}", row.plural)
    } else {
        format!("{root}/{}", row.plural)
    };
    let object = format!("{collection}/{{name}}");
    let own = (&*row.group, &*row.version, &*row.kind);
    let mut items = vec![
        (
            collection,
            item(row, own, row.verbs, &[Verb::List, Verb::Create, Verb::DeleteCollection], false),
        ),
        (
            object.clone(),
            item(row, own, row.verbs, &[Verb::Get, Verb::Update, Verb::Patch, Verb::Delete], true),
        ),
    ];
    if row.namespaced() && row.allows(Verb::List) {
        let all = format!("{root}/{}", row.plural);
        items.push((all, item(row, own, row.verbs, &[Verb::List], false)));
    }
    for sub in &row.subresources {
        let kind = if sub.version.is_empty() {
            (&*row.group, &*row.version, &*sub.kind)
        } else {
            (&*sub.group, &*sub.version, &*sub.kind)
        };
        let on_object = [Verb::Get, Verb::Update, Verb::Patch, Verb::Create];
        items
            .push((format!("{object}/{}", sub.name), item(row, kind, sub.verbs, &on_object, true)));
    }
    items.retain(|(_, item)| item.as_object().is_some_and(|item| item.len() > 1));
    items
}

fn item(
    row: &Resource,
    (group, version, kind): (&str, &str, &str),
    verbs: &[Verb],
    here: &[Verb],
    named: bool,
) -> Value {
    let mut parameters = Vec::new();
    let path_parameter = |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
    if named {
        parameters.push(path_parameter("name"));
    }
    if row.namespaced() {
        parameters.push(path_parameter("namespace"));
    }
    let mut item = json!({"parameters": parameters});
    for verb in here.iter().filter(|verb| verbs.contains(verb)) {
        let (method, action, query): (_, _, &[&str]) = match verb {
            Verb::List => (
                "get",
                "list",
                &[
                    "labelSelector",
                    "fieldSelector",
                    "limit",
                    "continue",
                    "resourceVersion",
                    "resourceVersionMatch",
                    "sendInitialEvents",
                    "allowWatchBookmarks",
                    "timeoutSeconds",
                    "watch",
                ],
            ),
            Verb::Get => ("get", "get", &[]),
            Verb::Create => ("post", "post", &["dryRun", "fieldManager", "fieldValidation"]),
            Verb::Update => ("put", "put", &["dryRun", "fieldManager", "fieldValidation"]),
            Verb::Patch => {
                ("patch", "patch", &["dryRun", "fieldManager", "fieldValidation", "force"])
            }
            Verb::Delete => (
                "delete",
                "delete",
                &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"],
            ),
            Verb::DeleteCollection => (
                "delete",
                "deletecollection",
                &["labelSelector", "fieldSelector", "dryRun", "propagationPolicy"],
            ),
            Verb::Watch => continue,
        };
        let parameters: Vec<Value> = query
            .iter()
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": query_type(name)}}))
            .collect();
        let mut operation = json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
            "parameters": parameters,
            "responses": {"200": {"description": "OK"}, "401": {"description": "Unauthorized"}},
        });
        let content: &[&str] = match verb {
            Verb::Patch => &[
                "application/apply-patch+yaml",
                "application/json-patch+json",
                "application/merge-patch+json",
            ],
            Verb::Create | Verb::Update => &["application/json"],
            _ => &[],
        };
        if !content.is_empty() {
            let types: Map<String, Value> = content
                .iter()
                .map(|name| ((*name).to_owned(), json!({"schema": {"type": "object"}})))
                .collect();
            operation["requestBody"] = json!({"content": types, "required": true});
        }
        item[method] = operation;
    }
    item
}

fn query_type(name: &str) -> &'static str {
    match name {
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
        "watch" | "force" | "sendInitialEvents" | "allowWatchBookmarks" | "orphanDependents" => {
            "boolean"
        }
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::table;

    #[test]
    fn kubectl_finds_field_validation() {
        let document = document(table(), "", "v1").expect("core is served");
        let pod = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"];
        let patch = &pod["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
        let names: Vec<&Value> =
            patch["parameters"].as_array().expect("list").iter().map(|p| &p["name"]).collect();
        assert!(names.contains(&&json!("fieldValidation")));
        let types = patch["requestBody"]["content"].as_object().expect("types");
        assert!(types.contains_key("application/merge-patch+json"));
        assert!(!types.contains_key("application/strategic-merge-patch+json"));
        assert!(document["paths"]["/api/v1/namespaces/{namespace}/bindings"]["post"].is_object());
        assert!(document["paths"]["/api/v1/namespaces/{namespace}/bindings/{name}"].is_null());
        assert_eq!(
            document["paths"]["/api/v1/namespaces/{namespace}/replicationcontrollers/{name}/scale"]
                ["put"]["x-kubernetes-group-version-kind"]["group"],
            "autoscaling"
        );
    }

    #[test]
    fn every_group_is_in_the_index() {
        let index = index(table());
        for row in table() {
            let path = document_path(&row.group, &row.version);
            let url = index["paths"][&path]["serverRelativeURL"].as_str().expect("listed");
            assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")));
        }
        assert!(super::document(table(), "nope", "v1").is_none());
    }
}
