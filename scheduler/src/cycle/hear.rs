//! What the watches tell: cache and queue follow, and refused pods are woken that may fit now.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::Cycle;
use crate::affinity::Labels;
use crate::cache::Cache;
use crate::framework::Change;
use crate::node::Offer;
use crate::pod::{PodInfo, PodUid};
use crate::preemption::Budgets;
use crate::queue::Queue;
use crate::watch::Heard;

impl Cycle {
    pub(super) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Pod(pod) => self.pod(pod),
            Heard::PodGone(uid) => self.pod_gone(&uid),
            Heard::Pods(pods) => {
                for uid in lost(&self.cache, &self.queue, &pods) {
                    self.pod_gone(&uid);
                }
                for pod in pods {
                    self.pod(pod);
                }
                self.listed.pods = true;
            }
            Heard::Node(name, offer) => self.node(&name, *offer),
            Heard::NodeGone(name) => {
                self.cache.remove_node(&name);
                self.wake(Change::NodeRemoved);
            }
            Heard::Nodes(nodes) => {
                let lost: Vec<Arc<str>> = self
                    .cache
                    .node_names()
                    .filter(|name| !nodes.iter().any(|(known, _)| known == *name))
                    .cloned()
                    .collect();
                for name in lost {
                    self.cache.remove_node(&name);
                }
                for (name, offer) in nodes {
                    self.node(&name, offer);
                }
                self.listed.nodes = true;
            }
            Heard::Budget(uid, budget) => drop(self.budgets.0.insert(uid, *budget)),
            Heard::BudgetGone(uid) => drop(self.budgets.0.remove(&uid)),
            Heard::Budgets(all) => {
                self.budgets = Budgets(all.into_iter().collect());
                self.listed.budgets = true;
            }
            Heard::Stored(id, object) => {
                let change = self.cache.volumes_mut().set(id.clone(), *object);
                self.wake_claimants(change, &id);
            }
            Heard::StoredGone(kind, id) => {
                let change = self.cache.volumes_mut().remove(kind, &id);
                self.wake_claimants(change, &id);
            }
            Heard::AllStored(kind, all) => {
                for change in self.cache.volumes_mut().replace(kind, all) {
                    self.queue.wake(&self.frameworks, change, Instant::now(), |waiting| {
                        !waiting.claims.is_empty()
                    });
                }
                self.listed.stored[kind as usize] = true;
            }
            Heard::Namespace(name, labels) => {
                if self.cache.set_namespace(name, labels) {
                    self.wake(Change::NamespaceLabels);
                }
            }
            Heard::NamespaceGone(name) => self.cache.remove_namespace(&name),
            Heard::Namespaces(all) => {
                self.cache.set_namespaces(all.into_iter().collect());
                self.listed.namespaces = true;
                self.wake(Change::NamespaceLabels);
            }
        }
    }

    fn pod(&mut self, pod: Arc<PodInfo>) {
        if pod.finished {
            return self.pod_gone(&pod.uid);
        }
        if let Some(node) = pod.node_name.clone() {
            self.queue.remove(&pod.uid);
            let new = (!self.cache.holds(&pod.uid)).then(|| pod.beside());
            self.cache.see(pod, &node);
            if let Some(beside) = new {
                self.wake_beside(&beside);
            }
            return;
        }
        let framework = self.framework(&pod);
        if pod.deleting || framework.is_none_or(|framework| !framework.admits(&pod)) {
            self.stop_waiting(&pod.uid);
            self.queue.remove(&pod.uid);
            self.cache.withdraw(&pod.uid);
        } else if !self.cache.is_assumed(&pod.uid) {
            if let Some(node) = pod.nominated.clone()
                && !self.queue.contains(&pod.uid)
            {
                // Room that was made before a restart is still being kept.
                self.cache.nominate(pod.clone(), &node);
            }
            self.queue.upsert(pod);
        }
    }

    fn pod_gone(&mut self, uid: &PodUid) {
        self.stop_waiting(uid);
        self.queue.remove(uid);
        self.cache.withdraw(uid);
        if self.cache.remove_pod(uid) {
            self.wake(Change::PodRemoved);
        }
    }

    fn node(&mut self, name: &Arc<str>, offer: Offer) {
        let Some(before) = self.cache.set_node(name, offer) else {
            return self.wake(Change::NodeAdded);
        };
        let now = self.cache.node(name).and_then(|n| n.offer.as_ref());
        for change in now.map(|now| changes(&before, now)).unwrap_or_default() {
            self.wake(change);
        }
    }

    pub(super) fn wake(&mut self, change: Change) {
        self.queue.wake(&self.frameworks, change, Instant::now(), |_| true);
    }

    /// Something that has to do with volumes changed: wakes pods with claims; if it was a claim, those
    /// that have it.
    fn wake_claimants(&mut self, change: Option<Change>, id: &str) {
        let Some(change) = change else { return };
        self.queue.wake(&self.frameworks, change, Instant::now(), |waiting| {
            waiting.claims.iter().any(|claim| change != Change::Claim || *claim.id == *id)
        });
    }

    /// A pod came to a node: wakes those that want to be with its like.
    pub(super) fn wake_beside(&mut self, (namespace, labels): &(String, Arc<Labels>)) {
        let namespaces = self.cache.namespaces();
        self.queue.wake(&self.frameworks, Change::PodAdded, Instant::now(), |waiting| {
            waiting.looks_for(namespace, labels, namespaces)
        });
    }
}

