//! HorizontalPodAutoscaler: as many pods as their metrics ask for.
//!
//! | part | decides or does |
//! |---|---|
//! | [`metrics`] | reads metrics from the APIs that serve them |
//! | [`replicas`] | pure: from samples and a target to a number of pods |
//! | [`behavior`] | pure: how far to go there now |
//! | [`selectors`] | pure: who else scales these pods |
//! | [`status`] | pure: conditions and current metrics |
//!
//! Every 15 seconds the largest number that any metric asks for is taken, limited, and written to the
//! `scale` subresource of the target. Recommendations of the last hour are kept in memory: a
//! controller that restarts begins with the number of pods there are.
//!
//! Source: <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>.

mod behavior;
mod evaluate;
mod metrics;
mod quantity;
mod replicas;
mod selectors;
mod status;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::selector::LabelSelector;
use client::Clock;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, PostParams};
use kube::core::DynamicObject;
use kube::{Client, ResourceExt};
use parking_lot::Mutex;

use self::behavior::History;
use self::evaluate::Evaluation;
use self::selectors::Selectors;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::scale_target::{self, Target};
use crate::written::Written;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "horizontal-pod-autoscaler";

/// How often metrics are looked at.
const PERIOD: Duration = Duration::from_secs(15);
/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Autoscaling {
    client: Client,
    clock: Clock,
    autoscalers: Cache<HorizontalPodAutoscaler>,
    pods: Cache<Pod>,
    history: Arc<Mutex<HashMap<Key, History>>>,
    /// Which pods each autoscaler scales, as it last saw.
    selectors: Arc<Mutex<Selectors>>,
    written: Arc<Written>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

/// The target, and the way to scale it.
struct Scaled {
    api: Api<DynamicObject>,
    scale: Scale,
}

impl Autoscaling {
    /// Hooks into the informers; the queue is to be served with [`Autoscaling::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        autoscalers: &mut Informer<HorizontalPodAutoscaler>,
        pods: &Informer<Pod>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            clock,
            autoscalers: autoscalers.cache(),
            pods: pods.cache(),
            history: Arc::default(),
            selectors: Arc::default(),
            written: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let watching = this.clone();
        autoscalers.on_change(move |before, now| {
            let Some(object) = now.or(before) else { return };
            let key = Key::of(&**object);
            if now.is_none() {
                watching.history.lock().remove(&key);
                watching.selectors.lock().remove(&key);
                watching.written.forget(&key);
            }
            // Its own writes of the status are no reason to look again.
            let generation = |object: Option<&Arc<HorizontalPodAutoscaler>>| {
                object.and_then(|object| object.metadata.generation)
            };
            if before.is_none() || now.is_none() || generation(before) != generation(now) {
                watching.queue.add(key);
            }
        });
        this
    }

    /// The queue of autoscalers to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Looks at the metrics of one autoscaler and scales its target.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(autoscaler) = self.autoscalers.get(&key) else { return Ok(Next::OnChange) };
        if !self.written.is_shown(&*autoscaler) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let mut status = autoscaler.status.clone().unwrap_or_default();
        let now = self.clock.now();
        match self.target(&autoscaler).await {
            Err(why) => {
                let message = format!(
                    "the HPA controller was unable to get the target's current scale: {why}"
                );
                status::set(&mut status, now, "AbleToScale", false, "FailedGetScale", &message);
                self.recorder.warning(Subject::of(&*autoscaler), "FailedGetScale", why);
            }
            Ok(target) => self.scale(&key, &autoscaler, &target, &mut status, now).await,
        }
        self.write_status(&autoscaler, status).await?;
        Ok(Next::After(PERIOD))
    }

    async fn target(&self, autoscaler: &HorizontalPodAutoscaler) -> Result<Scaled, String> {
        let reference = &autoscaler.spec.scale_target_ref;
        let version = reference.api_version.as_deref().unwrap_or_default();
        let found = scale_target::find(&self.client, version, &reference.kind).await;
        let resource = match found.map_err(|error| error.message())? {
            Target::Scales(resource) => resource,
            Target::Fixed(name) => {
                return Err(format!("{name} {} cannot be scaled", reference.name));
            }
            Target::Unknown => {
                return Err(format!(
                    "unable to determine resource for scale target reference: no matches for kind \
                     {:?} in group {:?}",
                    reference.kind,
                    version.split_once('/').map_or("", |(group, _)| group)
                ));
            }
        };
        let namespace = autoscaler.namespace().unwrap_or_default();
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &namespace, &resource);
        let scale = request("get scale of", &reference.name, api.get_scale(&reference.name)).await;
        scale.map(|scale| Scaled { api, scale }).map_err(|error| error.message())
    }

    async fn scale(
        &self,
        key: &Key,
        autoscaler: &HorizontalPodAutoscaler,
        target: &Scaled,
        status: &mut HorizontalPodAutoscalerStatus,
        now: Timestamp,
    ) {
        let message = "the HPA controller was able to get the target's current scale";
        status::set(status, now, "AbleToScale", true, "SucceededGetScale", message);
        let current = target.scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
        self.history.lock().entry(key.clone()).or_default().begin(current, now);
        status.current_replicas = Some(current);
        let spec = &autoscaler.spec;
        let (min, max) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
        let (desired, reason) = if current == 0 && min != 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            status::set(status, now, "ScalingActive", false, "ScalingDisabled", message);
            (0, String::new())
        } else if current > max {
            (max, "Current number of replicas above Spec.MaxReplicas".to_owned())
        } else if current < min {
            (min, "Current number of replicas below Spec.MinReplicas".to_owned())
        } else {
            match self.recommend(key, autoscaler, target, status, now).await {
                Some(recommended) => recommended,
                None => return,
            }
        };
        status.desired_replicas = current;
        if desired == current {
            return;
        }
        let name = &spec.scale_target_ref.name;
        let mut scale = target.scale.clone();
        scale.spec.get_or_insert_default().replicas = Some(desired);
        let params = PostParams::default();
        let replaced = target.api.replace_scale(name, &params, &scale);
        let subject = Subject::of(autoscaler);
        if let Err(error) = request("scale", name, replaced).await {
            let why = error.message();
            let message =
                format!("the HPA controller was unable to update the target scale: {why}");
            status::set(status, now, "AbleToScale", false, "FailedUpdateScale", &message);
            let message = format!("New size: {desired}; reason: {reason}; error: {why}");
            self.recorder.warning(subject, "FailedRescale", message);
            return;
        }
        let message =
            format!("the HPA controller was able to update the target scale to {desired}");
        status::set(status, now, "AbleToScale", true, "SucceededRescale", &message);
        let message = format!("New size: {desired}; reason: {reason}");
        self.recorder.normal(subject, "SuccessfulRescale", message);
        self.history.lock().entry(key.clone()).or_default().scaled(desired - current, now);
        status.desired_replicas = desired;
        status.last_scale_time = Some(Time(now));
    }

    /// What the metrics ask for, limited, and why. None: they cannot be read, which is said.
    async fn recommend(
        &self,
        key: &Key,
        autoscaler: &HorizontalPodAutoscaler,
        target: &Scaled,
        status: &mut HorizontalPodAutoscalerStatus,
        now: Timestamp,
    ) -> Option<(i32, String)> {
        let current = status.current_replicas.unwrap_or(0);
        let scale = target.scale.status.as_ref();
        let text = scale.and_then(|status| status.selector.as_deref()).unwrap_or_default();
        let selector = match LabelSelector::parse(text) {
            Ok(found) if !text.is_empty() => found,
            Ok(_) => {
                let message = "the HPA target's scale is missing a selector";
                status::set(status, now, "ScalingActive", false, "InvalidSelector", message);
                self.tell_unusable(autoscaler, "SelectorRequired", "selector is required");
                return None;
            }
            Err(error) => {
                let why = format!(
                    "couldn't convert selector into a corresponding internal selector object: {error}"
                );
                status::set(status, now, "ScalingActive", false, "InvalidSelector", &why);
                self.tell_unusable(autoscaler, "InvalidSelector", &why);
                return None;
            }
        };
        let mut pods = self.pods.in_namespace(&key.namespace);
        pods.retain(|pod| selector.matches(pod.labels()));
        let others = {
            let mut selectors = self.selectors.lock();
            selectors.insert(key.clone(), selector.clone());
            selectors::scaling(&selectors, &key.namespace, &pods)
        };
        if others.len() > 1 {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            let why = format!(
                "pods by selector {text} are controlled by multiple HPAs: [{}]",
                others.join(" ")
            );
            status::set(status, now, "ScalingActive", false, "AmbiguousSelector", &why);
            self.tell_unusable(autoscaler, "AmbiguousSelector", &why);
            return None;
        }
        let metrics = metrics::Metrics { client: &self.client, namespace: &key.namespace };
        let evaluation = Evaluation {
            spec: &autoscaler.spec,
            pods: &pods,
            selector: &selector,
            current,
            ready: scale.map_or(0, |status| status.replicas),
            now,
        };
        let outcome = evaluation.run(&metrics).await;
        for (reason, why) in &outcome.failures {
            self.recorder.warning(Subject::of(autoscaler), reason, why.clone());
        }
        let shown: Vec<MetricStatus> = outcome.statuses;
        status.current_metrics = Some(shown).filter(|shown| !shown.is_empty());
        let (recommended, metric) = match outcome.recommended {
            Ok(found) => found,
            Err((reason, message, all)) => {
                status::set(status, now, "ScalingActive", false, reason, &message);
                self.recorder.warning(Subject::of(autoscaler), "FailedComputeMetricsReplicas", all);
                return None;
            }
        };
        let message =
            format!("the HPA was able to successfully calculate a replica count from {metric}");
        status::set(status, now, "ScalingActive", true, "ValidMetricFound", &message);
        let limited = {
            let mut history = self.history.lock();
            let history = history.entry(key.clone()).or_default();
            behavior::limit(&autoscaler.spec, history, current, recommended, now)
        };
        status::set(status, now, "AbleToScale", true, limited.able.0, limited.able.1);
        let (met, reason, message) = limited.limited;
        status::set(status, now, "ScalingLimited", met, reason, message);
        let reason = if recommended > current {
            format!("{metric} above target")
        } else {
            "All metrics below target".to_owned()
        };
        Some((limited.replicas, reason))
    }

    /// Tells why the pods to scale cannot be known, and that nothing is computed therefore.
    fn tell_unusable(&self, autoscaler: &HorizontalPodAutoscaler, reason: &'static str, why: &str) {
        for reason in [reason, "FailedComputeMetricsReplicas"] {
            self.recorder.warning(Subject::of(autoscaler), reason, why.to_owned());
        }
    }

    async fn write_status(
        &self,
        autoscaler: &HorizontalPodAutoscaler,
        status: HorizontalPodAutoscalerStatus,
    ) -> Result<(), ReconcileError> {
        if autoscaler.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let api: Api<HorizontalPodAutoscaler> =
            Api::namespaced(self.client.clone(), &autoscaler.namespace().unwrap_or_default());
        let mut updated = autoscaler.clone();
        updated.status = Some(status);
        let (name, params) = (autoscaler.name_any(), PostParams::default());
        let replaced = api.replace_status(&name, &params, &updated);
        let written = request("update status of", Key::of(autoscaler), replaced).await;
        if let Some(written) = unless_gone(written)? {
            self.written.wrote(&written);
        }
        Ok(())
    }
}
