//! What must hold after every event.
//!
//! Components see the cluster a moment late, so some laws hold against what was wanted *recently*,
//! and some only while nobody else disturbs: a node that dies takes pods away, and nobody is to
//! blame. Each law says what excuses it.

use std::collections::{BTreeMap, BTreeSet};

use api::resources::Resource;
use api::selector::LabelSelector;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::facts::{self, Bounds, name, number, owned, owner, serves, text, uid};
use crate::world::{Call, State, row};

/// How late a component may be: a stalled watch, a broken connection, retries.
const LATE: SignedDuration = SignedDuration::from_secs(90);
/// A pod that has been ready for so long is known to be ready.
const KNOWN: SignedDuration = SignedDuration::from_secs(60);

/// The name of the controllers in events.
pub(crate) const CONTROLLERS: &str = "controllers";
/// The name of the scheduler in events.
pub(crate) const SCHEDULER: &str = "scheduler";
/// The name of whoever empties nodes.
pub(crate) const DRAIN: &str = "drain";

/// A write.
pub(crate) struct Event<'a> {
    pub(crate) resource: &'a Resource,
    /// None: it is new.
    pub(crate) before: Option<&'a Value>,
    /// None: it is gone.
    pub(crate) now: Option<&'a Value>,
    pub(crate) actor: &'a str,
    pub(crate) at: Timestamp,
}

/// What the laws remember.
#[derive(Default)]
pub(crate) struct Laws {
    /// By uid of the Deployment.
    bounds: BTreeMap<String, Recent<Bounds>>,
    /// Replicas by uid of the ReplicaSet.
    replicas: BTreeMap<String, Recent<i64>>,
    /// When a Deployment, a budget last lost a pod that its controller did not take.
    disturbed: BTreeMap<String, Timestamp>,
    /// Pods that have succeeded, that have failed or were taken away, by uid of the Job.
    ended: BTreeMap<String, [BTreeSet<String>; 2]>,
    /// Pods that may have been made without their ReplicaSet's knowledge, by its uid.
    unknown_pods: BTreeMap<String, i64>,
    /// Pods that may have been bound without the scheduler's knowledge.
    unknown_bindings: BTreeSet<String>,
}

/// What was true, and since when.
struct Recent<T>(Vec<(Timestamp, T)>);

impl<T: Copy + PartialEq> Recent<T> {
    fn add(&mut self, at: Timestamp, value: T) {
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((at, value));
        }
    }

    /// What somebody who is late may believe.
    fn believed(&self, at: Timestamp) -> impl Iterator<Item = T> {
        let ends = self.0.iter().skip(1).map(|(next, _)| *next).chain([Timestamp::MAX]);
        let spans = self.0.iter().zip(ends);
        spans.filter(move |(_, end)| at.duration_since(*end) < LATE).map(|((_, value), _)| *value)
    }
}

impl Laws {
    /// A request was made, and whoever made it does not know.
    pub(crate) fn unknown(&mut self, call: &Call) {
        if call.method != Method::POST || call.resource.plural != "pods" {
            return;
        }
        if call.subresource == "binding" {
            self.unknown_bindings.insert(call.name.clone());
        } else if let Ok(pod) = serde_json::from_slice::<Value>(&call.body)
            && let Some(set) = owner(&pod)
        {
            *self.unknown_pods.entry(set.to_owned()).or_default() += 1;
        }
    }

    /// Holds an event, of which `state` shows the outcome, against the laws.
    ///
    /// # Errors
    /// The law that is broken, and by what.
    pub(crate) fn judge(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        match &*event.resource.plural {
            "deployments" => self.deployment(event),
            "replicasets" => self.set(state, event),
            "pods" => self.pod(state, event),
            "jobs" => self.job(event),
            _ => Ok(()),
        }
    }

    fn deployment(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Some(deployment) = event.now else { return Ok(()) };
        if let Some(bounds) = facts::bounds(deployment) {
            let recent = self.bounds.entry(uid(deployment).to_owned());
            recent.or_insert_with(|| Recent(Vec::new())).add(event.at, bounds);
        }
        Ok(())
    }

