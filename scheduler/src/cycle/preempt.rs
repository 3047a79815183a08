//! Post-filter: makes room for a pod that found none.

use std::sync::Arc;

use tracing::{info, warn};

use super::Cycle;
use crate::bind::{self, BindError};
use crate::diagnosis::{Diagnosis, Preemption};
use crate::pod::PodInfo;
use crate::preemption::{Victims, preempt};

impl Cycle {
    /// Nominates a node and takes its victims away, if there is a node where that helps; otherwise
    /// notes in the diagnosis why not.
    pub(super) fn preempt(&mut self, pod: &Arc<PodInfo>, diagnosis: &mut Diagnosis) {
        if pod.demands.never_preempts {
            return;
        }
        if self.is_waiting_for_room(pod, diagnosis) {
            diagnosis.preemption = Some(Preemption::Waiting);
            return;
        }
        if diagnosis.openable.is_empty() {
            self.cache.withdraw(&pod.uid);
            return;
        }
        let at = &diagnosis.openable;
        match preempt(&self.framework, &self.cache, pod, at, &self.budgets) {
            Ok(victims) => {
                diagnosis.preemption = Some(Preemption::Helps);
                self.make_room(pod, victims);
            }
            Err(reasons) => {
                diagnosis.preemption = Some(Preemption::Fails(reasons));
                self.cache.withdraw(&pod.uid);
            }
        }
    }

    /// Whether pods of lower priority are about to leave the node the pod is nominated to.
    fn is_waiting_for_room(&self, pod: &PodInfo, diagnosis: &Diagnosis) -> bool {
        let Some(at) = self.cache.nomination(&pod.uid).and_then(|n| self.cache.position(n)) else {
            return false;
        };
        let leaves =
            |other: &Arc<PodInfo>| other.deleting && other.demands.priority < pod.demands.priority;
        diagnosis.openable.contains(&at) && self.cache.nodes()[at].residents.iter().any(leaves)
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
        // Room kept there for pods that matter less is theirs no more.
        let lesser: Vec<_> = self
            .cache
            .nominated(&node)
            .filter(|other| other.demands.priority < pod.demands.priority)
            .map(|other| other.uid.clone())
            .collect();
        for uid in lesser {
            self.cache.withdraw(&uid);
        }
        self.cache.nominate(pod.clone(), &node);
        for victim in pods {
            if victim.deleting {
                continue;
            }
            // From now on it counts as leaving: the next attempt waits instead of taking more.
            let mut leaving = (*victim).clone();
            leaving.deleting = true;
            if self.cache.is_assumed(&victim.uid) {
                self.cache.assume(Arc::new(leaving), &node);
            } else {
                self.cache.see(Arc::new(leaving), &node);
            }
            let (client, recorder) = (self.client.clone(), self.recorder.clone());
            let scheduler = self.config.scheduler_name.clone();
            let message = format!("Preempted by pod {} on node {node}", pod.uid.0);
            self.tracker.spawn(async move {
                match bind::evict(&client, &victim, &scheduler).await {
                    Ok(()) => recorder.normal(&victim, "Preempted", message),
                    Err(BindError::Gone { .. }) => {}
                    Err(error) => {
                        let (namespace, name) = (&victim.namespace, &victim.name);
                        warn!(namespace, name, %error, "victim not taken away");
                    }
                }
            });
        }
    }
}
