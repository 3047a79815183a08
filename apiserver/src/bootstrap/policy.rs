//! The roles and bindings that every cluster has, and how a cluster that has others is brought to
//! have these too.
//!
//! `policy.txt` lists them as Kubernetes v1.36 makes them, one line each for what is below:
//!
//! ```text
//! ClusterRole NAME                                  Role NAMESPACE/NAME
//!     label KEY                                     (the value is "true")
//!     aggregates KEY                                (roles with the label KEY)
//!     VERBS GROUPS RESOURCES [NAMES]                (lists with commas; `core` is the group "")
//!     VERBS url PATHS
//! ClusterRoleBinding NAME KIND ROLE                 RoleBinding NAMESPACE/NAME KIND ROLE
//!     User NAME    Group NAME    ServiceAccount NAMESPACE/NAME
//! ```
//!
//! An object that is there keeps what was added to it and gets back what was taken away, unless its
//! annotation `rbac.authorization.kubernetes.io/autoupdate` says "false"
//! (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation>).

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::authz::rbac::GROUP;
use crate::authz::rule::{Rule, missing};

pub(super) const TEXT: &str = include_str!("policy.txt");
/// Says whether the object is brought up to date at every start.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// All roles and bindings, with kind and metadata.
pub(super) fn objects() -> Vec<Value> {
    read(TEXT)
}

/// The roles and bindings of a text in this form.
pub(super) fn read(text: &str) -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix('\t'), objects.last_mut()) {
            (Some(line), Some(object)) => add(object, line),
            _ => objects.push(head(line)),
        }
    }
    objects
}

/// The rules of the role for all nodes, which the node authorizer goes by: whoever changes the role
/// itself changes what is bound to it, and not what a node is.
pub(super) fn node_rules() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| {
        let role = objects().into_iter().find(|object| {
            object["kind"] == "ClusterRole" && object["metadata"]["name"] == "system:node"
        });
        role.map(|role| Rule::all_of(&role)).unwrap_or_default()
    })
}

fn head(line: &str) -> Value {
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (kind, full) = (next(), next());
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind,
        "metadata": {
            "annotations": {AUTOUPDATE: "true"},
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        },
    });
    let metadata = &mut object["metadata"];
    match full.split_once('/') {
        Some((namespace, name)) => {
            metadata["namespace"] = namespace.into();
            metadata["name"] = name.into();
        }
        None => metadata["name"] = full.into(),
    }
    if kind.ends_with("Binding") {
        object["roleRef"] = json!({"apiGroup": GROUP, "kind": next(), "name": next()});
    } else {
        object["rules"] = Value::Null;
    }
    object
}

