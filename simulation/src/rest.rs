//! What a cluster is like that has come to rest: everything as its objects say.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::facts::{
    has_condition, is_active, is_leaving, name, number, ordinal, owned, pods_of, serves, target,
    text, uid,
};
use crate::world::{LOAD, State, row};

/// What is not yet as it should be; nothing if the cluster is at rest.
pub(crate) fn unrest(state: &State) -> Vec<String> {
    let mut unrest = Vec::new();
    orphans(state, &mut unrest);
    nodes(state, &mut unrest);
    for pod in state.all(row("", "pods")) {
        pod_rests(state, pod, &mut unrest);
    }
    for set in state.all(row("apps", "replicasets")) {
        told(set, "ReplicaSet", number(set, "/spec/replicas"), &["replicas"], &mut unrest);
        // Nobody remembers pods that have long gone.
        if number(set, "/status/terminatingReplicas").unwrap_or(0) > 0 {
            unrest.push(format!("ReplicaSet {} waits for pods that are gone", name(set)));
        }
    }
    for controller in state.all(row("", "replicationcontrollers")) {
        let wanted = number(controller, "/spec/replicas");
        told(controller, "ReplicationController", wanted, &["replicas"], &mut unrest);
        let pods = owned(state, row("", "pods"), uid(controller));
        let active = pods.filter(|pod| is_active(pod)).count();
        if Some(active as i64) != wanted {
            let name = name(controller);
            unrest.push(format!("ReplicationController {name} has {active} pods of {wanted:?}"));
        }
    }
    for deployment in state.all(row("apps", "deployments")) {
        rolled_out(state, deployment, &mut unrest);
    }
    for autoscaler in state.all(row("autoscaling", "horizontalpodautoscalers")) {
        scaled(state, autoscaler, &mut unrest);
    }
    for set in state.all(row("apps", "statefulsets")) {
        ordered(state, set, &mut unrest);
    }
    for set in state.all(row("apps", "daemonsets")) {
        everywhere(state, set, &mut unrest);
    }
    volumes(state, &mut unrest);
    for job in state.all(row("batch", "jobs")) {
        finished(state, job, &mut unrest);
    }
    for cron_job in state.all(row("batch", "cronjobs")) {
        kept(state, cron_job, &mut unrest);
    }
    for budget in state.all(row("policy", "poddisruptionbudgets")) {
        counted(state, budget, &mut unrest);
    }
    unrest
}

/// Whatever names an owner has one.
fn orphans(state: &State, unrest: &mut Vec<String>) {
    let uids: BTreeSet<&str> = state.everything().map(uid).collect();
    for object in state.everything() {
        let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let lost = owners.filter_map(|o| o["uid"].as_str()).filter(|uid| !uids.contains(uid));
        for owner in lost {
            let kind = text(object, "/kind");
            unrest.push(format!("{kind} {} is an orphan of {owner}", name(object)));
        }
    }
}

fn nodes(state: &State, unrest: &mut Vec<String>) {
    for node in state.all(row("", "nodes")) {
        let taints = node["spec"]["taints"].as_array().map_or(0, Vec::len);
        if crate::facts::ready_since(node).is_none() || taints > 0 {
            unrest.push(format!("node {} is not ready, or has {taints} taints", name(node)));
        }
    }
}

fn pod_rests(state: &State, pod: &Value, unrest: &mut Vec<String>) {
    let (on, node) = (text(pod, "/spec/nodeName"), row("", "nodes"));
    if is_leaving(pod) {
        unrest.push(format!("pod {} is still leaving", name(pod)));
    } else if is_active(pod) && state.object(node, "", on).is_none() {
        unrest.push(format!("pod {} is on node {on:?}, which does not exist", name(pod)));
    }
}

