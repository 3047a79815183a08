//! How many pods a metric asks for. Pure: pods, samples and a target in, a number out.
//!
//! The number is the current one times usage by target. Pods that have no say are handled so that
//! they dampen the change: a pod without a sample counts as idle when scaling up and as on target
//! when scaling down; one that is not ready yet counts as idle when scaling up.
//!
//! Source:
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::pod as pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// CPU used while a pod starts says little: this long it needs samples from when it was ready.
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_secs(300);
/// A pod that was never ready within this time of its start has not been ready yet.
const READINESS_DELAY: SignedDuration = SignedDuration::from_secs(30);

/// What was measured of one pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Thousandths of the unit.
    pub(super) value: i64,
    /// The end of the measurement.
    pub(super) at: Timestamp,
    /// Its length.
    pub(super) window: SignedDuration,
}

/// Samples by pod name.
pub(super) type Samples = BTreeMap<String, Sample>;

/// What is aimed at for each pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Percent of what the pods request.
    Utilization(i32),
    /// Thousandths of the unit.
    Value(i64),
}

/// What a metric comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The pods it asks for.
    pub(super) replicas: i32,
    /// Percent of what is requested; none for a target that is a value.
    pub(super) utilization: Option<i32>,
    /// On average for each pod, thousandths.
    pub(super) value: i64,
}

/// Shares of change that are not worth it, up and down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    pub(super) up: f64,
    pub(super) down: f64,
}

impl Tolerance {
    fn covers(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// What is measured: `cpu` is judged by when the pod was ready; `container` limits requests to one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured<'a> {
    /// The resource; none for a metric of the pods' own.
    pub(super) resource: Option<&'a str>,
    pub(super) container: Option<&'a str>,
}

/// Computes the number of pods.
///
/// # Errors
/// Why it cannot be computed, in Kubernetes' words.
pub(super) fn replicas(
    pods: &[Arc<Pod>],
    mut samples: Samples,
    measured: Measured<'_>,
    target: Target,
    current: i32,
    tolerance: Tolerance,
    now: Timestamp,
) -> Result<Outcome, String> {
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = Groups::of(pods, &samples, measured.resource, now);
    samples.retain(|pod, _| !groups.ignored.contains(pod) && !groups.unready.contains(pod));
    if samples.is_empty() {
        let why = "did not receive metrics for targeted pods (pods might be unready)";
        return Err(why.to_owned());
    }
    let requests = match target {
        Target::Utilization(_) => requests(pods, measured)?,
        Target::Value(_) => BTreeMap::new(),
    };
    let mut values: BTreeMap<String, i64> =
        samples.into_iter().map(|(pod, sample)| (pod, sample.value)).collect();
    let (ratio, utilization, value) = ratio(&values, &requests, target)?;
    let outcome = |replicas| Ok(Outcome { replicas, utilization, value });
    let with_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !with_unready && groups.missing.is_empty() {
        if tolerance.covers(ratio) {
            return outcome(current);
        }
        return outcome(ceil(ratio, groups.ready));
    }
    for pod in &groups.missing {
        let assumed = match target {
            _ if ratio > 1.0 => 0,
            Target::Utilization(percent) => {
                let request = requests.get(pod).copied().unwrap_or(0);
                request.saturating_mul(i64::from(percent.max(100))) / 100
            }
            Target::Value(value) => value,
        };
        if (ratio - 1.0).abs() > f64::EPSILON {
            values.insert(pod.clone(), assumed);
        }
    }
    if with_unready {
        values.extend(groups.unready.iter().map(|pod| (pod.clone(), 0)));
    }
    let (dampened, ..) = self::ratio(&values, &requests, target)?;
    let turned = (ratio < 1.0 && dampened > 1.0) || (ratio > 1.0 && dampened < 1.0);
    if tolerance.covers(dampened) || turned {
        return outcome(current);
    }
    let replicas = ceil(dampened, values.len());
    let against = (dampened < 1.0 && replicas > current) || (dampened > 1.0 && replicas < current);
    outcome(if against { current } else { replicas })
}

/// The number for a total instead of a value per pod; `ready` pods share it.
pub(super) fn of_total(
    usage: i64,
    target: i64,
    current: i32,
    ready: usize,
    tolerance: Tolerance,
) -> i32 {
    let ratio = divide(usage, target);
    if current == 0 {
        ceil(ratio, 1)
    } else if tolerance.covers(ratio) {
        current
    } else {
        ceil(ratio, ready)
    }
}

/// The number for a total of which each pod is to have so much.
pub(super) fn of_average(usage: i64, target: i64, current: i32, tolerance: Tolerance) -> i32 {
    let share = target.saturating_mul(i64::from(current));
    if tolerance.covers(divide(usage, share)) { current } else { ceil(divide(usage, target), 1) }
}

#[allow(clippy::cast_precision_loss, reason = "a ratio of two amounts needs no more digits")]
fn divide(amount: i64, by: i64) -> f64 {
    amount as f64 / by as f64
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "numbers of pods are small, and a cast of what is too large saturates"
)]
fn ceil(ratio: f64, count: usize) -> i32 {
    (ratio * count as f64).ceil() as i32
}

