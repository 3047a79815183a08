//! Post-filter: makes room for a pod that found none.
//!
//! The pod is nominated to a node and expects room there, while its victims are evicted in the
//! background, a bounded number at a time. As soon as it fits it is tried again. A victim counts as
//! leaving from the decision on, whatever an older watch event says: nobody takes more than needed
//! because of what has not come through yet.

use std::sync::Arc;

use k8s_openapi::api::resource::v1::ResourceClaim;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Cycle;
use crate::bind::{self, BindError};
use crate::cache::Cache;
use crate::decide;
use crate::diagnosis::{Diagnosis, Preemption};
use crate::dynamic_resources::write;
use crate::framework::{Aftermath, Attempt, Change, Framework};
use crate::pod::{PodInfo, PodUid};
use crate::preemption::{self, Victims};
use crate::queue::Among;

/// A victim that could not be taken away.
pub(super) struct Unmoved {
    victim: PodUid,
    preemptor: PodUid,
}

impl Cycle {
    /// Nominates a node and takes its victims away, if a plugin knows one where that helps; otherwise
    /// notes in the diagnosis why not.
    pub(super) fn preempt(
        &mut self,
        framework: &Framework,
        pod: &Arc<PodInfo>,
        diagnosis: &mut Diagnosis,
    ) {
        let attempt = Attempt {
            framework,
            cache: &self.cache,
            budgets: &self.budgets,
            pod,
            openable: &diagnosis.openable,
        };
        let (mut last, mut idle) = (None, None);
        for plugin in &framework.post_filters {
            let aftermath = plugin.post_filter(&attempt);
            if let Aftermath::Pass { remark, deallocate } = aftermath {
                diagnosis.remark = diagnosis.remark.or(remark);
                idle = idle.or(deallocate);
                continue;
            }
            let found = matches!(aftermath, Aftermath::Room(_));
            last = Some(aftermath);
            if found {
                break;
            }
        }
        if let Some(claim) = idle {
            self.deallocate(pod, claim);
        }
        match last {
            None | Some(Aftermath::Pass { .. }) => diagnosis.preemption = Some(Preemption::Off),
            Some(Aftermath::Room(victims)) => {
                diagnosis.preemption = Some(Preemption::Helps);
                self.make_room(pod, victims);
            }
            // What is nominated stays.
            Some(Aftermath::NotEligible(why)) => {
                diagnosis.preemption = Some(Preemption::NotEligible(why));
            }
            Some(Aftermath::NoRoom(reasons)) => {
                diagnosis.preemption = (!reasons.is_empty()).then_some(Preemption::Fails(reasons));
                self.withdraw(&pod.uid);
            }
        }
    }

    /// Gives the devices of a claim back; the pod is tried again when the watch shows it.
    fn deallocate(&self, pod: &Arc<PodInfo>, claim: Arc<ResourceClaim>) {
        let (client, pod) = (self.client.clone(), pod.clone());
        self.tracker.spawn(async move {
            if let Err(error) = write::deallocate(&client, &pod, &claim).await {
                debug!(namespace = pod.namespace, name = pod.name, %error, "devices not given back");
            }
        });
    }

    fn make_room(&mut self, pod: &Arc<PodInfo>, victims: Victims) {
        let Victims { node, pods, .. } = victims;
        info!(
            namespace = pod.namespace,
            name = pod.name,
            %node,
            victims = pods.len(),
            "making room for pod"
        );
        // Room kept there for pods that matter less is theirs no more, and they are to look again.
        let lesser: Vec<Arc<PodInfo>> = self
            .cache
            .nominated(&node)
            .filter(|other| other.demands.priority < pod.demands.priority)
            .cloned()
            .collect();
        for other in lesser {
            self.cache.withdraw(&other.uid);
            self.take_back(&other);
            self.queue.activate(&other.uid);
        }
        let kept = self.cache.nomination(&pod.uid).filter(|kept| **kept != node).cloned();
        self.cache.nominate(pod.clone(), &node);
        if let Some(kept) = kept {
            self.room_on(&kept);
        }
        for victim in pods {
            if victim.deleting {
                continue;
            }
            let mut leaving = (*victim).clone();
            leaving.deleting = true;
            self.leaving.insert(victim.uid.clone());
            if self.cache.is_assumed(&victim.uid) {
                self.cache.assume(Arc::new(leaving), &node);
            } else {
                self.cache.see(Arc::new(leaving), &node);
            }
            self.evict(pod, victim, &node);
        }
    }

