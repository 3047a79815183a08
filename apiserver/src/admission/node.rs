//! Admission plugin NodeRestriction: what a node may write of what the authorizer lets it write,
//! which depends on the object: itself, its pods, its lease.
//! Source: k8s.io/kubernetes/plugin/pkg/admission/noderestriction.

use std::collections::BTreeSet;

use api::field::go_quote;
use serde_json::Value;

use crate::writing::Part;

/// Marks a pod that only shows what a node runs by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Labels that only administrators set, for placing what others must not see.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Labels under the names of Kubernetes that a node sets on itself.
const OWN_LABELS: &[&str] = &[
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
const OWN_DOMAINS: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];

/// What is written.
pub(super) struct Written<'a> {
    pub(super) group: &'a str,
    pub(super) plural: &'a str,
    /// The name of the object on the URL, or its own.
    pub(super) name: &'a str,
    pub(super) new: &'a Value,
    /// Null for a new object.
    pub(super) old: &'a Value,
    pub(super) part: Part,
}

/// Decides about a create or update by the node `node`.
///
/// # Errors
/// What is wrong.
pub(super) fn judge(node: &str, written: &Written<'_>) -> Result<(), String> {
    let quoted = go_quote(node);
    let (new, old, created) = (written.new, written.old, written.old.is_null());
    match (written.group, written.plural, written.part) {
        ("", "nodes", _) => own_node(node, written),
        ("", "pods", Part::Main) if created => mirror_pod(node, new),
        ("", "pods", Part::Status) => {
            if old["spec"]["nodeName"] != node {
                return Err(format!(
                    "node {quoted} can only update pod status for pods with spec.nodeName set to \
                     itself"
                ));
            }
            if new["metadata"]["labels"] != old["metadata"]["labels"] {
                return Err(format!("node {quoted} cannot update labels through pod status"));
            }
            if new["status"]["resourceClaimStatuses"] != old["status"]["resourceClaimStatuses"] {
                return Err(format!("node {quoted} cannot update resource claim statuses"));
            }
            Ok(())
        }
        ("", "pods", _) => Err(format!(
            "unexpected operation \"UPDATE\", node {quoted} can only create and delete mirror pods"
        )),
        ("", "persistentvolumeclaims", Part::Status) if same_but_size(new, old) => Ok(()),
        ("", "persistentvolumeclaims", Part::Status) => Err(format!(
            "node {quoted} is not allowed to update fields other than status.capacity and \
             status.conditions"
        )),
        ("", "persistentvolumeclaims", _) => Err("may only update PVC status".to_owned()),
        ("coordination.k8s.io", "leases", _) if written.name != node => {
            Err("can only access node lease with the same name as the requesting node".to_owned())
        }
        ("storage.k8s.io", "csinodes", _) if written.name != node => {
            Err("can only access CSINode with the same name as the requesting node".to_owned())
        }
        ("resource.k8s.io", "resourceslices", _) if new["spec"]["nodeName"] != node => {
            let own = "can only create ResourceSlice with the same NodeName as the requesting node";
            Err(own.to_owned())
        }
        _ => Ok(()),
    }
}

/// Decides about a deletion, or eviction, by the node of a pod.
///
/// # Errors
/// What is wrong: the pod is another node's.
pub(super) fn judge_removal(node: &str, pod: &Value, verb: &str) -> Result<(), String> {
    if pod["spec"]["nodeName"] == node {
        return Ok(());
    }
    let node = go_quote(node);
    Err(format!("node {node} can only {verb} pods with spec.nodeName set to itself"))
}

fn own_node(node: &str, written: &Written<'_>) -> Result<(), String> {
    let (new, old) = (written.new, written.old);
    let quoted = go_quote(node);
    if written.name != node {
        let other = go_quote(written.name);
        return Err(format!("node {quoted} is not allowed to modify node {other}"));
    }
    let config = &new["spec"]["configSource"];
    if !config.is_null() && *config != old["spec"]["configSource"] {
        return Err(format!(
            "node {quoted} is not allowed to update configSource to a new non-nil configSource"
        ));
    }
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let (has, had) = (&new["spec"]["taints"], &old["spec"]["taints"]);
    // A status write carries no spec that counts.
    if !old.is_null() && written.part == Part::Main && has != had && !(none(has) && none(had)) {
        return Err(format!("node {quoted} is not allowed to modify taints"));
    }
    let labels = forbidden_labels(&new["metadata"]["labels"], &old["metadata"]["labels"]);
    if labels.is_empty() {
        return Ok(());
    }
    let labels: Vec<_> = labels.into_iter().collect();
    let labels = labels.join(", ");
    Err(if old.is_null() {
        format!("node {quoted} is not allowed to set the following labels: {labels}")
    } else {
        format!("is not allowed to modify labels: {labels}")
    })
}