/// How many pods run and are ready.
pub(super) fn ready(pods: &[Arc<Pod>]) -> usize {
    pods.iter().filter(|pod| pods::phase(pod) == "Running" && pods::is_ready(pod)).count()
}

/// Usage by target, percent of requests if that is the target, and the average value.
fn ratio(
    values: &BTreeMap<String, i64>,
    requests: &BTreeMap<String, i64>,
    target: Target,
) -> Result<(f64, Option<i32>, i64), String> {
    let count = i64::try_from(values.len()).unwrap_or(i64::MAX).max(1);
    match target {
        Target::Value(target) => {
            let average = values.values().sum::<i64>() / count;
            Ok((divide(average, target), None, average))
        }
        Target::Utilization(target) => {
            let known = values.iter().filter_map(|(pod, value)| Some((value, requests.get(pod)?)));
            let (used, requested) = known
                .fold((0, 0), |(used, asked), (value, request)| (used + value, asked + request));
            if requested == 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            let percent = used.saturating_mul(100) / requested;
            let shown = i32::try_from(percent).unwrap_or(i32::MAX);
            Ok((divide(percent, i64::from(target)), Some(shown), used / count))
        }
    }
}

/// What each pod requests, thousandths.
fn requests(pods: &[Arc<Pod>], measured: Measured<'_>) -> Result<BTreeMap<String, i64>, String> {
    let resource = measured.resource.unwrap_or_default();
    let mut requests = BTreeMap::new();
    for pod in pods {
        let spec = pod.spec.as_ref();
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let sidecars = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        let sidecars = sidecars.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let mut sum = 0_i64;
        for container in containers.iter().chain(sidecars) {
            if measured.container.is_some_and(|only| only != container.name) {
                continue;
            }
            let asked =
                container.resources.as_ref().and_then(|r| r.requests.as_ref()?.get(resource));
            let Some(asked) = asked.and_then(super::quantity::milli) else {
                return Err(format!(
                    "missing request for {resource} in container {} of Pod {}",
                    container.name,
                    pod.name_any()
                ));
            };
            sum = sum.saturating_add(asked);
        }
        requests.insert(pod.name_any(), sum);
    }
    Ok(requests)
}

/// Who has a say.
#[derive(Debug, Default)]
struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

impl Groups {
    fn of(pods: &[Arc<Pod>], samples: &Samples, resource: Option<&str>, now: Timestamp) -> Self {
        let mut groups = Self::default();
        for pod in pods {
            let name = pod.name_any();
            if pods::is_terminating(pod) || pods::phase(pod) == "Failed" {
                groups.ignored.insert(name);
            } else if pods::phase(pod) == "Pending" {
                groups.unready.insert(name);
            } else if let Some(sample) = samples.get(&name) {
                if resource == Some("cpu") && is_starting(pod, sample, now) {
                    groups.unready.insert(name);
                } else {
                    groups.ready += 1;
                }
            } else {
                groups.missing.insert(name);
            }
        }
        groups
    }
}