    /// Surge: no rollout asks for more pods than the Deployment allows.
    fn set(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        let Some(set) = event.now else { return Ok(()) };
        let size = |set: &Value| number(set, "/spec/replicas").unwrap_or(1);
        let recent = self.replicas.entry(uid(set).to_owned());
        recent.or_insert_with(|| Recent(Vec::new())).add(event.at, size(set));
        let grew = size(set) > event.before.map_or(0, size);
        let Some(deployment) = owner(set).filter(|_| grew && event.actor == CONTROLLERS) else {
            return Ok(());
        };
        let Some(bounds) = self.bounds.get(deployment) else { return Ok(()) };
        let Some(most) = bounds.believed(event.at).map(|bounds| bounds.most).max() else {
            return Ok(());
        };
        // Of the others it may believe the least that they have been asked for.
        let believed = |other: &Value| {
            let sizes = self.replicas.get(uid(other)).map(|sizes| sizes.believed(event.at).min());
            sizes.flatten().filter(|_| Self::is_known(other, event.at)).unwrap_or(0)
        };
        let others = owned(state, event.resource, deployment).filter(|it| uid(it) != uid(set));
        let sum: i64 = size(set) + others.map(believed).sum::<i64>();
        if sum > most {
            return Err(format!(
                "surge: ReplicaSet {} grows to {}, with the others {sum} pods of at most {most}",
                name(set),
                size(set)
            ));
        }
        Ok(())
    }

    /// Whether everybody has heard of an object.
    fn is_known(object: &Value, at: Timestamp) -> bool {
        let made: Option<Timestamp> = text(object, "/metadata/creationTimestamp").parse().ok();
        made.is_some_and(|made| at.duration_since(made) >= LATE)
    }

    /// A Job counts no pod twice.
    fn job(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Some(job) = event.now else { return Ok(()) };
        let recent = self.replicas.entry(uid(job).to_owned());
        let parallelism = number(job, "/spec/parallelism").unwrap_or(1);
        recent.or_insert_with(|| Recent(Vec::new())).add(event.at, parallelism);
        let [succeeded, failed] = self.ended.entry(uid(job).to_owned()).or_default();
        for (told, ended) in [("succeeded", succeeded), ("failed", failed)] {
            let count = job["status"][told].as_i64().unwrap_or(0);
            if count > ended.len() as i64 {
                let (name, ended) = (name(job), ended.len());
                return Err(format!("Job {name} tells of {count} pods {told}, and {ended} have"));
            }
        }
        Ok(())
    }

    /// Notes how a pod of a Job has ended. One that goes is a failure, unless it succeeds in going.
    fn note_end(&mut self, event: &Event<'_>, pod: &Value) {
        let Some(job) = owner(pod) else { return };
        let [succeeded, failed] = self.ended.entry(job.to_owned()).or_default();
        let now = event.now.unwrap_or(pod);
        match text(now, "/status/phase") {
            "Succeeded" => succeeded.insert(uid(pod).to_owned()),
            "Failed" => failed.insert(uid(pod).to_owned()),
            _ if event.now.is_none_or(facts::is_leaving) => failed.insert(uid(pod).to_owned()),
            _ => false,
        };
    }

