//! What the watches tell: cache and queue follow, and refused pods are woken that may fit now.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::Cycle;
use crate::affinity::Labels;
use crate::cache::Cache;
use crate::framework::{Change, Framework};
use crate::node::Offer;
use crate::pod::{PodInfo, PodUid};
use crate::queue::{Among, Queue, Refused};
use crate::watch::Heard;

impl Cycle {
    pub(super) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Pod(pod) => self.pod(pod),
            Heard::PodGone(uid) => self.pod_gone(&uid),
            Heard::Pods(pods) => {
                self.gated.clear();
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
                for name in lost_nodes(&self.cache, &nodes) {
                    self.cache.remove_node(&name);
                }
                for (name, offer) in nodes {
                    self.node(&name, offer);
                }
                self.listed.nodes = true;
            }
            Heard::Budget(uid, budget) => self.budgets.set(uid, *budget),
            Heard::BudgetGone(uid) => self.budgets.remove(&uid),
            Heard::Budgets(all) => {
                self.budgets.replace(all.into_iter().collect());
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
                    self.wake_those(change, |refused| !refused.pod.claims.is_empty());
                }
                self.listed.stored[kind as usize] = true;
            }
            Heard::Devices(news) => self.devices(news),
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

    pub(super) fn pod(&mut self, pod: Arc<PodInfo>) {
        self.gated.remove(&pod.uid);
        if pod.finished {
            return self.pod_gone(&pod.uid);
        }
        if let Some(node) = pod.node_name.clone() {
            let pod = as_it_is(pod, &mut self.leaving);
            self.queue.remove(&pod.uid);
            let before = self.cache.placed(&pod.uid).map(|(before, _)| before);
            let new = before.is_none().then(|| pod.beside());
            let relabelled = before.is_some_and(|before| before.labels != pod.labels);
            let shrank =
                before.is_some_and(|before| before.demands.requests.exceeds(&pod.demands.requests));
            // The cache makes it share its labels with its like, which takes the only reference.
            self.cache.see(pod, &node);
            if let Some(beside) = new {
                self.wake_beside(&beside);
            }
            if relabelled {
                self.wake(Change::PodLabels);
            }
            if shrank {
                self.room_on(&node);
            }
            return;
        }
        let framework = self.framework(&pod);
        let admits = |of: &Arc<Framework>| of.admits(&pod, &self.cache);
        let admitted = framework.as_ref().is_some_and(admits);
        if pod.deleting || !admitted {
            self.stop_waiting(&pod.uid);
            self.queue.remove(&pod.uid);
            self.withdraw(&pod.uid);
            if framework.is_some() && !pod.deleting && !pod.demands.resource_claims.is_empty() {
                self.gated.insert(pod.uid.clone(), pod);
            }
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
        self.gated.remove(uid);
        self.stop_waiting(uid);
        self.leaving.remove(uid);
        self.queue.remove(uid);
        self.withdraw(uid);
        let node = self.cache.placed(uid).map(|(_, node)| node.clone());
        self.cache.remove_pod(uid);
        if let Some(node) = node {
            self.room_on(&node);
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
        self.wake_those(change, |_| true);
    }

    pub(super) fn wake_those(&mut self, change: Change, concerns: impl Fn(Refused<'_>) -> bool) {
        self.queue.wake(&self.frameworks, change, Among::All, Instant::now(), concerns);
    }

    /// Something that has to do with volumes changed: wakes pods with claims; if it was a claim, those
    /// that have it.
    fn wake_claimants(&mut self, change: Option<Change>, id: &str) {
        let Some(change) = change else { return };
        self.wake_those(change, |refused| {
            let mut claims = refused.pod.claims.iter();
            claims.any(|claim| change != Change::Claim || *claim.id == *id)
        });
    }

    /// A pod came to a node: wakes those that want to be with its like.
    pub(super) fn wake_beside(&mut self, (namespace, labels): &(String, Arc<Labels>)) {
        let (namespaces, now) = (self.cache.namespaces(), Instant::now());
        self.queue.wake(&self.frameworks, Change::PodAdded, Among::All, now, |refused| {
            refused.pod.looks_for(namespace, labels, namespaces)
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

/// A pod as the watch shows it. The watch is behind if the pod is being evicted and not yet shown on its
/// way out.
fn as_it_is(mut pod: Arc<PodInfo>, leaving: &mut HashSet<PodUid>) -> Arc<PodInfo> {
    if pod.deleting {
        leaving.remove(&pod.uid);
    } else if leaving.contains(&pod.uid) {
        Arc::make_mut(&mut pod).deleting = true;
    }
    pod
}

/// The nodes known here that a complete list does not show any more.
fn lost_nodes(cache: &Cache, listed: &[(Arc<str>, Offer)]) -> Vec<Arc<str>> {
    let listed: HashSet<&Arc<str>> = listed.iter().map(|(name, _)| name).collect();
    cache.node_names().filter(|name| !listed.contains(name)).cloned().collect()
}

/// What a change of a node's offer may mean to refused pods.
fn changes(before: &Offer, now: &Offer) -> Vec<Change> {
    let mut changes = Vec::new();
    let grew =
        now.allocatable.exceeds(&before.allocatable) || now.allowed_pods > before.allowed_pods;
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

    #[test]
    fn an_evicted_pod_is_leaving_whatever_the_watch_shows_first() {
        let (other, evicted) = (pod("other"), pod("evicted"));
        let mut leaving = HashSet::from([evicted.uid.clone()]);
        assert!(!as_it_is(other, &mut leaving).deleting);
        assert!(as_it_is(evicted.clone(), &mut leaving).deleting, "its condition was written");
        assert!(!leaving.is_empty());
        let mut deleted = (*evicted).clone();
        deleted.deleting = true;
        assert!(as_it_is(Arc::new(deleted), &mut leaving).deleting);
        assert!(leaving.is_empty(), "from now on the watch says it");
    }

    #[test]
    fn nodes_missing_in_a_list_are_lost() {
        let mut cache = Cache::default();
        for name in ["a", "b", "c"] {
            cache.set_node(&name.into(), Offer::default());
        }
        // Of this one only a pod is known.
        cache.see(pod("p"), &"d".into());
        let listed = [("b".into(), Offer::default()), ("e".into(), Offer::default())];
        let mut lost = lost_nodes(&cache, &listed);
        lost.sort();
        assert_eq!(lost, ["a".into(), "c".into()]);
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
