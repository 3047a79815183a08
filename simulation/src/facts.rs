//! What an object says, read as the laws need it.

use api::resources::Resource;
use jiff::Timestamp;
use serde_json::Value;

use crate::world::{State, row};

/// A text; "" when it is not there.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number.
pub(crate) fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// The uid.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// The name.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The uid of the controller that an object belongs to.
pub(crate) fn owner(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["uid"].as_str()
}

/// Whether deletion has begun.
pub(crate) fn is_leaving(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether a pod's containers have ended for good.
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod counts for its owner.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_leaving(pod) && !is_finished(pod)
}

/// Since when a pod or node has been ready.
pub(crate) fn ready_since(object: &Value) -> Option<Timestamp> {
    let conditions = object["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|c| c["type"] == "Ready" && c["status"] == "True")?;
    ready["lastTransitionTime"].as_str()?.parse().ok()
}

/// Whether an object has a condition that is true.
pub(crate) fn has_condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == kind && c["status"] == "True")
}

/// Whether a pod serves: it counts, and is ready.
pub(crate) fn serves(pod: &Value) -> bool {
    is_active(pod) && ready_since(pod).is_some()
}

/// Thousandths of a CPU that a pod asks for.
pub(crate) fn demand(pod: &Value) -> i64 {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.map(|c| milli(&c["resources"]["requests"]["cpu"])).sum()
}

/// Thousandths of a CPU that a node has.
pub(crate) fn supply(node: &Value) -> i64 {
    milli(&node["status"]["allocatable"]["cpu"])
}

fn milli(amount: &Value) -> i64 {
    let amount = amount.as_str().unwrap_or("0");
    match amount.strip_suffix('m') {
        Some(milli) => milli.parse().unwrap_or(0),
        None => amount.parse::<i64>().unwrap_or(0) * 1000,
    }
}

/// Whether a node keeps its pods: it is there, and no taint evicts.
pub(crate) fn keeps_pods(state: &State, node: &str) -> bool {
    let Some(node) = state.object(row("", "nodes"), "", node) else { return false };
    let taints = node.value["spec"]["taints"].as_array();
    !taints.into_iter().flatten().any(|taint| taint["effect"] == "NoExecute")
}

/// The object of a kind with this uid.
pub(crate) fn find<'a>(state: &'a State, resource: &Resource, of: &str) -> Option<&'a Value> {
    state.all(resource).find(|object| uid(object) == of)
}

/// The objects of a kind that belong to the owner with this uid.
pub(crate) fn owned<'a>(
    state: &'a State,
    resource: &Resource,
    by: &str,
) -> impl Iterator<Item = &'a Value> {
    state.all(resource).filter(move |object| owner(object) == Some(by))
}

/// The pods of all ReplicaSets of a Deployment.
pub(crate) fn pods_of<'a>(state: &'a State, deployment: &str) -> Vec<&'a Value> {
    let sets = owned(state, row("apps", "replicasets"), deployment);
    sets.flat_map(|set| owned(state, row("", "pods"), uid(set))).collect()
}

/// The Deployment, StatefulSet or DaemonSet that a pod belongs to.
pub(crate) fn workload<'a>(state: &'a State, pod: &Value) -> Option<&'a Value> {
    let by = owner(pod)?;
    match text(pod, "/metadata/ownerReferences/0/kind") {
        "ReplicaSet" => {
            let deployment = find(state, row("apps", "replicasets"), by).and_then(owner)?;
            find(state, row("apps", "deployments"), deployment)
        }
        "StatefulSet" => find(state, row("apps", "statefulsets"), by),
        "DaemonSet" => find(state, row("apps", "daemonsets"), by),
        _ => None,
    }
}

/// The number in the name of a pod of a StatefulSet.
pub(crate) fn ordinal(pod: &Value) -> Option<i64> {
    name(pod).rsplit_once('-')?.1.parse().ok()
}

/// The node that a pod is on; for one of a DaemonSet that is not bound, the node that it is meant for.
pub(crate) fn target(pod: &Value) -> &str {
    let meant = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
        /nodeSelectorTerms/0/matchFields/0/values/0";
    match text(pod, "/spec/nodeName") {
        "" => text(pod, meant),
        node => node,
    }
}

/// How far a Deployment may be from its number of replicas while it is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The number of replicas.
    pub(crate) replicas: i64,
    /// At most so many pods are asked for.
    pub(crate) most: i64,
    /// At least so many pods serve.
    pub(crate) fewest: i64,
}

/// Those of a Deployment with rolling updates.
pub(crate) fn bounds(deployment: &Value) -> Option<Bounds> {
    if text(deployment, "/spec/strategy/type") != "RollingUpdate" {
        return None;
    }
    let replicas = number(deployment, "/spec/replicas").unwrap_or(1);
    let amount = |field: &str, up: bool| {
        let value = &deployment["spec"]["strategy"]["rollingUpdate"][field];
        let share = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
        match share {
            Some(share) if up => (replicas * share + 99) / 100,
            Some(share) => replicas * share / 100,
            None => value.as_i64().unwrap_or(0),
        }
    };
    let (surge, mut missing) = (amount("maxSurge", true), amount("maxUnavailable", false));
    if surge == 0 && missing == 0 {
        missing = 1;
    }
    Some(Bounds { replicas, most: replicas + surge, fewest: (replicas - missing).max(0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bounds_are_rounded_in_favour_of_service() {
        for (replicas, surge, missing, most, fewest) in [
            (4, json!(1), json!(0), 5, 4),
            (4, json!("25%"), json!("25%"), 5, 3),
            (3, json!("25%"), json!("25%"), 4, 3),
            (3, json!(0), json!("25%"), 3, 2),
            (1, json!(0), json!(2), 1, 0),
        ] {
            let deployment = json!({"spec": {"replicas": replicas, "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}}}});
            let want = Bounds { replicas, most, fewest };
            assert_eq!(bounds(&deployment), Some(want), "{deployment}");
        }
        assert_eq!(bounds(&json!({"spec": {"strategy": {"type": "Recreate"}}})), None);
    }

    #[test]
    fn pods_tell_their_number_and_their_node() {
        let named = |name: &str| ordinal(&json!({"metadata": {"name": name}}));
        assert_eq!((named("db-10"), named("web-x7k2p"), named("db")), (Some(10), None, None));
        let terms = json!({"nodeSelectorTerms": [{"matchFields": [{"values": ["a"]}]}]});
        let affinity = json!({"nodeAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": terms}});
        assert_eq!(target(&json!({"spec": {"affinity": affinity}})), "a");
        assert_eq!(target(&json!({"spec": {"affinity": affinity, "nodeName": "b"}})), "b");
    }

    #[test]
    fn amounts_of_cpu() {
        let pod = json!({"spec": {"containers": [
            {"resources": {"requests": {"cpu": "500m"}}},
            {"resources": {"requests": {"cpu": "2"}}}, {}]}});
        assert_eq!(demand(&pod), 2500);
    }
}