    /// Takes a victim away when it is its turn.
    fn evict(&self, preemptor: &Arc<PodInfo>, victim: Arc<PodInfo>, node: &Arc<str>) {
        let (client, recorder) = (self.client.clone(), self.recorder.clone());
        let (turns, stop, unmoved) =
            (self.evictions.clone(), self.shutdown.clone(), self.unmoved.clone());
        let scheduler = preemptor.scheduler_name.clone();
        let preemptor = preemptor.uid.clone();
        let now = self.config.clock.now();
        let message = format!("Preempted by pod {} on node {node}", preemptor.0);
        self.tracker.spawn(async move {
            let turn = tokio::select! {
                biased;
                // The next scheduler looks again.
                () = stop.cancelled() => return,
                turn = turns.acquire_owned() => turn,
            };
            match bind::evict(&client, &victim, &scheduler, now).await {
                Ok(()) => recorder.done_by(&scheduler, &victim, "Preempted", message),
                Err(BindError::Gone { .. }) => {}
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    let (namespace, name) = (&victim.namespace, &victim.name);
                    warn!(namespace, name, %error, cause, "victim not taken away");
                    let victim = victim.uid.clone();
                    // Nobody listens any more only when the scheduler stops.
                    unmoved.send(Unmoved { victim, preemptor }).await.ok();
                }
            }
            drop(turn);
        });
    }

    /// A victim stays for now: the pod it was to make room for looks again, after its back-off.
    pub(super) fn stays(&mut self, Unmoved { victim, preemptor }: Unmoved) {
        // It may have been taken away all the same: then the watch has shown it, or will.
        let unseen = self.leaving.remove(&victim);
        if let Some((pod, node)) = self.cache.placed(&victim).filter(|_| unseen) {
            let (mut pod, node) = ((**pod).clone(), node.clone());
            pod.deleting = false;
            if self.cache.is_assumed(&victim) {
                self.cache.assume(Arc::new(pod), &node);
            } else {
                self.cache.see(Arc::new(pod), &node);
            }
        }
        self.queue.retry(&preemptor, Instant::now());
    }

    /// Gives up the room that is kept for a pod.
    pub(super) fn withdraw(&mut self, uid: &PodUid) {
        let node = self.cache.nomination(uid).cloned();
        self.cache.withdraw(uid);
        if let Some(node) = node {
            self.room_on(&node);
        }
    }

    /// A pod has left a node, or what was kept for one is free again: wakes those that expect room there
    /// and have it, and all others that it may help.
    pub(super) fn room_on(&mut self, node: &Arc<str>) {
        let expecting = self.queue.expecting(node);
        for pod in &expecting {
            if let Some(framework) = self.framework(pod)
                && has_its_room(&framework, &self.cache, pod, node)
            {
                self.queue.activate(&pod.uid);
            }
        }
        // Where room is kept for somebody, those that have theirs elsewhere do not look.
        let among = if expecting.is_empty() { Among::All } else { Among::NotExpecting };
        let (node, now) = (self.cache.node(node), Instant::now());
        self.queue.wake(&self.frameworks, Change::PodRemoved, among, now, |refused| {
            let may_preempt = !refused.expecting;
            node.is_none_or(|node| {
                refused.framework.helps_that_left(node, refused.pod, refused.by, may_preempt)
            })
        });
    }
}

/// Whether a pod that expects room on a node is to be tried: it fits there, or nobody is left whose
/// leaving it could wait for.
fn has_its_room(framework: &Framework, cache: &Cache, pod: &PodInfo, node: &str) -> bool {
    cache.node(node).is_none_or(|node| {
        !preemption::is_awaiting(pod, node) || decide::fits(framework, cache, pod, node)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::node::Offer;

    fn pod(uid: &str, priority: i32, cpu: &str, deleting: bool) -> Arc<PodInfo> {
        let pod = json!({"metadata": {"name": uid, "uid": uid}, "spec": {"priority": priority,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        let mut pod = PodInfo::read(&serde_json::from_value(pod).unwrap()).unwrap();
        pod.deleting = deleting;
        Arc::new(pod)
    }

    #[test]
    fn a_pod_is_tried_again_when_it_has_its_room() {
        let framework = Framework::default();
        let wants = pod("p", 10, "3", false);
        for (what, there, kept, has_it) in [
            (
                "all of them leave",
                vec![pod("a", 0, "2", true), pod("b", 0, "1", true)],
                None,
                false,
            ),
            ("one is left to go", vec![pod("b", 0, "2", true)], None, false),
            ("one is left, but there is room", vec![pod("b", 0, "1", true)], None, true),
            ("there is room, but not for both", vec![pod("b", 0, "1", true)], Some("1"), false),
            ("nobody leaves for it", vec![pod("a", 0, "2", false)], None, true),
            ("who leaves matters as much", vec![pod("a", 10, "2", true)], None, true),
            ("nobody is there", vec![], None, true),
        ] {
            let (mut cache, node) = (Cache::default(), Arc::from("n"));
            let offer = json!({"metadata": {"name": "n"},
                "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
            cache.set_node(&node, Offer::read(&serde_json::from_value(offer).unwrap()));
            there.into_iter().for_each(|pod| cache.see(pod, &node));
            cache.nominate(wants.clone(), &node);
            if let Some(cpu) = kept {
                cache.nominate(pod("other", 10, cpu, false), &node);
            }
            assert_eq!(has_its_room(&framework, &cache, &wants, &node), has_it, "{what}");
        }
        assert!(has_its_room(&framework, &Cache::default(), &wants, "n"), "the node is gone");
    }
}
