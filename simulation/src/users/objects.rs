//! What users write: workloads as a seed wants them.

use serde_json::{Value, json};

use crate::nodes::BROKEN;
use crate::random::Random;
use crate::world::{LOAD, TARGET};

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
    ReplicationController,
}

impl Kind {
    /// The group.
    pub(super) fn group(self) -> &'static str {
        if self == Self::ReplicationController { "" } else { "apps" }
    }

    /// The collection.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::ReplicationController => "replicationcontrollers",
        }
    }

    /// A new one of the name.
    pub(super) fn object(self, name: &str, random: &mut Random) -> Value {
        match self {
            Self::Deployment => deployment(name, random),
            Self::StatefulSet => stateful_set(name, random),
            Self::DaemonSet => daemon_set(name, random),
            Self::ReplicationController => replication_controller(name, random),
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
    let load = (1 + random.below(6)).to_string();
    json!({"metadata": {"labels": {"app": name, LOAD: load}}, "spec": {
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

fn replication_controller(name: &str, random: &mut Random) -> Value {
    let mut controller = workload("ReplicationController", name, random);
    controller["apiVersion"] = "v1".into();
    controller["spec"]["replicas"] = (1 + random.below(5)).into();
    controller["spec"]["selector"] = json!({"app": name});
    controller
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

/// What a Job does: at most so many pods succeed.
fn work(most: u64, random: &mut Random) -> Value {
    json!({"completions": 1 + random.below(most), "parallelism": 1 + random.below(3),
        "backoffLimit": 4, "completionMode": *random.one(&["Indexed", "NonIndexed"]),
        "template": {"spec": {"restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2, "containers": containers(true)}}})
}

/// As many replicas of a Deployment as its load is worth.
pub(super) fn autoscaler(name: &str, random: &mut Random) -> Value {
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": random.below(20)}});
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"minReplicas": 1 + random.below(2), "maxReplicas": 2 + random.below(4),
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "behavior": behavior,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "AverageValue", "averageValue": format!("{TARGET}m")}}}]}})
}

/// Work every minute.
pub(super) fn cron_job(name: &str, random: &mut Random) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"schedule": "* * * * *",
            "concurrencyPolicy": *random.one(&["Allow", "Forbid", "Replace"]),
            "successfulJobsHistoryLimit": random.below(3),
            "failedJobsHistoryLimit": random.below(2),
            "jobTemplate": {"spec": work(2, random)}}})
}

/// Work that ends.
pub(super) fn job(number: u64, random: &mut Random) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": format!("job-{number}"), "namespace": NAMESPACE},
        "spec": work(5, random)});
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