/// Whether the CPU sample tells of the pod's beginning rather than of its work.
fn is_starting(pod: &Pod, sample: &Sample, now: Timestamp) -> bool {
    let started = pod.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
    let condition = pods::condition(pod, "Ready");
    let since = condition.and_then(|c| c.last_transition_time.as_ref()).map(|t| t.0);
    let (Some(started), Some(condition), Some(since)) = (started, condition, since) else {
        return true;
    };
    let ready = condition.status == "True";
    if now.duration_since(started) < CPU_INITIALIZATION {
        // The measurement has to lie after the pod was ready.
        !ready || sample.at.duration_since(since) < sample.window
    } else {
        // A pod that was never ready since its start does not count; one that was, does.
        !ready && since.duration_since(started) < READINESS_DELAY
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOLERANCE: Tolerance = Tolerance { up: 0.1, down: 0.1 };

    fn now() -> Timestamp {
        "2026-01-01T01:00:00Z".parse().unwrap()
    }

    /// `r`eady, `s`tarting, `p`ending, `f`ailed, `g`oing.
    fn pods(kinds: &str) -> Vec<Arc<Pod>> {
        let pod = |(n, kind): (usize, char)| {
            let (phase, ready, start) = match kind {
                'p' => ("Pending", "False", "2026-01-01T00:59:00Z"),
                'f' => ("Failed", "False", "2026-01-01T00:00:00Z"),
                's' => ("Running", "False", "2026-01-01T00:59:00Z"),
                _ => ("Running", "True", "2026-01-01T00:00:00Z"),
            };
            let mut value = json!({"metadata": {"name": n.to_string()},
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
                "status": {"phase": phase, "startTime": start, "conditions": [
                    {"type": "Ready", "status": ready, "lastTransitionTime": start}]}});
            if kind == 'g' {
                value["metadata"]["deletionTimestamp"] = json!(start);
            }
            Arc::new(serde_json::from_value(value).unwrap())
        };
        kinds.chars().enumerate().map(pod).collect()
    }

    fn samples(values: &[i64]) -> Samples {
        let sample = |value: &i64| Sample {
            value: *value,
            at: now(),
            window: SignedDuration::from_secs(30),
        };
        values
            .iter()
            .enumerate()
            .filter(|(_, value)| **value >= 0)
            .map(|(n, value)| (n.to_string(), sample(value)))
            .collect()
    }

    #[test]
    fn usage_by_target_and_those_without_a_say() {
        let cpu = Measured { resource: Some("cpu"), container: None };
        let own = Measured { resource: None, container: None };
        for (case, kinds, values, measured, target, wanted) in [
            ("on target", "rrr", vec![500, 500, 500], cpu, Target::Utilization(50), 3),
            ("nearly", "rrr", vec![540, 540, 540], cpu, Target::Utilization(50), 3),
            ("twice", "rrr", vec![1000, 1000, 1000], cpu, Target::Utilization(50), 6),
            ("a third", "rrr", vec![100, 100, 100], cpu, Target::Utilization(30), 1),
            ("value", "rrr", vec![200, 200, 200], own, Target::Value(100), 6),
            ("one starts: idle", "rrs", vec![1000, 1000, 0], cpu, Target::Utilization(50), 4),
            ("one starts, down", "rrs", vec![100, 100, 900], cpu, Target::Utilization(50), 1),
            ("one pends: idle", "rrp", vec![1000, 1000], cpu, Target::Utilization(50), 4),
            ("no sample, up: idle", "rrr", vec![1000, 1000, -1], cpu, Target::Utilization(50), 4),
            ("no sample, down: busy", "rrr", vec![100, 100, -1], cpu, Target::Utilization(50), 3),
            ("no sample, down: on target", "rrr", vec![10, 10, -1], own, Target::Value(100), 2),
            ("failed and going", "rfg", vec![1000, 0, 0], cpu, Target::Utilization(50), 2),
        ] {
            let current = i32::try_from(kinds.len()).unwrap();
            let outcome = replicas(
                &pods(kinds),
                samples(&values),
                measured,
                target,
                current,
                TOLERANCE,
                now(),
            );
            assert_eq!(outcome.map(|outcome| outcome.replicas), Ok(wanted), "{case}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_said() {
        let cpu = Measured { resource: Some("cpu"), container: None };
        let memory = Measured { resource: Some("memory"), container: None };
        for (kinds, values, measured, wanted) in [
            ("", vec![], cpu, "no pods returned by selector while calculating replica count"),
            (
                "s",
                vec![100],
                cpu,
                "did not receive metrics for targeted pods (pods might be unready)",
            ),
            ("r", vec![100], memory, "missing request for memory in container c of Pod 0"),
        ] {
            let (pods, samples) = (pods(kinds), samples(&values));
            let error =
                replicas(&pods, samples, measured, Target::Utilization(50), 1, TOLERANCE, now());
            assert_eq!(error, Err(wanted.to_owned()));
        }
    }

    #[test]
    fn totals_are_shared() {
        for (usage, target, current, ready, wanted) in
            [(1000, 500, 3, 3, 6), (1000, 950, 3, 3, 3), (1000, 500, 0, 0, 2), (100, 500, 5, 5, 1)]
        {
            assert_eq!(
                of_total(usage, target, current, ready, TOLERANCE),
                wanted,
                "{usage}/{target}"
            );
        }
        for (usage, target, current, wanted) in
            [(1000, 100, 5, 10), (1000, 100, 10, 10), (50, 100, 3, 1)]
        {
            assert_eq!(of_average(usage, target, current, TOLERANCE), wanted, "{usage}/{target}");
        }
    }
}
