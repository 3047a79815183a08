//! Asks every metric of an autoscaler, and takes the largest number of pods.

use std::sync::Arc;

use api::selector::LabelSelector;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricStatus, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricStatus, MetricTarget, ObjectMetricStatus, PodsMetricStatus, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;

use super::behavior::tolerance;
use super::metrics::Metrics;
use super::quantity::milli;
use super::replicas::{self, Measured, Outcome, Samples, Target, Tolerance};
use super::status::{average, total};

/// What metrics are judged by.
pub(super) struct Evaluation<'a> {
    pub(super) spec: &'a HorizontalPodAutoscalerSpec,
    /// The pods of the target.
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) selector: &'a LabelSelector,
    /// The pods that there are to be now.
    pub(super) current: i32,
    /// The pods that there are.
    pub(super) ready: i32,
    pub(super) now: Timestamp,
}

/// What came of it.
pub(super) struct Evaluated {
    /// The number of pods and the metric that asks for it; or reason and message of the condition
    /// `ScalingActive`, and of an event about all metrics.
    pub(super) recommended: Result<(i32, String), (&'static str, String, String)>,
    /// What was measured.
    pub(super) statuses: Vec<MetricStatus>,
    /// Reasons and messages of events, one for each metric that could not be read.
    pub(super) failures: Vec<(&'static str, String)>,
}

/// What one metric says: the pods it asks for, its name and how it is shown.
struct Said {
    replicas: i32,
    name: String,
    status: MetricStatus,
}

/// A metric without an answer.
struct Silent {
    reason: &'static str,
    why: String,
    /// What it is, as in `cpu resource`.
    what: String,
}

impl Evaluation<'_> {
    /// Asks all metrics.
    pub(super) async fn run(&self, metrics: &Metrics<'_>) -> Evaluated {
        let specs = self.spec.metrics.as_deref().unwrap_or_default();
        let (mut best, mut statuses): (Option<(i32, String)>, _) = (None, Vec::new());
        let (mut failures, mut first) = (Vec::new(), None);
        for spec in specs {
            match self.ask(metrics, spec).await {
                Ok(said) => {
                    statuses.push(said.status);
                    if best.as_ref().is_none_or(|(most, _)| said.replicas > *most) {
                        best = Some((said.replicas, said.name));
                    }
                }
                Err(silent) => {
                    failures.push((silent.reason, silent.why.clone()));
                    first = first.or(Some(silent));
                }
            }
        }
        // A metric that is not heard might ask for more: no scaling down without it.
        let enough = match (&first, &best) {
            (None, _) => true,
            (Some(_), Some((replicas, _))) => *replicas >= self.current,
            (Some(_), None) => false,
        };
        let recommended = match (best, first) {
            (Some(best), _) if enough => Ok(best),
            (_, Some(silent)) => {
                let message =
                    format!("the HPA was unable to compute the replica count: {}", silent.why);
                let all = format!(
                    "invalid metrics ({} invalid out of {}), first error is: failed to get {} \
                     metric value: {}",
                    failures.len(),
                    specs.len(),
                    silent.what,
                    silent.why
                );
                Err((silent.reason, message, all))
            }
            (best, None) => Ok(best.unwrap_or((self.current, String::new()))),
        };
        Evaluated { recommended, statuses, failures }
    }

    async fn ask(&self, metrics: &Metrics<'_>, spec: &MetricSpec) -> Result<Said, Silent> {
        let silent = |reason, what: String| move |why: String| Silent { reason, why, what };
        let unknown = || Silent {
            reason: "InvalidMetricSourceType",
            why: format!("unknown metric source type {:?}", spec.type_),
            what: "unknown".to_owned(),
        };
        let mut status = MetricStatus { type_: spec.type_.clone(), ..MetricStatus::default() };
        let (replicas, name) = match spec.type_.as_str() {
            "Resource" => {
                let source = spec.resource.as_ref().ok_or_else(unknown)?;
                let name = &source.name;
                let fail = silent("FailedGetResourceMetric", format!("{name} resource"));
                let measured = Measured { resource: Some(name), container: None };
                let samples = metrics.resource(name, self.selector, None).await;
                let found = self.judge(samples, measured, &source.target);
                let outcome = found.map_err(|why| fail(unread(name, &source.target, &why)))?;
                status.resource = Some(ResourceMetricStatus {
                    name: name.clone(),
                    current: average(outcome.value, outcome.utilization),
                });
                (outcome.replicas, described(&format!("{name} resource"), outcome))
            }
            "ContainerResource" => {
                let source = spec.container_resource.as_ref().ok_or_else(unknown)?;
                let (name, container) = (&source.name, &source.container);
                let fail = silent(
                    "FailedGetContainerResourceMetric",
                    format!("{name} container resource"),
                );
                let measured = Measured { resource: Some(name), container: Some(container) };
                let samples = metrics.resource(name, self.selector, Some(container)).await;
                let found = self.judge(samples, measured, &source.target);
                let outcome = found.map_err(|why| fail(unread(name, &source.target, &why)))?;
                status.container_resource = Some(ContainerResourceMetricStatus {
                    name: name.clone(),
                    container: container.clone(),
                    current: average(outcome.value, outcome.utilization),
                });
                (outcome.replicas, described(&format!("{name} container resource"), outcome))
            }
            "Pods" => {
                let source = spec.pods.as_ref().ok_or_else(unknown)?;
                let name = &source.metric.name;
                let fail = silent("FailedGetPodsMetric", "pods".to_owned());
                let samples = metrics.pods(&source.metric, self.selector).await;
                let measured = Measured { resource: None, container: None };
                let outcome = self.judge(samples, measured, &source.target).map_err(fail)?;
                status.pods = Some(PodsMetricStatus {
                    metric: source.metric.clone(),
                    current: average(outcome.value, None),
                });
                (outcome.replicas, format!("pods metric {name}"))
            }
            "Object" => {
                let source = spec.object.as_ref().ok_or_else(unknown)?;
                let name = &source.metric.name;
                let fail = silent("FailedGetObjectMetric", "object".to_owned());
                let usage = metrics.object(&source.metric, &source.described_object).await;
                let (replicas, current) = self.share(usage.map_err(fail)?, &source.target);
                status.object = Some(ObjectMetricStatus {
                    metric: source.metric.clone(),
                    described_object: source.described_object.clone(),
                    current,
                });
                (replicas, format!("{} metric {name}", source.described_object.kind))
            }
            "External" => {
                let source = spec.external.as_ref().ok_or_else(unknown)?;
                let name = &source.metric.name;
                let fail = silent("FailedGetExternalMetric", format!("{name} external"));
                let usage = metrics.external(&source.metric).await;
                let (replicas, current) = self.share(usage.map_err(fail)?, &source.target);
                let metric = source.metric.clone();
                status.external = Some(ExternalMetricStatus { metric, current });
                (replicas, format!("external metric {name}"))
            }
            _ => return Err(unknown()),
        };
        Ok(Said { replicas, name, status })
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance { up: tolerance(self.spec, true), down: tolerance(self.spec, false) }
    }

    fn judge(
        &self,
        samples: Result<Samples, String>,
        measured: Measured<'_>,
        target: &MetricTarget,
    ) -> Result<Outcome, String> {
        let target = match (target.average_utilization, &target.average_value) {
            (_, Some(value)) => Target::Value(milli(value).unwrap_or(0)),
            (Some(percent), None) => Target::Utilization(percent),
            (None, None) => {
                return Err("neither a utilization target nor a value target was set".to_owned());
            }
        };
        let (current, tolerance) = (self.current, self.tolerance());
        replicas::replicas(self.pods, samples?, measured, target, current, tolerance, self.now)
    }

    /// The pods for a total, and how it is shown.
    fn share(
        &self,
        usage: i64,
        target: &MetricTarget,
    ) -> (i32, k8s_openapi::api::autoscaling::v2::MetricValueStatus) {
        let tolerance = self.tolerance();
        if let Some(average_value) = target.average_value.as_ref().and_then(milli) {
            let replicas = replicas::of_average(usage, average_value, self.ready, tolerance);
            return (replicas, average(usage / i64::from(self.ready.max(1)), None));
        }
        let value = target.value.as_ref().and_then(milli).unwrap_or(0);
        let ready = replicas::ready(self.pods);
        (replicas::of_total(usage, value, self.current, ready, tolerance), total(usage))
    }
}

/// Why a resource could not be judged.
fn unread(name: &str, target: &MetricTarget, why: &str) -> String {
    if target.average_value.is_some() {
        format!("failed to get {name} usage: {why}")
    } else {
        format!("failed to get {name} utilization: {why}")
    }
}

/// The metric's name in reasons for scaling.
fn described(what: &str, outcome: Outcome) -> String {
    if outcome.utilization.is_some() {
        format!("{what} utilization (percentage of request)")
    } else {
        what.to_owned()
    }
}
