//! The Events a scheduler writes on pods.
//!
//! Events are for people: they are written by one task behind a bounded queue, the latest dropped
//! when it is full, so that they never slow down scheduling. A repeated event (same pod, same
//! reason, same message) becomes a higher `count` on the first, as kubectl shows it (`x3 over 2m`).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use client::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::pod::PodInfo;

const QUEUE: usize = 4096;
/// How many written events are remembered to count repetitions on.
const REMEMBERED: usize = 4096;
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Occurrence {
    /// The scheduler that says it.
    by: String,
    namespace: String,
    pod: String,
    uid: String,
    warning: bool,
    reason: &'static str,
    message: String,
}

/// Hands events to the writing task.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Occurrence>,
}

impl Recorder {
    /// Starts the writing task; it ends when the last recorder is dropped.
    pub(crate) fn start(client: Client, clock: Clock, tracker: &TaskTracker) -> Self {
        let (queue, occurrences) = mpsc::channel(QUEUE);
        tracker.spawn(write(client, clock, occurrences));
        Self { queue }
    }

    /// Records something normal that the pod's scheduler did.
    pub(crate) fn normal(&self, pod: &PodInfo, reason: &'static str, message: String) {
        self.record(&pod.scheduler_name, pod, false, reason, message);
    }

    /// Records what the scheduler `by` did to a pod that may be another's.
    pub(crate) fn done_by(&self, by: &str, pod: &PodInfo, reason: &'static str, message: String) {
        self.record(by, pod, false, reason, message);
    }

    /// Records something the user may have to look at.
    pub(crate) fn warning(&self, pod: &PodInfo, reason: &'static str, message: String) {
        self.record(&pod.scheduler_name, pod, true, reason, message);
    }

    fn record(
        &self,
        by: &str,
        pod: &PodInfo,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        let occurrence = Occurrence {
            by: by.to_owned(),
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            uid: pod.uid.0.to_string(),
            warning,
            reason,
            message,
        };
        if self.queue.try_send(occurrence).is_err() {
            debug!(namespace = pod.namespace, name = pod.name, reason, "event dropped");
        }
    }
}

async fn write(client: Client, clock: Clock, mut occurrences: mpsc::Receiver<Occurrence>) {
    let mut written: HashMap<Occurrence, (String, i32)> = HashMap::new();
    let mut order = VecDeque::new();
    while let Some(occurrence) = occurrences.recv().await {
        let api: Api<Event> = Api::namespaced(client.clone(), &occurrence.namespace);
        let now = clock.now();
        if let Some((name, count)) = written.get_mut(&occurrence) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": Time(now)});
            let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
            match tokio::time::timeout(DEADLINE, api.patch(name, &params, &patch)).await {
                Ok(Ok(_)) => continue,
                // The event has expired meanwhile: write it anew.
                Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {}
                outcome => {
                    debug!(?outcome, "event not counted");
                    continue;
                }
            }
        }
        let event = event(&occurrence, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        match tokio::time::timeout(DEADLINE, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => {
                if written.insert(occurrence.clone(), (name, 1)).is_none() {
                    order.push_back(occurrence);
                }
                if order.len() > REMEMBERED
                    && let Some(oldest) = order.pop_front()
                {
                    written.remove(&oldest);
                }
            }
            outcome => debug!(?outcome, "event not written"),
        }
    }
}

fn event(occurrence: &Occurrence, now: Timestamp) -> Event {
    Event {
        metadata: ObjectMeta {
            // The name client-go gives: the object's, and the time in hexadecimal.
            name: Some(format!("{}.{:x}", occurrence.pod, now.as_nanosecond())),
            namespace: Some(occurrence.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(occurrence.namespace.clone()),
            name: Some(occurrence.pod.clone()),
            uid: Some(occurrence.uid.clone()),
            ..ObjectReference::default()
        },
        reason: Some(occurrence.reason.to_owned()),
        message: Some(occurrence.message.clone()),
        type_: Some(if occurrence.warning { "Warning" } else { "Normal" }.to_owned()),
        source: Some(EventSource { component: Some(occurrence.by.clone()), host: None }),
        reporting_component: Some(occurrence.by.clone()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}