fn add(object: &mut Value, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let list = |word: &str| -> Value { word.split(',').collect() };
    let groups = |word: &str| -> Value {
        word.split(',').map(|group| if group == "core" { "" } else { group }).collect()
    };
    match words[..] {
        ["label", key] => object["metadata"]["labels"][key] = "true".into(),
        ["aggregates", key] => {
            let selector = json!({"matchLabels": {key: "true"}});
            object["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
        }
        ["User" | "Group", name] => {
            push(object, "subjects", json!({"apiGroup": GROUP, "kind": words[0], "name": name}));
        }
        ["ServiceAccount", full] => {
            let (namespace, name) = full.split_once('/').unwrap_or_default();
            let kind = words[0];
            push(object, "subjects", json!({"kind": kind, "name": name, "namespace": namespace}));
        }
        [verbs, "url", paths] => {
            push(object, "rules", json!({"verbs": list(verbs), "nonResourceURLs": list(paths)}));
        }
        [verbs, group, resources, ref names @ ..] => {
            let mut rule = json!({
                "verbs": list(verbs), "apiGroups": groups(group), "resources": list(resources),
            });
            if let [names] = names {
                rule["resourceNames"] = list(names);
            }
            push(object, "rules", rule);
        }
        _ => {}
    }
}

fn push(object: &mut Value, field: &str, item: Value) {
    match &mut object[field] {
        Value::Array(list) => list.push(item),
        list => *list = json!([item]),
    }
}

/// What `have` must become to have all of `want`; `None` if it has, or is to be left alone.
pub(super) fn plan(want: &Value, have: &Value) -> Option<Value> {
    if have["metadata"]["annotations"][AUTOUPDATE] == "false" {
        return None;
    }
    let mut new = have.clone();
    for field in ["labels", "annotations"] {
        let wanted = want["metadata"][field].as_object().into_iter().flatten();
        for (key, value) in wanted {
            let map = new["metadata"].as_object_mut()?.entry(field).or_insert(json!({}));
            map.as_object_mut()?.entry(key).or_insert_with(|| value.clone());
        }
    }
    // The rules of a role that collects others' are the collector's business.
    if want["aggregationRule"].is_null() {
        let held = Rule::all_of(have);
        for rule in want["rules"].as_array().into_iter().flatten() {
            if !missing(&held, &[Rule::read(rule)]).is_empty() {
                push(&mut new, "rules", rule.clone());
            }
        }
    }
    let selectors = want["aggregationRule"]["clusterRoleSelectors"].as_array();
    for selector in selectors.into_iter().flatten() {
        let had = have["aggregationRule"]["clusterRoleSelectors"].as_array();
        if !had.is_some_and(|had| had.contains(selector)) {
            if !new["aggregationRule"].is_object() {
                new["aggregationRule"] = Value::Object(Map::new());
            }
            push(&mut new["aggregationRule"], "clusterRoleSelectors", selector.clone());
        }
    }
    for subject in want["subjects"].as_array().into_iter().flatten() {
        if !have["subjects"].as_array().is_some_and(|had| had.contains(subject)) {
            push(&mut new, "subjects", subject.clone());
        }
    }
    (new != *have).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roles and bindings of a real server, without what every object gets.
    fn recorded() -> Vec<Value> {
        let mut all = Vec::new();
        for line in include_str!("../../../fixtures/wire/bootstrap.jsonl").lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let list = &record["response"];
            if list["apiVersion"] != "rbac.authorization.k8s.io/v1" {
                continue;
            }
            for item in list["items"].as_array().unwrap() {
                let mut item = item.clone();
                for field in ["uid", "resourceVersion", "creationTimestamp"] {
                    item["metadata"].as_object_mut().unwrap().remove(field);
                }
                item["apiVersion"] = list["apiVersion"].clone();
                item["kind"] = list["kind"].as_str().unwrap().trim_end_matches("List").into();
                // Made by whoever recorded.
                if item["metadata"]["name"] != "min" {
                    all.push(item);
                }
            }
        }
        all
    }

    #[test]
    fn the_policy_is_that_of_a_real_server() {
        let (ours, theirs) = (objects(), recorded());
        assert_eq!(ours.len(), theirs.len());
        for theirs in &theirs {
            assert!(ours.contains(theirs), "{theirs}");
        }
    }

    #[test]
    fn what_was_taken_away_comes_back() {
        let objects = objects();
        let named = |kind: &str, name: &str| {
            let found = objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
            found.unwrap().clone()
        };
        let role = named("ClusterRole", "system:basic-user");
        assert_eq!(plan(&role, &role), None);
        let mut less = role.clone();
        less["rules"].as_array_mut().unwrap().remove(0);
        less["metadata"]["labels"] = json!({"mine": "x"});
        let back = plan(&role, &less).unwrap();
        assert_eq!(back["rules"].as_array().unwrap().len(), 2);
        let labels = json!({"mine": "x", "kubernetes.io/bootstrapping": "rbac-defaults"});
        assert_eq!(back["metadata"]["labels"], labels);
        assert_eq!(plan(&role, &back), None);
        let mut kept = less;
        kept["metadata"]["annotations"][AUTOUPDATE] = "false".into();
        assert_eq!(plan(&role, &kept), None);
        let mut more = role.clone();
        more["rules"] = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        assert_eq!(plan(&role, &more), None);

        let binding = named("ClusterRoleBinding", "system:discovery");
        let mut other = binding.clone();
        other["subjects"] = json!([{"kind": "User", "apiGroup": GROUP, "name": "ann"}]);
        assert_eq!(plan(&binding, &other).unwrap()["subjects"].as_array().unwrap().len(), 2);
        let edit = named("ClusterRole", "edit");
        let mut plain = edit.clone();
        plain.as_object_mut().unwrap().remove("aggregationRule");
        plain["rules"] = json!([]);
        let collects = plan(&edit, &plain).unwrap();
        assert_eq!(collects["aggregationRule"], edit["aggregationRule"]);
    }
}