/// The labels that differ and are not a node's to set.
fn forbidden_labels(new: &Value, old: &Value) -> BTreeSet<String> {
    let keys =
        |of: &Value| of.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    let (has, had): (BTreeSet<String>, BTreeSet<String>) = (keys(new), keys(old));
    let below = |domain: &str, of: &str| {
        domain == of || domain.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'))
    };
    let changed = has.union(&had).filter(|key| new.get(key) != old.get(key));
    let forbidden = changed.filter(|key| {
        let domain = key.split_once('/').map_or("", |(domain, _)| domain);
        let kubernetes = below(domain, "kubernetes.io") || below(domain, "k8s.io");
        let own =
            OWN_LABELS.contains(&key.as_str()) || OWN_DOMAINS.iter().any(|own| below(domain, own));
        below(domain, RESTRICTED) || (kubernetes && !own)
    });
    forbidden.cloned().collect()
}

/// A node makes no pods but the images of those it runs by itself.
fn mirror_pod(node: &str, pod: &Value) -> Result<(), String> {
    let quoted = go_quote(node);
    let refuse = |detail: String| Err(detail);
    if pod["metadata"]["annotations"][MIRROR].is_null() {
        let mirror = go_quote(MIRROR);
        return refuse(format!(
            "pod does not have {mirror} annotation, node {quoted} can only create mirror pods"
        ));
    }
    if pod["spec"]["nodeName"] != node {
        return refuse(format!(
            "node {quoted} can only create pods with spec.nodeName set to itself"
        ));
    }
    let owners = pod["metadata"]["ownerReferences"].as_array().map(Vec::as_slice);
    let own = |owner: &Value| {
        owner["apiVersion"] == "v1"
            && owner["kind"] == "Node"
            && owner["name"] == node
            && owner["controller"] == true
            && owner["blockOwnerDeletion"] != true
    };
    match owners.unwrap_or_default() {
        [owner] if own(owner) => {}
        [] | [_] => {
            return refuse(format!(
                "node {quoted} can only create pods with an owner reference set to itself"
            ));
        }
        _ => {
            return refuse(format!(
                "node {quoted} can only create pods with a single owner reference set to itself"
            ));
        }
    }
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default();
    if !account.is_empty() {
        return refuse(format!(
            "node {quoted} can not create pods that reference a service account"
        ));
    }
    let references = crate::authz::references(pod);
    for (kind, words) in [
        ("secrets", "secrets"),
        ("configmaps", "configmaps"),
        ("persistentvolumeclaims", "persistentvolumeclaims"),
    ] {
        if references.iter().any(|(plural, _)| *plural == kind) {
            return refuse(format!("node {quoted} can not create pods that reference {words}"));
        }
    }
    Ok(())
}

