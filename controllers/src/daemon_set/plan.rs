//! What to do about a DaemonSet. Pure: objects and a clock in, decisions out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod, PodTemplateSpec};
use kube::ResourceExt;

use super::eligible::{self, Eligibility};
use super::pod;
use super::rollout::{self, Limits};
use crate::workload::availability::{is_available, min_ready, recheck};

/// The state of a DaemonSet on all nodes.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) set: &'a DaemonSet,
    /// The hash of the present revision.
    pub(super) hash: &'a str,
    /// Whether each node is to have a pod.
    pub(super) nodes: BTreeMap<String, Eligibility>,
    /// Its pods by the node they are on or meant for; the oldest first, those on a node before
    /// those only meant for it.
    pub(super) by_node: BTreeMap<String, Vec<Arc<Pod>>>,
    wait: Duration,
    now: Timestamp,
}

/// The decisions.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Nodes that get a pod.
    pub(super) create: Vec<String>,
    pub(super) delete: Vec<Arc<Pod>>,
    /// Pods that have ended by themselves, by node; to be replaced, but not too often.
    pub(super) ended: Vec<(String, Arc<Pod>)>,
}

impl<'a> View<'a> {
    /// Puts nodes and pods together.
    pub(super) fn new(
        set: &'a DaemonSet,
        template: &PodTemplateSpec,
        hash: &'a str,
        nodes: &[Arc<Node>],
        owned: &[Arc<Pod>],
        now: Timestamp,
    ) -> Self {
        let spec = template.spec.clone().unwrap_or_default();
        let nodes = nodes.iter().map(|node| (node.name_any(), eligible::of(node, &spec))).collect();
        let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in owned {
            // Over and on its way out: nothing is left to do about it.
            if pods::is_finished(pod) && pods::is_terminating(pod) {
                continue;
            }
            if let Some(node) = pod::node(pod) {
                by_node.entry(node.to_owned()).or_default().push(pod.clone());
            }
        }
        for pods in by_node.values_mut() {
            pods.sort_by_key(|pod| {
                let waits = pods::node_name(pod).is_none();
                (waits, pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone())
            });
        }
        let seconds = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        Self { set, hash, nodes, by_node, wait: min_ready(seconds), now }
    }

    /// Whether a pod has been ready for long enough.
    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        is_available(pod, self.wait, self.now)
    }

    /// Whether a pod is of the present template.
    pub(super) fn is_updated(&self, pod: &Pod) -> bool {
        pod::is_updated(self.set, pod, self.hash)
    }

    /// The pods on a node.
    pub(super) fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.by_node.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Nodes that are to have a pod.
    pub(super) fn desired(&self) -> impl Iterator<Item = &str> {
        let run = |(_, e): &(&String, &Eligibility)| **e == Eligibility::Run;
        self.nodes.iter().filter(run).map(|(name, _)| name.as_str())
    }

    /// When a ready pod becomes available without anything else happening.
    pub(super) fn recheck(&self) -> Option<Duration> {
        recheck(self.by_node.values().flatten().map(|pod| &**pod), self.wait, self.now)
    }

    /// One pod on every node that is to have one, and none elsewhere.
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        let limits = Limits::of(self);
        for (node, eligibility) in &self.nodes {
            let pods = self.on(node);
            match eligibility {
                Eligibility::Run if pods.is_empty() => plan.create.push(node.clone()),
                Eligibility::Run | Eligibility::Stay => self.prune(node, limits, &mut plan),
                Eligibility::Leave => {
                    let there = pods.iter().filter(|pod| !pods::is_terminating(pod));
                    plan.delete.extend(there.cloned());
                }
            }
        }
        // Pods for nodes that are gone can never start.
        for (node, pods) in &self.by_node {
            if !self.nodes.contains_key(node) {
                let waiting = pods.iter().filter(|pod| pods::node_name(pod).is_none());
                plan.delete.extend(waiting.filter(|pod| !pods::is_terminating(pod)).cloned());
            }
        }
        // A rollout counts on every node having its pod; pods that ended are replaced first.
        rollout::roll(self, limits, &mut plan);
        let mut seen = HashSet::new();
        plan.delete.retain(|pod| seen.insert(pod.metadata.uid.clone()));
        plan
    }

    /// Takes away what is too much on a node.
    fn prune(&self, node: &str, limits: Limits, plan: &mut Plan) {
        let mut running = Vec::new();
        for pod in self.on(node).iter().filter(|pod| !pods::is_terminating(pod)) {
            if pods::is_finished(pod) {
                plan.ended.push((node.to_owned(), pod.clone()));
            } else {
                running.push(pod);
            }
        }
        if limits.surge == 0 {
            plan.delete.extend(running.into_iter().skip(1).cloned());
            return;
        }
        // One of each template may be there during an update, until the new one can take over.
        let (mut new, mut old) = (None, None);
        for pod in running {
            let place = if self.is_updated(pod) { &mut new } else { &mut old };
            if place.is_none() {
                *place = Some(pod);
            } else {
                plan.delete.push(pod.clone());
            }
        }
        if let (Some(new), Some(old)) = (new, old)
            && (!pods::is_ready(old) || self.is_available(new))
        {
            plan.delete.push(old.clone());
        }
    }

    /// The status to write.
    pub(super) fn status(&self, observed: Option<i64>, collisions: Option<i32>) -> DaemonSetStatus {
        let (mut desired, mut current, mut ready) = (0, 0, 0);
        let (mut available, mut updated) = (0, 0);
        for node in self.desired() {
            desired += 1;
            if let Some(pod) = self.on(node).first() {
                current += 1;
                ready += i32::from(pods::is_ready(pod));
                available += i32::from(self.is_available(pod));
                updated += i32::from(self.is_updated(pod));
            }
        }
        let misplaced = self.nodes.iter().filter(|(node, eligibility)| {
            **eligibility != Eligibility::Run && !self.on(node).is_empty()
        });
        // Zero is left out, as Kubernetes does, where the field is optional.
        let some = |n: i32| Some(n).filter(|n| *n > 0);
        DaemonSetStatus {
            current_number_scheduled: current,
            desired_number_scheduled: desired,
            number_available: some(available),
            number_misscheduled: i32::try_from(misplaced.count()).unwrap_or(i32::MAX),
            number_ready: ready,
            number_unavailable: some(desired - available),
            updated_number_scheduled: some(updated),
            observed_generation: observed,
            collision_count: collisions,
            conditions: self.set.status.as_ref().and_then(|status| status.conditions.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