/// A status says what is wanted.
fn told(
    object: &Value,
    kind: &str,
    wanted: Option<i64>,
    fields: &[&str],
    unrest: &mut Vec<String>,
) {
    let mut wrong = Vec::new();
    for field in fields {
        let have = object["status"][*field].as_i64().unwrap_or(0);
        if Some(have) != wanted {
            wrong.push(format!("{field} {have}"));
        }
    }
    let seen = number(object, "/status/observedGeneration");
    if seen != number(object, "/metadata/generation") {
        wrong.push(format!("observedGeneration {seen:?}"));
    }
    if !wrong.is_empty() {
        let wanted = wanted.unwrap_or(0);
        unrest.push(format!("{kind} {} wants {wanted}, has {}", name(object), wrong.join(", ")));
    }
}

fn rolled_out(state: &State, deployment: &Value, unrest: &mut Vec<String>) {
    let wanted = number(deployment, "/spec/replicas");
    let fields = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    told(deployment, "Deployment", wanted, &fields, unrest);
    let pods = pods_of(state, uid(deployment));
    let active = pods.iter().filter(|pod| is_active(pod)).count();
    let serving = pods.iter().filter(|pod| serves(pod)).count();
    if Some(active as i64) != wanted || active != serving {
        let name = name(deployment);
        unrest.push(format!("Deployment {name} has {active} pods, {serving} serving: {wanted:?}"));
    }
}

/// A Deployment with an autoscaler has as many replicas as its load is worth, or as the limits allow;
/// none if somebody wants none.
fn scaled(state: &State, autoscaler: &Value, unrest: &mut Vec<String>) {
    let target = (text(autoscaler, "/metadata/namespace"), name(autoscaler));
    let Some(target) = state.object(row("apps", "deployments"), target.0, target.1) else { return };
    let limit = |field: &str| autoscaler["spec"][field].as_i64().unwrap_or(1);
    let load = target.value["spec"]["template"]["metadata"]["labels"][LOAD].as_str();
    let load: i64 = load.and_then(|load| load.parse().ok()).unwrap_or(0);
    let worth = load.clamp(limit("minReplicas"), limit("maxReplicas"));
    let has = number(&target.value, "/spec/replicas").unwrap_or(1);
    if has != 0 && has != worth {
        let name = name(autoscaler);
        unrest.push(format!("Deployment {name} is scaled to {has}, its load is worth {worth}"));
    }
}

/// A StatefulSet has the pods of its first names, all of the last template.
fn ordered(state: &State, set: &Value, unrest: &mut Vec<String>) {
    let wanted = number(set, "/spec/replicas").unwrap_or(1);
    let fields = ["replicas", "readyReplicas", "updatedReplicas", "currentReplicas"];
    told(set, "StatefulSet", Some(wanted), &fields, unrest);
    let revision = text(set, "/status/updateRevision");
    if text(set, "/status/currentRevision") != revision {
        unrest.push(format!("StatefulSet {} is being updated", name(set)));
    }
    let mut pods = 0;
    for pod in owned(state, row("", "pods"), uid(set)) {
        let own = ordinal(pod).is_some_and(|own| (0..wanted).contains(&own));
        let hash = text(pod, "/metadata/labels/controller-revision-hash");
        if !own || !serves(pod) || hash != revision {
            let pod = name(pod);
            unrest.push(format!("{pod} of {wanted} pods of {revision} does not serve: {hash}"));
        }
        pods += 1;
    }
    if pods != wanted {
        unrest.push(format!("StatefulSet {} has {pods} pods of {wanted}", name(set)));
    }
}

/// A DaemonSet has one pod on every node.
fn everywhere(state: &State, set: &Value, unrest: &mut Vec<String>) {
    let pods: Vec<&Value> = owned(state, row("", "pods"), uid(set)).collect();
    let mut nodes = 0;
    for node in state.all(row("", "nodes")).map(name) {
        let there: Vec<&&Value> = pods.iter().filter(|pod| target(pod) == node).collect();
        if there.len() != 1 || !serves(there[0]) {
            let (set, count) = (name(set), there.len());
            unrest.push(format!("DaemonSet {set} has {count} pods on {node}, or none that serves"));
        }
        nodes += 1;
    }
    let fields = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    told(set, "DaemonSet", Some(nodes), &fields, unrest);
}

