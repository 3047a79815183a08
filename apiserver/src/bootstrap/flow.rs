//! The FlowSchemas and PriorityLevelConfigurations that every cluster has.
//!
//! `flow.txt` lists them as Kubernetes v1.36 makes them
//! (k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap):
//!
//! ```text
//! level NAME [SHARES LENDABLE [QUEUES HAND LENGTH]]      (without shares: exempt)
//! schema NAME PRECEDENCE LEVEL [ByUser|ByNamespace]
//!     User NAME    Group NAME    ServiceAccount NAMESPACE/NAME
//!     VERBS GROUPS RESOURCES [cluster]                   (lists with commas; `core` is the group "")
//!     VERBS url PATHS
//! ```
//!
//! An object that is there keeps its spec if its annotation `apf.kubernetes.io/autoupdate-spec` says
//! "false"; the mandatory ones cannot have another.

use serde_json::{Value, json};

use crate::context::now;

pub(super) const TEXT: &str = include_str!("flow.txt");
const VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
/// Says whether the spec is brought up to date at every start.
const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// The names of what a server cannot be without.
const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// Those of some objects that a server cannot be without.
pub(crate) fn mandatory(mut objects: Vec<Value>) -> Vec<Value> {
    objects.retain(|object| MANDATORY.iter().any(|name| object["metadata"]["name"] == *name));
    objects
}

fn lines() -> impl Iterator<Item = &'static str> {
    TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": VERSION, "kind": kind,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}},
        "spec": spec, "status": {},
    })
}

fn number(word: &str) -> Value {
    word.parse::<i64>().unwrap_or(0).into()
}

/// The levels.
pub(crate) fn levels() -> Vec<Value> {
    let level = |line: &'static str| {
        let words: Vec<_> = line.strip_prefix("level ")?.split(' ').collect();
        let spec = match words[..] {
            [_, shares, lendable, ref queuing @ ..] => {
                let response = match queuing {
                    [queues, hand, length] => json!({"type": "Queue", "queuing": {
                        "queues": number(queues), "handSize": number(hand),
                        "queueLengthLimit": number(length)}}),
                    _ => json!({"type": "Reject"}),
                };
                json!({"type": "Limited", "limited": {"nominalConcurrencyShares": number(shares),
                    "limitResponse": response, "lendablePercent": number(lendable)}})
            }
            _ => json!({"type": "Exempt",
                "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
        };
        Some(object("PriorityLevelConfiguration", words[0], spec))
    };
    lines().filter_map(level).collect()
}

/// The schemas.
pub(crate) fn schemas() -> Vec<Value> {
    let mut schemas: Vec<Value> = Vec::new();
    for line in lines() {
        if let Some(head) = line.strip_prefix("schema ") {
            schemas.push(head_of(head));
        } else if let (Some(line), Some(schema)) = (line.strip_prefix('\t'), schemas.last_mut()) {
            add(&mut schema["spec"]["rules"][0], line);
        }
    }
    schemas
}

fn head_of(line: &str) -> Value {
    let words: Vec<_> = line.split(' ').collect();
    let text = |at: usize| words.get(at).copied().unwrap_or_default();
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": text(2)},
        "matchingPrecedence": number(text(1)), "rules": [{"subjects": []}],
    });
    if let Some(method) = words.get(3) {
        spec["distinguisherMethod"] = json!({"type": method});
    }
    let mut schema = object("FlowSchema", text(0), spec);
    schema["status"] = json!({"conditions": [dangling(text(2), true, &api::meta::time(now()))]});
    schema
}

/// The condition of a schema that says whether its level exists.
pub(crate) fn dangling(level: &str, exists: bool, since: &str) -> Value {
    let (status, reason, words) = if exists {
        ("False", "Found", "and it exists")
    } else {
        ("True", "NotFound", "but there is no such object")
    };
    let level = api::field::go_quote(level);
    let message = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {level} {words}"
    );
    json!({"type": "Dangling", "status": status, "lastTransitionTime": since, "reason": reason,
        "message": message})
}

fn add(rule: &mut Value, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let list = |word: &str| -> Value {
        word.split(',').map(|item| if item == "core" { "" } else { item }).collect()
    };
    let mut push = |field: &str, item: Value| match &mut rule[field] {
        Value::Array(list) => list.push(item),
        none => *none = json!([item]),
    };
    match words[..] {
        ["User", name] => push("subjects", json!({"kind": "User", "user": {"name": name}})),
        ["Group", name] => push("subjects", json!({"kind": "Group", "group": {"name": name}})),
        ["ServiceAccount", full] => {
            let (namespace, name) = full.split_once('/').unwrap_or_default();
            let account = json!({"namespace": namespace, "name": name});
            push("subjects", json!({"kind": "ServiceAccount", "serviceAccount": account}));
        }
        [verbs, "url", urls] => {
            push("nonResourceRules", json!({"verbs": list(verbs), "nonResourceURLs": list(urls)}))
        }
        [verbs, groups, resources, ref scope @ ..] => {
            let mut item = json!({"verbs": list(verbs), "apiGroups": list(groups),
                "resources": list(resources), "namespaces": ["*"]});
            if !scope.is_empty() {
                item["clusterScope"] = true.into();
            }
            push("resourceRules", item);
        }
        _ => {}
    }
}

/// What `have` must become; `None` if it is as it should be, or is to be left alone.
pub(super) fn plan(want: &Value, have: &Value) -> Option<Value> {
    if have["metadata"]["annotations"][AUTOUPDATE] == "false" || have["spec"] == want["spec"] {
        return None;
    }
    let mut new = have.clone();
    new["spec"] = want["spec"].clone();
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a real server makes, without what differs from run to run.
    fn recorded(name: &str) -> Vec<Value> {
        let records = include_str!("../../../fixtures/wire/bootstrap.jsonl").lines();
        let mut records = records.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let record = records.find(|record| record["name"] == name).expect("a record");
        let items = record["response"]["items"].as_array().expect("items").iter();
        // What the recording had made itself.
        let items = items.filter(|item| item["metadata"]["name"] != "min");
        items.map(comparable).collect()
    }

    fn comparable(item: &Value) -> Value {
        let mut item = item.clone();
        for field in ["apiVersion", "kind"] {
            api::meta::remove(&mut item, field);
        }
        for field in ["uid", "resourceVersion", "generation", "creationTimestamp"] {
            api::meta::remove(&mut item["metadata"], field);
        }
        for condition in item["status"]["conditions"].as_array_mut().into_iter().flatten() {
            api::meta::remove(condition, "lastTransitionTime");
        }
        item
    }

    #[test]
    fn the_objects_are_those_of_a_real_server() {
        for (ours, recorded) in
            [(schemas(), recorded("flowschemas")), (levels(), recorded("prioritylevels"))]
        {
            assert_eq!(ours.len(), recorded.len());
            for ours in ours.iter().map(comparable) {
                assert!(recorded.contains(&ours), "{ours}");
            }
        }
        assert_eq!(mandatory(schemas()).len(), 2);
    }

    #[test]
    fn specs_come_back_unless_they_are_somebodys() {
        let want = &levels()[2];
        assert_eq!(plan(want, want), None);
        let mut other = want.clone();
        other["spec"]["limited"]["nominalConcurrencyShares"] = 1.into();
        assert_eq!(plan(want, &other).as_ref(), Some(want));
        other["metadata"]["annotations"][AUTOUPDATE] = "false".into();
        assert_eq!(plan(want, &other), None);
    }
}
