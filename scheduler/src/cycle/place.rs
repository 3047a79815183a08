//! One pod: decided, reserved, permitted, bound; or refused, or failed on the way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Cycle;
use crate::bind::{self, BindError};
use crate::decide::decide;
use crate::diagnosis::{Diagnosis, Preemption};
use crate::framework::{Framework, Permission, Rejection, Verdict, Work};
use crate::pod::{PodInfo, PodUid};
use crate::preemption;

/// Why a pod waits, as its condition gives it.
const UNSCHEDULABLE: &str = "Unschedulable";
/// The same for what went wrong after the decision.
const SCHEDULER_ERROR: &str = "SchedulerError";

/// How a binding ended.
pub(super) struct Bound {
    pod: Arc<PodInfo>,
    node: Arc<str>,
    /// The pod's status shows the node.
    nominated: bool,
    outcome: Result<(), BindError>,
}

/// Work of a plugin.
type Named = (&'static str, Work);

impl Cycle {
    pub(super) fn schedule_one(&mut self, permit: OwnedSemaphorePermit) {
        let Some(pod) = self.queue.pop() else { return };
        let Some(framework) = self.framework(&pod) else {
            return self.queue.remove(&pod.uid);
        };
        match decide(&framework, &self.cache, &pod, &mut self.rotation) {
            Ok(node) => {
                debug!(namespace = pod.namespace, name = pod.name, %node, "node chosen");
                let kept = self.cache.nomination(&pod.uid).filter(|kept| **kept != node).cloned();
                self.cache.assume(pod.clone(), &node);
                if let Some(kept) = kept {
                    self.room_on(&kept);
                }
                self.wake_beside(&pod.beside());
                match self.reserve(&framework, &pod, &node) {
                    Ok(waits) => self.bind(&framework, pod, node, waits, permit),
                    Err(rejection) => {
                        self.give_up(&framework, &pod, &node, &rejection.reasons.join(", "));
                    }
                }
            }
            Err(mut diagnosis) => {
                self.preempt(&framework, &pod, &mut diagnosis);
                self.refuse(&pod, &diagnosis, permit);
            }
        }
    }

    /// Takes what the pod needs besides the node, and asks for permission. Gives the plugins that want
    /// it to wait, and how long.
    fn reserve(
        &mut self,
        framework: &Framework,
        pod: &Arc<PodInfo>,
        node: &Arc<str>,
    ) -> Result<Vec<(&'static str, Duration)>, Rejection> {
        for plugin in &framework.reserves {
            plugin.reserve(pod, node, &mut self.cache)?;
        }
        let mut waits = Vec::new();
        for plugin in &framework.permits {
            match plugin.permit(pod, node) {
                Permission::Allow => {}
                Permission::Deny(reason) => return Err(Rejection::unresolvable(reason)),
                Permission::Wait(within) => waits.push((plugin.name(), within)),
            }
        }
        Ok(waits)
    }

    /// Starts everything that takes time.
    fn bind(
        &mut self,
        framework: &Arc<Framework>,
        pod: Arc<PodInfo>,
        node: Arc<str>,
        waits: Vec<(&'static str, Duration)>,
        permit: OwnedSemaphorePermit,
    ) {
        let client = self.client.clone();
        let mut prepare: Vec<Named> = Vec::new();
        if let Some(info) = self.cache.node(&node) {
            for plugin in &framework.pre_binds {
                let work = plugin.pre_bind(&pod, info, &self.cache, &client);
                prepare.extend(work.map(|work| (plugin.name(), work)));
            }
        }
        let hold = (!waits.is_empty()).then(|| self.config.waiting.hold(&pod, &node, waits));
        // A volume may take minutes: that must not hold up the pods that need none.
        let patient = hold.is_some() || !prepare.is_empty();
        let permit = (!patient).then_some(permit);
        let (stop, gone) = (self.shutdown.clone(), CancellationToken::new());
        if patient {
            self.patient.insert(pod.uid.clone(), gone.clone());
        }
        let framework = framework.clone();
        let (recorder, bound) = (self.recorder.clone(), self.bound.clone());
        self.tracker.spawn(async move {
            let made_ready = async {
                // It may take a while: whoever plans with the node can see it.
                if patient && let Err(error) = bind::nominate(&client, &pod, Some(&node)).await {
                    debug!(%error, "nomination not written");
                }
                if let Some(hold) = hold {
                    match hold.verdict().await {
                        Some(Verdict::Allowed) => {}
                        Some(Verdict::Denied { reason, .. }) => {
                            return Err(BindError::Denied { reason });
                        }
                        None => return Err(BindError::gone(&pod)),
                    }
                }
                for (name, work) in prepare {
                    work.await.map_err(|error| error.at("PreBind", name))?;
                }
                Ok(())
            };
            let ready = tokio::select! {
                ready = made_ready => ready,
                // The next scheduler waits for it.
                () = stop.cancelled(), if patient => return,
                () = gone.cancelled() => Err(BindError::gone(&pod)),
            };
            let outcome = match ready {
                Ok(()) => {
                    let mut binders = framework.binds.iter();
                    let binder =
                        binders.find_map(|b| Some((b.name(), b.bind(&pod, &node, &client)?)));
                    match binder {
                        Some((name, work)) => work.await.map_err(|error| error.at("Bind", name)),
                        None => Err(BindError::Failed {
                            reason: "every Bind plugin left the pod to the next one".to_owned(),
                        }),
                    }
                }
                Err(error) => Err(error),
            };
            drop(permit);
            if outcome.is_ok() {
                let message =
                    format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                recorder.normal(&pod, "Scheduled", message);
            }
            // Nobody listens any more only when the scheduler stops.
            bound.send(Bound { pod, node, nominated: patient, outcome }).await.ok();
        });
    }

    /// The pod is gone, or about to go: what is waited for before it is bound is of no use any more.
    pub(super) fn stop_waiting(&mut self, uid: &PodUid) {
        if let Some(gone) = self.patient.remove(uid) {
            gone.cancel();
        }
    }

    pub(super) fn end(&mut self, ended: Bound) {
        let Bound { pod, node, nominated, outcome } = ended;
        self.patient.remove(&pod.uid);
        let Some(framework) = self.framework(&pod) else { return };
        let gone = matches!(outcome, Err(BindError::Gone { .. }));
        if outcome.is_err() && !gone && (nominated || pod.nominated.is_some()) {
            self.take_back(&pod);
        }
        match outcome {
            // The watch will show it; until then it stays assumed, and out of the queue.
            Ok(()) => {
                self.queue.remove(&pod.uid);
                self.cache.volumes_mut().settle(&pod.uid);
                framework.post_binds.iter().for_each(|plugin| plugin.post_bind(&pod, &node));
            }
            Err(BindError::Gone { .. }) => {
                self.unreserve(&framework, &pod);
                self.queue.remove(&pod.uid);
                self.cache.forget(&pod.uid);
                self.room_on(&node);
            }
            Err(BindError::Denied { reason }) => self.give_up(&framework, &pod, &node, &reason),
            Err(BindError::Failed { reason }) => {
                self.unreserve(&framework, &pod);
                self.cache.forget(&pod.uid);
                self.queue.failed(&pod.uid, Instant::now());
                // What it held is free for others again.
                self.room_on(&node);
                self.recorder.warning(&pod, "FailedScheduling", reason.clone());
                self.say(&pod, SCHEDULER_ERROR, reason, None, None);
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                warn!(
                    namespace = pod.namespace,
                    name = pod.name,
                    %error,
                    cause,
                    "binding failed, retrying"
                );
                self.unreserve(&framework, &pod);
                self.cache.forget(&pod.uid);
                self.queue.failed(&pod.uid, Instant::now());
                self.room_on(&node);
                // Whether it is bound all the same is not known: no condition says otherwise.
            }
        }
    }

    /// What was decided does not happen: the pod waits for a change. It was refused by no filter, so
    /// every change counts, but not that what it held is free again.
    fn give_up(
        &mut self,
        framework: &Framework,
        pod: &Arc<PodInfo>,
        node: &Arc<str>,
        reason: &str,
    ) {
        self.unreserve(framework, pod);
        self.cache.forget(&pod.uid);
        self.room_on(node);
        let mut diagnosis =
            Diagnosis { nodes: 1, preemption: Some(Preemption::Off), ..Diagnosis::default() };
        diagnosis.reasons.insert(reason.to_owned(), 1);
        self.queue.refused(&pod.uid, diagnosis.refused_by, None, Instant::now());
        let message = diagnosis.message();
        self.recorder.warning(pod, "FailedScheduling", message.clone());
        self.say(pod, UNSCHEDULABLE, message, None, None);
    }

    fn unreserve(&mut self, framework: &Framework, pod: &PodInfo) {
        for plugin in framework.reserves.iter().rev() {
            plugin.unreserve(pod, &mut self.cache);
        }
    }

    fn refuse(&mut self, pod: &Arc<PodInfo>, diagnosis: &Diagnosis, permit: OwnedSemaphorePermit) {
        let message = diagnosis.message();
        debug!(namespace = pod.namespace, name = pod.name, message, "no node for pod");
        let nominated = self.cache.nomination(&pod.uid).cloned();
        let expects = |node: &&Arc<str>| {
            self.cache.node(node).is_some_and(|node| preemption::is_awaiting(pod, node))
        };
        let room = nominated.as_ref().filter(expects).cloned();
        self.queue.refused(&pod.uid, diagnosis.refused_by, room, Instant::now());
        self.recorder.warning(pod, "FailedScheduling", message.clone());
        self.say(pod, UNSCHEDULABLE, message, nominated, Some(permit));
    }

    /// Writes why a pod waits, unless it says so already.
    fn say(
        &self,
        pod: &Arc<PodInfo>,
        reason: &'static str,
        message: String,
        nominated: Option<Arc<str>>,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let said = (reason.to_owned(), message);
        if pod.refused.as_ref() == Some(&said) && pod.nominated == nominated {
            return;
        }
        let (client, pod) = (self.client.clone(), pod.clone());
        let now = self.config.clock.now();
        self.tracker.spawn(async move {
            let _permit = permit;
            let (nominated, (reason, message)) = (nominated.as_deref(), said);
            if let Err(error) = bind::refuse(&client, &pod, &reason, &message, nominated, now).await
            {
                // The event has said it; the next attempt writes the condition again.
                debug!(%error, "condition not written");
            }
        });
    }

    /// Takes the node in the pod's status back.
    pub(super) fn take_back(&self, pod: &Arc<PodInfo>) {
        let (client, pod) = (self.client.clone(), pod.clone());
        self.tracker.spawn(async move {
            if let Err(error) = bind::nominate(&client, &pod, None).await {
                debug!(%error, "nomination not taken back");
            }
        });
    }
}
