//! Post-filter: makes room for a pod that found none.

use std::sync::Arc;

use tracing::{info, warn};

use super::Cycle;
use crate::bind::{self, BindError};
use crate::diagnosis::{Diagnosis, Preemption};
use crate::framework::{Aftermath, Attempt, Framework};
use crate::pod::PodInfo;
use crate::preemption::Victims;

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
        let mut last = None;
        for plugin in &framework.post_filters {
            let aftermath = plugin.post_filter(&attempt);
            let found = matches!(aftermath, Aftermath::Room(_));
            last = Some(aftermath);
            if found {
                break;
            }
        }
        match last {
            None => diagnosis.preemption = Some(Preemption::Off),
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
                self.cache.withdraw(&pod.uid);
            }
        }
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
            let scheduler = pod.scheduler_name.clone();
            let now = self.config.clock.now();
            let message = format!("Preempted by pod {} on node {node}", pod.uid.0);
            self.tracker.spawn(async move {
                match bind::evict(&client, &victim, &scheduler, now).await {
                    Ok(()) => recorder.done_by(&scheduler, &victim, "Preempted", message),
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