fn same_but_size(new: &Value, old: &Value) -> bool {
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        for field in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] {
            api::meta::remove(&mut claim["status"], field);
        }
        for field in ["resourceVersion", "managedFields"] {
            api::meta::remove(&mut claim["metadata"], field);
        }
        claim
    };
    rest(new) == rest(old)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(plural: &str, name: &str, part: Part, new: &Value, old: &Value) -> String {
        let group = match plural {
            "leases" => "coordination.k8s.io",
            "csinodes" => "storage.k8s.io",
            _ => "",
        };
        let written = Written { group, plural, name, new, old, part };
        judge("n1", &written).err().unwrap_or_default()
    }

    #[test]
    fn a_node_writes_itself() {
        let node = |labels: Value, taints: Value| json!({"metadata": {"labels": labels}, "spec": {"taints": taints}});
        let plain = || node(json!({"kubernetes.io/hostname": "n1"}), json!([]));
        let tainted = || node(json!({}), json!([{"key": "a"}]));
        for (name, part, new, old, want) in [
            ("n1", Part::Main, plain(), Value::Null, ""),
            ("n1", Part::Main, tainted(), Value::Null, ""),
            (
                "n2",
                Part::Main,
                plain(),
                Value::Null,
                "node \"n1\" is not allowed to modify node \"n2\"",
            ),
            (
                "n2",
                Part::Status,
                plain(),
                plain(),
                "node \"n1\" is not allowed to modify node \"n2\"",
            ),
            ("n1", Part::Main, plain(), tainted(), "node \"n1\" is not allowed to modify taints"),
            (
                "n1",
                Part::Status,
                plain(),
                node(json!({"kubernetes.io/hostname": "n1"}), json!([{"key": "a"}])),
                "",
            ),
            (
                "n1",
                Part::Main,
                node(
                    json!({"node-role.kubernetes.io/x": "", "a.node-restriction.kubernetes.io/y": "", "own": ""}),
                    json!([]),
                ),
                Value::Null,
                "node \"n1\" is not allowed to set the following labels: \
                 a.node-restriction.kubernetes.io/y, node-role.kubernetes.io/x",
            ),
            (
                "n1",
                Part::Main,
                node(json!({"kubernetes.io/hostname": "n1"}), json!([])),
                node(json!({"kubernetes.io/hostname": "n1", "k8s.io/z": ""}), json!([])),
                "is not allowed to modify labels: k8s.io/z",
            ),
            (
                "n1",
                Part::Main,
                node(json!({"node.kubernetes.io/x": "1"}), json!([])),
                Value::Null,
                "",
            ),
        ] {
            assert_eq!(told("nodes", name, part, &new, &old), want, "{new}");
        }
        for (plural, name, refused) in
            [("leases", "n1", false), ("leases", "n2", true), ("csinodes", "n2", true)]
        {
            let told = told(plural, name, Part::Main, &json!({}), &Value::Null);
            assert_eq!(!told.is_empty(), refused, "{plural} {told}");
        }
    }

    #[test]
    fn a_node_reports_on_its_pods() {
        let pod = |node: &str, label: &str| json!({"metadata": {"labels": {"a": label}}, "spec": {"nodeName": node}});
        for (new, old, want) in [
            (pod("n1", "x"), pod("n1", "x"), ""),
            (
                pod("n1", "x"),
                pod("n2", "x"),
                "node \"n1\" can only update pod status for pods with spec.nodeName set to itself",
            ),
            (pod("n1", "y"), pod("n1", "x"), "node \"n1\" cannot update labels through pod status"),
        ] {
            assert_eq!(told("pods", "p", Part::Status, &new, &old), want);
        }
        assert!(!told("pods", "p", Part::Main, &pod("n1", "x"), &pod("n1", "x")).is_empty());
        assert!(judge_removal("n1", &pod("n1", "x"), "delete").is_ok());
        assert_eq!(
            judge_removal("n1", &pod("n2", "x"), "delete"),
            Err("node \"n1\" can only delete pods with spec.nodeName set to itself".to_owned())
        );
    }

    #[test]
    fn a_node_makes_mirror_pods_only() {
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "controller": true});
        let mirror = json!({"metadata": {"annotations": {MIRROR: "x"}, "ownerReferences": [owner]},
            "spec": {"nodeName": "n1", "containers": []}});
        let told = |change: &dyn Fn(&mut Value)| {
            let mut pod = mirror.clone();
            change(&mut pod);
            told("pods", "p", Part::Main, &pod, &Value::Null)
        };
        assert_eq!(told(&|_| {}), "");
        for (change, want) in [
            (
                &(|pod: &mut Value| pod["metadata"]["annotations"] = json!({}))
                    as &dyn Fn(&mut Value),
                "pod does not have \"kubernetes.io/config.mirror\" annotation",
            ),
            (
                &|pod: &mut Value| pod["spec"]["nodeName"] = "n2".into(),
                "node \"n1\" can only create pods with spec.nodeName",
            ),
            (
                &|pod: &mut Value| pod["metadata"]["ownerReferences"] = json!([]),
                "node \"n1\" can only create pods with an owner reference",
            ),
            (
                &|pod: &mut Value| pod["spec"]["serviceAccountName"] = "x".into(),
                "node \"n1\" can not create pods that reference a service account",
            ),
            (
                &|pod: &mut Value| {
                    pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]);
                },
                "node \"n1\" can not create pods that reference secrets",
            ),
        ] {
            let told = told(change);
            assert!(told.starts_with(want), "{told}");
        }
    }
}
