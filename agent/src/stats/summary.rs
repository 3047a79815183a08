//! `/stats/summary`: use and rates as JSON, in the kubelet's form.
//!
//! A rate needs two measurements. The last one is kept for who asks next; who asks first, or after a
//! long time, waits for the second one. So a node that nobody asks measures nothing.
//! Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use runtime::Runtime;
use runtime::cgroup::Usage;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Measured, Sample, label, measure};

/// The shortest time over which a rate says something.
const SHORTEST: Duration = Duration::from_secs(1);
/// A measurement gives way to a newer one at this age, so that rates tell of the last seconds.
const RENEWED: Duration = Duration::from_secs(10);
/// A measurement of this age tells of another time.
const STALE: Duration = Duration::from_secs(60);

/// What is measured: the node, a pod, or a container of a pod as it was started then.
type Key = (String, String, Timestamp);

/// Answers with rates, one caller at a time.
#[derive(Debug, Default)]
pub(crate) struct Summaries(Mutex<Option<Earlier>>);

/// The CPU times of an earlier measurement.
#[derive(Debug)]
struct Earlier {
    taken: Instant,
    cpu: HashMap<Key, (Timestamp, Duration)>,
}

impl Summaries {
    /// The answer of `/stats/summary`. The first one takes a second.
    pub(crate) async fn answer(&self, node: &str, runtime: &Runtime) -> Value {
        let mut kept = self.0.lock().await;
        let fresh = kept.take().filter(|earlier| earlier.taken.elapsed() < STALE);
        let earlier = match fresh {
            Some(earlier) => kept.insert(earlier),
            None => kept.insert(Earlier::of(&measure(runtime).await)),
        };
        if let Some(rest) = SHORTEST.checked_sub(earlier.taken.elapsed()) {
            tokio::time::sleep(rest).await;
        }
        let measured = measure(runtime).await;
        let shown = render(node, &measured, &earlier.cpu);
        if earlier.taken.elapsed() >= RENEWED {
            *earlier = Earlier::of(&measured);
        }
        shown
    }
}

impl Earlier {
    fn of(measured: &Measured) -> Self {
        let mut all = vec![(node_key(), measured.node)];
        for pod in &measured.pods {
            let sample = Sample { at: pod.at, usage: pod.usage };
            all.push(((pod.id.clone(), String::new(), pod.created_at), sample));
            all.extend(pod.containers.iter().map(|container| {
                let sample = Sample { at: container.at, usage: container.usage };
                ((pod.id.clone(), container.name.clone(), container.started_at), sample)
            }));
        }
        let counted = |(key, sample): (Key, Sample)| Some((key, (sample.at, sample.usage.cpu?)));
        Self { taken: Instant::now(), cpu: all.into_iter().filter_map(counted).collect() }
    }
}

fn node_key() -> Key {
    (String::new(), String::new(), Timestamp::UNIX_EPOCH)
}

fn render(node: &str, measured: &Measured, earlier: &HashMap<Key, (Timestamp, Duration)>) -> Value {
    let pods: Vec<Value> = measured
        .pods
        .iter()
        .map(|pod| {
            let containers = pod.containers.iter().map(|container| {
                let key = (pod.id.clone(), container.name.clone(), container.started_at);
                let sample = Sample { at: container.at, usage: container.usage };
                let mut shown = stats(sample, earlier.get(&key));
                shown["name"] = container.name.clone().into();
                shown["startTime"] = api::meta::time(container.started_at).into();
                shown
            });
            let containers: Vec<Value> = containers.collect();
            let key = (pod.id.clone(), String::new(), pod.created_at);
            let mut shown = stats(Sample { at: pod.at, usage: pod.usage }, earlier.get(&key));
            shown["podRef"] = json!({"name": label(pod, "name"),
                "namespace": label(pod, "namespace"), "uid": pod.id});
            shown["startTime"] = api::meta::time(pod.created_at).into();
            shown["containers"] = containers.into();
            shown
        })
        .collect();
    let mut shown = stats(measured.node, earlier.get(&node_key()));
    shown["nodeName"] = node.into();
    if let Some(booted) = measured.booted {
        shown["startTime"] = api::meta::time(booted).into();
    }
    json!({"node": shown, "pods": pods})
}

/// `cpu` and `memory` of a thing, as far as they are known.
fn stats(sample: Sample, earlier: Option<&(Timestamp, Duration)>) -> Value {
    let Usage { cpu, memory_working_set } = sample.usage;
    let time = api::meta::time(sample.at);
    let mut shown = Map::new();
    if let Some(cpu) = cpu {
        let nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        let mut of = json!({"time": time, "usageCoreNanoSeconds": nanos});
        if let Some(rate) = earlier.and_then(|earlier| rate(*earlier, (sample.at, cpu))) {
            of["usageNanoCores"] = rate.into();
        }
        shown.insert("cpu".to_owned(), of);
    }
    if let Some(bytes) = memory_working_set {
        shown.insert("memory".to_owned(), json!({"time": time, "workingSetBytes": bytes}));
    }
    Value::Object(shown)
}

/// Billionths of a core in use between two readings; none if no time lies between them, or the counter
/// began anew.
fn rate(before: (Timestamp, Duration), now: (Timestamp, Duration)) -> Option<u64> {
    let used = now.1.checked_sub(before.1)?.as_nanos();
    let window = Duration::try_from(now.0.duration_since(before.0)).ok()?.as_nanos();
    u64::try_from((used * 1_000_000_000).checked_div(window)?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::measured;
    use super::*;

    #[test]
    fn rates_are_of_the_time_between_two_readings() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let ms = Duration::from_millis;
        for (before, now, want) in [
            ((0, 0), (10, 5000), Some(500_000_000)),
            ((5, 1000), (6, 3000), Some(2_000_000_000)),
            ((5, 1000), (6, 1000), Some(0)),
            ((5, 1000), (5, 2000), None),
            ((6, 1000), (5, 2000), None),
            ((5, 1000), (6, 999), None),
        ] {
            let found = rate((at(before.0), ms(before.1)), (at(now.0), ms(now.1)));
            assert_eq!(found, want, "{before:?} {now:?}");
        }
    }

    #[test]
    fn a_summary_has_the_kubelets_form() {
        let earlier = Earlier::of(&measured(1000, 60));
        let shown = render("n1", &measured(3000, 70), &earlier.cpu);
        let time = "1970-01-01T00:01:10Z";
        let cpu = json!({"time": time, "usageCoreNanoSeconds": 3_000_000_000_u64,
            "usageNanoCores": 200_000_000});
        let memory = json!({"time": time, "workingSetBytes": 4096});
        let want = json!({
            "node": {"nodeName": "n1", "startTime": "1970-01-01T00:00:01Z", "cpu": cpu,
                "memory": memory},
            "pods": [{"podRef": {"name": "web", "namespace": "default", "uid": "u1"},
                "startTime": "1970-01-01T00:00:04Z", "cpu": cpu, "memory": memory,
                "containers": [
                    {"name": "a", "startTime": "1970-01-01T00:00:05Z", "cpu": cpu, "memory": memory},
                    {"name": "b", "startTime": "1970-01-01T00:00:05Z"}]}],
        });
        assert_eq!(shown, want);
        // What was not there before has no rate yet.
        let alone = render("n1", &measured(3000, 70), &HashMap::new());
        assert!(alone["node"]["cpu"]["usageNanoCores"].is_null(), "{alone}");
    }
}
