//! What users write: workloads as a seed wants them.

use serde_json::{Value, json};

use crate::nodes::BROKEN;
use crate::random::Random;

/// Where all of it is.
pub(super) const NAMESPACE: &str = "default";
/// The priority of what others have to give way to.
const URGENT: i64 = 1000;
/// The class of claims and of the volumes made for them: one that nobody provisions.
const CLASS: &str = "kept";

/// A kind of pods that are kept running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    /// The collection.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
        }
    }

    /// A new one of the name.
    pub(super) fn object(self, name: &str, random: &mut Random) -> Value {
        match self {
            Self::Deployment => deployment(name, random),
            Self::StatefulSet => stateful_set(name, random),
            Self::DaemonSet => daemon_set(name, random),
        }
    }
}

/// The containers of a pod: good ones become ready, others never do.
pub(super) fn containers(good: bool) -> Value {
    let image = if good { "good" } else { BROKEN };
    json!([{"name": "c", "image": image, "resources": {"requests": {"cpu": "500m"}}}])
}

fn template(name: &str, random: &mut Random) -> Value {
    let seconds = 1 + random.below(30);
    let toleration = |key: &str| {
        json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists",
            "effect": "NoExecute", "tolerationSeconds": seconds})
    };
    json!({"metadata": {"labels": {"app": name}}, "spec": {
        "terminationGracePeriodSeconds": 1 + random.below(5),
        "tolerations": [toleration("not-ready"), toleration("unreachable")],
        "containers": containers(true)}})
}

fn workload(kind: &str, name: &str, random: &mut Random) -> Value {
    let selector = json!({"matchLabels": {"app": name}});
    json!({"apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": selector, "template": template(name, random),
            "minReadySeconds": if random.happens(300) { random.below(6) } else { 0 }}})
}

fn deployment(name: &str, random: &mut Random) -> Value {
    let mut deployment = workload("Deployment", name, random);
    deployment["spec"]["replicas"] = (1 + random.below(5)).into();
    let shares = [json!(0), json!(1), json!(1), json!(2), json!("25%"), json!("50%")];
    let (surge, missing) = (random.one(&shares).clone(), random.one(&shares).clone());
    // Validation refuses nothing at all.
    let missing = if surge == 0 && missing == 0 { json!(1) } else { missing };
    deployment["spec"]["strategy"] = if random.happens(150) {
        json!({"type": "Recreate"})
    } else {
        json!({"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}})
    };
    deployment
}

fn stateful_set(name: &str, random: &mut Random) -> Value {
    let mut set = workload("StatefulSet", name, random);
    set["spec"]["replicas"] = (1 + random.below(4)).into();
    set["spec"]["serviceName"] = name.into();
    if random.happens(250) {
        set["spec"]["podManagementPolicy"] = "Parallel".into();
    }
    if random.happens(500) {
        set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
                "resources": {"requests": {"storage": "1Gi"}}}}]);
    }
    set
}

fn daemon_set(name: &str, random: &mut Random) -> Value {
    let mut set = workload("DaemonSet", name, random);
    // Each node has to have room for it, whatever else is there.
    set["spec"]["template"]["spec"]["priority"] = URGENT.into();
    let rolling = if random.happens(500) {
        json!({"maxSurge": 1, "maxUnavailable": 0})
    } else {
        json!({"maxSurge": 0, "maxUnavailable": 1 + random.below(2)})
    };
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
    set
}

/// A volume that a claim of [`CLASS`] may have.
pub(super) fn volume(number: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": format!("volume-{number}")},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": CLASS,
            "hostPath": {"path": format!("/volumes/{number}")}}})
}

/// A budget for the pods of a workload with so many replicas.
pub(super) fn budget(name: &str, replicas: u64, random: &mut Random) -> Value {
    // Most have one or two pods to spare.
    let fewest = replicas.saturating_sub(1 + random.below(2)).max(1);
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"minAvailable": fewest, "selector": {"matchLabels": {"app": name}}}})
}

/// Work that ends.
pub(super) fn job(number: u64, random: &mut Random) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": format!("job-{number}"), "namespace": NAMESPACE},
        "spec": {"completions": 1 + random.below(5), "parallelism": 1 + random.below(3),
            "backoffLimit": 4, "completionMode": *random.one(&["Indexed", "NonIndexed"]),
            "template": {"spec": {"restartPolicy": "Never",
                "terminationGracePeriodSeconds": 2, "containers": containers(true)}}}});
    if random.happens(500) {
        job["spec"]["ttlSecondsAfterFinished"] = random.below(30).into();
    }
    job
}

/// A pod before which others have to give way.
pub(super) fn urgent(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"priority": URGENT, "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "good",
                "resources": {"requests": {"cpu": "1500m"}}}]}})
}
