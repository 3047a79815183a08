//! The Events controllers write on the objects they work for.
//!
//! Events are for people: they are written by one task behind a bounded queue, the latest dropped
//! when it is full, so that they never slow down a reconcile. A repeated event (same pod, same
//! reason, same message) becomes a higher `count` on the first, as kubectl shows it (`x3 over 2m`), many
//! similar ones become one, and a controller that has too much to say about an object is cut short: see
//! [`correlate`].

mod correlate;

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

use self::correlate::{Correlated, Correlator};

const QUEUE: usize = 4096;
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
    let mut correlator = Correlator::default();
    while let Some(occurrence) = occurrences.recv().await {
        let now = clock.now();
        let Some(correlated) = correlator.correlate(occurrence, now) else { continue };
        let api: Api<Event> = Api::namespaced(client.clone(), correlated.occurrence.namespace());
        if correlated.count > 1 {
            let Correlated { occurrence, count, .. } = &correlated;
            let patch = json!({"count": count, "lastTimestamp": Time(now),
                "message": occurrence.message});
            let (name, params, patch) =
                (correlated.name(), PatchParams::default(), Patch::Merge(patch));
            match tokio::time::timeout(DEADLINE, api.patch(&name, &params, &patch)).await {
                Ok(Ok(_)) => continue,
                // The event has expired meanwhile, or was never written: write it now.
                Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {}
                outcome => {
                    debug!(?outcome, "event not counted");
                    continue;
                }
            }
        }
        let event = correlated.event(now);
        match tokio::time::timeout(DEADLINE, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => {}
            outcome => debug!(?outcome, "event not written"),
        }
    }
}

impl Occurrence {
    fn namespace(&self) -> &str {
        if self.subject.namespace.is_empty() { "default" } else { &self.subject.namespace }
    }
}

impl Correlated {
    /// The name that client-go gives: the object's, and the time in hexadecimal.
    fn name(&self) -> String {
        format!("{}.{:x}", self.occurrence.subject.name, self.first.as_nanosecond())
    }

    fn event(&self, now: Timestamp) -> Event {
        let occurrence = &self.occurrence;
        let subject = &occurrence.subject;
        let namespace = Some(subject.namespace.clone()).filter(|n| !n.is_empty());
        Event {
            metadata: ObjectMeta {
                name: Some(self.name()),
                namespace: Some(occurrence.namespace().to_owned()),
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
            reason: Some(occurrence.reason.to_owned()),
            message: Some(occurrence.message.clone()),
            type_: Some(if occurrence.warning { "Warning" } else { "Normal" }.to_owned()),
            source: Some(EventSource {
                component: Some(occurrence.component.to_owned()),
                host: None,
            }),
            reporting_component: Some(occurrence.component.to_owned()),
            first_timestamp: Some(Time(self.first)),
            last_timestamp: Some(Time(now)),
            count: Some(self.count),
            ..Event::default()
        }
    }
}
