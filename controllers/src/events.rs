//! The Events controllers write on the objects they work for.
//!
//! Events are for people: they are written by one task behind a bounded queue, the latest dropped
//! when it is full, so that they never slow down a reconcile. A repeated event (same pod, same
//! reason, same message) becomes a higher `count` on the first, as kubectl shows it (`x3 over 2m`).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use client::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams, Resource};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::debug;

const QUEUE: usize = 4096;
/// How many written events are remembered to count repetitions on.
const REMEMBERED: usize = 4096;
const DEADLINE: Duration = Duration::from_secs(10);

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    /// Empty at cluster scope; the event then goes to `default`.
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Subject {
    /// The object itself.
    pub(crate) fn of<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        Self {
            api_version: K::api_version(&()).into_owned(),
            kind: K::kind(&()).into_owned(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Occurrence {
    component: &'static str,
    subject: Subject,
    warning: bool,
    reason: &'static str,
    message: String,
}

/// Hands events to the writing task, in the name of one controller.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    component: &'static str,
    queue: mpsc::Sender<Occurrence>,
}

impl Recorder {
    /// Starts the writing task; it ends when the last recorder is dropped.
    pub(crate) fn start(client: Client, clock: Clock, tracker: &TaskTracker) -> Self {
        let (queue, occurrences) = mpsc::channel(QUEUE);
        tracker.spawn(write(client, clock, occurrences));
        Self { component: "controller-manager", queue }
    }

    /// The same, speaking as `component` (the event's `source`).
    pub(crate) fn named(&self, component: &'static str) -> Self {
        Self { component, queue: self.queue.clone() }
    }

    /// Records something normal.
    pub(crate) fn normal(&self, subject: Subject, reason: &'static str, message: String) {
        self.record(subject, false, reason, message);
    }

    /// Records something the user may have to look at.
    pub(crate) fn warning(&self, subject: Subject, reason: &'static str, message: String) {
        self.record(subject, true, reason, message);
    }

    fn record(&self, subject: Subject, warning: bool, reason: &'static str, message: String) {
        let occurrence =
            Occurrence { component: self.component, subject, warning, reason, message };
        if let Err(dropped) = self.queue.try_send(occurrence) {
            debug!(reason, occurrence = ?dropped.into_inner(), "event dropped");
        }
    }
}

async fn write(client: Client, clock: Clock, mut occurrences: mpsc::Receiver<Occurrence>) {
    let mut written: HashMap<Occurrence, (String, i32)> = HashMap::new();
    let mut order = VecDeque::new();
    while let Some(occurrence) = occurrences.recv().await {
        let api: Api<Event> = Api::namespaced(client.clone(), occurrence.namespace());
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
        let event = occurrence.event(now);
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

impl Occurrence {
    fn namespace(&self) -> &str {
        if self.subject.namespace.is_empty() { "default" } else { &self.subject.namespace }
    }

    fn event(&self, now: Timestamp) -> Event {
        let subject = &self.subject;
        let namespace = Some(subject.namespace.clone()).filter(|n| !n.is_empty());
        Event {
            metadata: ObjectMeta {
                // The name client-go gives: the object's, and the time in hexadecimal.
                name: Some(format!("{}.{:x}", subject.name, now.as_nanosecond())),
                namespace: Some(self.namespace().to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(subject.api_version.clone()),
                kind: Some(subject.kind.clone()),
                namespace,
                name: Some(subject.name.clone()),
                uid: Some(subject.uid.clone()),
                ..ObjectReference::default()
            },
            reason: Some(self.reason.to_owned()),
            message: Some(self.message.clone()),
            type_: Some(if self.warning { "Warning" } else { "Normal" }.to_owned()),
            source: Some(EventSource { component: Some(self.component.to_owned()), host: None }),
            reporting_component: Some(self.component.to_owned()),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            ..Event::default()
        }
    }
}