/// Every claim has a volume, and every volume knows whose it is.
fn volumes(state: &State, unrest: &mut Vec<String>) {
    let claims: Vec<&Value> = state.all(row("", "persistentvolumeclaims")).collect();
    for claim in &claims {
        if text(claim, "/status/phase") != "Bound" || text(claim, "/spec/volumeName").is_empty() {
            unrest.push(format!("claim {} has no volume", name(claim)));
        }
    }
    for volume in state.all(row("", "persistentvolumes")) {
        let of = claims.iter().filter(|claim| text(claim, "/spec/volumeName") == name(volume));
        let uids: Vec<&str> = of.map(|claim| uid(claim)).collect();
        let (has, phase) = (text(volume, "/spec/claimRef/uid"), text(volume, "/status/phase"));
        let right = match uids[..] {
            [] => has.is_empty() && phase == "Available",
            [claim] => has == claim && phase == "Bound",
            _ => false,
        };
        if !right {
            unrest.push(format!("volume {} is {phase}, of {has:?}: {uids:?}", name(volume)));
        }
    }
}

/// A Job has ended, has nothing to track any more, and goes if it is to.
fn finished(state: &State, job: &Value, unrest: &mut Vec<String>) {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let mut ends = conditions.filter(|c| c["status"] == "True").map(|c| text(c, "/type"));
    let pods = || owned(state, row("", "pods"), uid(job));
    let finalizers = |pod: &&Value| pod["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
    let tracked = pods().filter(|pod| finalizers(pod) > 0).count();
    let active = pods().filter(|pod| is_active(pod)).count();
    let (name, told) = (name(job), &job["status"]);
    match ends.find(|end| matches!(*end, "Complete" | "Failed")) {
        None => unrest.push(format!("Job {name} has not ended: {told}")),
        Some(_) if tracked > 0 || active > 0 => {
            unrest.push(format!("Job {name} has ended with {tracked} pods to count: {told}"));
        }
        // More than that are those whose creation had no answer.
        Some("Complete") if told["succeeded"].as_i64() < number(job, "/spec/completions") => {
            unrest.push(format!("complete without its completions: Job {name}: {told}"));
        }
        Some(_) if number(job, "/spec/ttlSecondsAfterFinished").is_some() => {
            unrest.push(format!("Job {name} is still there"));
        }
        Some(_) => {}
    }
}

/// A CronJob that makes no more Jobs knows of none that runs, and keeps as many as it may.
fn kept(state: &State, cron_job: &Value, unrest: &mut Vec<String>) {
    let listed = cron_job["status"]["active"].as_array().map_or(0, Vec::len);
    if listed > 0 {
        unrest.push(format!("Jobs of CronJob {} are listed: {listed}", name(cron_job)));
    }
    for (end, field) in
        [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")]
    {
        let jobs = owned(state, row("batch", "jobs"), uid(cron_job));
        let ended = jobs.filter(|job| has_condition(job, end)).count();
        let most = cron_job["spec"][field].as_u64().unwrap_or(0);
        if ended as u64 > most {
            let name = name(cron_job);
            unrest.push(format!("Jobs of CronJob {name}, {end}, are {ended} of at most {most}"));
        }
    }
}

fn counted(state: &State, budget: &Value, unrest: &mut Vec<String>) {
    let selected = |pod: &&Value| {
        pod["metadata"]["labels"]["app"] == budget["spec"]["selector"]["matchLabels"]["app"]
    };
    let healthy = state.all(row("", "pods")).filter(selected).filter(|pod| serves(pod)).count();
    let wanted = number(budget, "/spec/minAvailable").unwrap_or(0);
    let allowed = (healthy as i64 - wanted).max(0);
    let status = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let disrupted = budget["status"]["disruptedPods"].as_object().map_or(0, |pods| pods.len());
    if status("currentHealthy") != healthy as i64
        || status("desiredHealthy") != wanted
        || status("disruptionsAllowed") != allowed
        || disrupted > 0
    {
        let (name, told) = (name(budget), &budget["status"]);
        unrest.push(format!("budget {name}: {healthy} pods serve, {allowed} may go, but {told}"));
    }
}