    fn pod(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        let active = |pod: &&Value| facts::is_active(pod);
        match (event.before, event.now) {
            (None, Some(pod)) => self.created(state, event, pod),
            (Some(before), now) => {
                self.note_end(event, before);
                if let Some(now) = now {
                    self.bound(state, before, now)?;
                    if serves(before) && facts::is_active(now) && !serves(now) {
                        self.disturb(state, before, event.at);
                    }
                }
                if facts::is_active(before) && now.filter(active).is_none() {
                    return self.left(state, event, before);
                }
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// A ReplicaSet makes no more pods than it is asked for, but for those that it cannot know of.
    fn created(&self, state: &State, event: &Event<'_>, pod: &Value) -> Result<(), String> {
        let Some(set) = owner(pod).filter(|_| event.actor == CONTROLLERS) else { return Ok(()) };
        let unknown = self.unknown_pods.get(set).copied().unwrap_or(0);
        let Some(wanted) = self.replicas.get(set).and_then(|r| r.believed(event.at).max()) else {
            return Ok(());
        };
        let pods = owned(state, event.resource, set).filter(|pod| facts::is_active(pod)).count();
        if pods as i64 > wanted + unknown {
            let pod = name(pod);
            return Err(format!("too many pods: {pod} is number {pods} of {wanted}"));
        }
        Ok(())
    }

    /// A pod is bound once, to a node that has room for it.
    fn bound(&self, state: &State, before: &Value, now: &Value) -> Result<(), String> {
        let (had, has) = (text(before, "/spec/nodeName"), text(now, "/spec/nodeName"));
        if had == has {
            return Ok(());
        }
        if !had.is_empty() {
            return Err(format!("bound twice: pod {} goes from {had} to {has}", name(now)));
        }
        let Some(node) = state.object(row("", "nodes"), "", has) else { return Ok(()) };
        let there = |pod: &&Value| text(pod, "/spec/nodeName") == has && !facts::is_finished(pod);
        let pods: Vec<&Value> = state.all(row("", "pods")).filter(there).collect();
        // The scheduler believes that a pod is not there whose binding it had no answer to.
        let surprise = |pod: &&&Value| self.unknown_bindings.contains(name(pod));
        let surprises: i64 = pods.iter().filter(surprise).map(|pod| facts::demand(pod)).sum();
        let demand: i64 = pods.iter().map(|pod| facts::demand(pod)).sum();
        if demand - surprises > facts::supply(&node.value) {
            let pod = name(now);
            return Err(format!("no room: pod {pod} is bound to {has}, where {demand}m are asked"));
        }
        Ok(())
    }

    /// A pod does not count any more.
    fn left(&mut self, state: &State, event: &Event<'_>, pod: &Value) -> Result<(), String> {
        if event.actor == DRAIN {
            self.evicted(state, event.at, pod)?;
        }
        let node = text(pod, "/spec/nodeName");
        let taken = event.actor == CONTROLLERS
            && !event.now.is_some_and(facts::is_finished)
            && (node.is_empty() || facts::keeps_pods(state, node));
        if event.actor == DRAIN {
            // Budgets count evictions themselves.
            self.disturb_deployment(state, pod, event.at);
            return Ok(());
        }
        if !taken {
            self.disturb(state, pod, event.at);
            return Ok(());
        }
        self.disturb_budgets(state, pod, event.at);
        let set = owner(pod).and_then(|set| facts::find(state, row("apps", "replicasets"), set));
        let Some(set) = set.filter(|set| !facts::is_leaving(set)) else { return Ok(()) };
        let of = owner(set).and_then(|of| facts::find(state, row("apps", "deployments"), of));
        let Some(deployment) = of.filter(|of| !facts::is_leaving(of)) else { return Ok(()) };
        self.taken(state, event.at, pod, uid(deployment))
    }

    /// Availability: no rollout takes a pod that is needed. Excused while something else has taken
    /// pods, and when the pod was only just ready.
    fn taken(
        &self,
        state: &State,
        at: Timestamp,
        pod: &Value,
        deployment: &str,
    ) -> Result<(), String> {
        let Some(bounds) = self.bounds.get(deployment) else { return Ok(()) };
        let known = facts::ready_since(pod).is_some_and(|since| at.duration_since(since) > KNOWN);
        if !known || self.is_disturbed(deployment, at) {
            return Ok(());
        }
        let Some(fewest) = bounds.believed(at).map(|bounds| bounds.fewest).min() else {
            return Ok(());
        };
        let left = facts::pods_of(state, deployment).into_iter().filter(|pod| serves(pod)).count();
        if (left as i64) < fewest {
            let pod = name(pod);
            return Err(format!("availability: without {pod} {left} pods serve, of {fewest}"));
        }
        Ok(())
    }

    /// Budgets: no eviction leaves fewer pods than a budget wants. Excused while something else
    /// has taken pods.
    fn evicted(&mut self, state: &State, at: Timestamp, pod: &Value) -> Result<(), String> {
        if !serves(pod) {
            return Ok(());
        }
        for budget in budgets_of(state, pod) {
            if self.is_disturbed(uid(budget), at) {
                continue;
            }
            let serving = state.all(row("", "pods")).filter(|pod| covers(budget, pod));
            let left = serving.filter(|pod| serves(pod)).count() as i64;
            let wanted = number(budget, "/spec/minAvailable").unwrap_or(0);
            if left < wanted {
                let (pod, budget) = (name(pod), name(budget));
                return Err(format!(
                    "budget {budget}: without {pod} {left} pods serve of {wanted}"
                ));
            }
        }
        Ok(())
    }

    fn disturb(&mut self, state: &State, pod: &Value, at: Timestamp) {
        self.disturb_deployment(state, pod, at);
        self.disturb_budgets(state, pod, at);
    }

    fn disturb_deployment(&mut self, state: &State, pod: &Value, at: Timestamp) {
        let set = owner(pod).and_then(|set| facts::find(state, row("apps", "replicasets"), set));
        if let Some(deployment) = set.and_then(owner) {
            self.disturbed.insert(deployment.to_owned(), at);
        }
    }

    fn disturb_budgets(&mut self, state: &State, pod: &Value, at: Timestamp) {
        for budget in budgets_of(state, pod) {
            self.disturbed.insert(uid(budget).to_owned(), at);
        }
    }

    fn is_disturbed(&self, uid: &str, at: Timestamp) -> bool {
        self.disturbed.get(uid).is_some_and(|since| at.duration_since(*since) < LATE)
    }
}

fn covers(budget: &Value, pod: &Value) -> bool {
    budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
        && LabelSelector::from_object(&budget["spec"]["selector"])
            .is_ok_and(|selector| selector.matches_object(pod))
}

fn budgets_of<'a>(state: &'a State, pod: &Value) -> Vec<&'a Value> {
    let budgets = state.all(row("policy", "poddisruptionbudgets"));
    budgets.filter(|budget| covers(budget, pod)).collect()
}