/// The pods known here that a complete list does not show any more.
///
/// One whose binding is under way may be missing from an older list: its binding will tell. One that
/// is bound and not yet seen bound is in every list unless it is gone.
fn lost(cache: &Cache, queue: &Queue, listed: &[Arc<PodInfo>]) -> Vec<PodUid> {
    let listed: HashSet<&PodUid> = listed.iter().map(|pod| &pod.uid).collect();
    let is_binding = |uid: &PodUid| cache.is_assumed(uid) && queue.contains(uid);
    let known = cache.pods().chain(queue.uids());
    known.filter(|uid| !listed.contains(uid) && !is_binding(uid)).cloned().collect()
}

/// What a change of a node's offer may mean to refused pods.
fn changes(before: &Offer, now: &Offer) -> Vec<Change> {
    let mut changes = Vec::new();
    let (had, has) = (&before.allocatable, &now.allocatable);
    let grew = has.milli_cpu > had.milli_cpu
        || has.memory > had.memory
        || has.ephemeral_storage > had.ephemeral_storage
        || now.allowed_pods > before.allowed_pods
        || has
            .extended
            .iter()
            .any(|(name, amount)| *amount > had.extended.get(name).copied().unwrap_or(0));
    if grew {
        changes.push(Change::NodeGrew);
    }
    if now.labels != before.labels {
        changes.push(Change::NodeLabels);
    }
    if now.taints != before.taints || now.unschedulable != before.unschedulable {
        changes.push(Change::NodeTaints);
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn only_changes_that_can_help_are_reported() {
        let before = Offer { allowed_pods: 10, ..Offer::default() };
        assert_eq!(changes(&before, &before.clone()), []);
        let mut now = before.clone();
        now.allowed_pods = 11;
        now.unschedulable = true;
        assert_eq!(changes(&before, &now), [Change::NodeGrew, Change::NodeTaints]);
        let mut now = before.clone();
        now.allowed_pods = 9;
        now.labels.insert("a".into(), "b".into());
        assert_eq!(changes(&before, &now), [Change::NodeLabels]);
    }

    fn pod(uid: &str) -> Arc<PodInfo> {
        let pod = json!({"metadata": {"name": uid, "uid": uid}, "spec": {"containers": []}});
        Arc::new(PodInfo::read(&serde_json::from_value(pod).unwrap()).unwrap())
    }

    #[test]
    fn a_pod_deleted_unseen_after_its_binding_frees_its_node() {
        let delays = crate::queue::Delays {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(10),
            unschedulable: Duration::from_secs(300),
        };
        let sort = Arc::new(crate::plugins::PrioritySort);
        let (mut cache, mut queue) = (Cache::default(), Queue::new(sort, delays));
        let node: Arc<str> = "a".into();
        let (binding, bound, waiting, seen) =
            (pod("binding"), pod("bound"), pod("waiting"), pod("seen"));
        for pod in [&binding, &bound] {
            queue.upsert(pod.clone());
            queue.pop();
            cache.assume(pod.clone(), &node);
        }
        queue.remove(&bound.uid);
        queue.upsert(waiting.clone());
        cache.see(seen.clone(), &node);
        let mut gone = lost(&cache, &queue, &[]);
        gone.sort();
        assert_eq!(gone, [bound.uid.clone(), seen.uid.clone(), waiting.uid.clone()]);
        assert!(lost(&cache, &queue, &[bound, waiting, seen]).is_empty());
    }
}
