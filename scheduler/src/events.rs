//! The Events a scheduler writes on pods.
//!
//! Events are for people: one task writes them one after the other, and slowly while there are pods to
//! place, so that a burst never slows down scheduling. What a burst leaves behind waits in a bounded
//! queue; only when that is full events are left out, and the log says how many. A repeated event (same pod, same reason, same
//! message) becomes a higher `count` on the first, as kubectl shows it (`x3 over 2m`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use client::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::{Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::pod::PodInfo;

/// Events that can wait to be written, about 300 bytes each: those of 65,536 bindings.
const QUEUE: usize = 65_536;
/// How many written warnings are remembered to count repetitions on.
const REMEMBERED: usize = 4096;
const DEADLINE: Duration = Duration::from_secs(10);
/// How long an event waits while pods do: 200 a second are written even then.
const WAY: Duration = Duration::from_millis(5);

/// What makes an event the same as another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Said {
    /// The scheduler that says it.
    by: String,
    uid: Arc<str>,
    warning: bool,
    reason: &'static str,
    message: String,
}

/// Whole pods would be kept in memory for as long as their events wait.
#[derive(Debug)]
struct Occurrence {
    namespace: String,
    name: String,
    said: Said,
}

/// Hands events to the writing task.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Occurrence>,
    left_out: Arc<AtomicU64>,
    busy: Arc<AtomicBool>,
}

impl Recorder {
    /// Starts the writing task; it ends when the last recorder is dropped.
    pub(crate) fn start(client: Client, clock: Clock, tracker: &TaskTracker) -> Self {
        let (queue, occurrences) = mpsc::channel(QUEUE);
        let (left_out, busy) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let writer = Writer {
            client,
            clock,
            left_out: left_out.clone(),
            busy: busy.clone(),
            written: HashMap::new(),
            order: VecDeque::new(),
        };
        tracker.spawn(writer.run(occurrences));
        Self { queue, left_out, busy }
    }

    /// Says whether there are pods to place, which events make way for.
    pub(crate) fn make_way(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
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
        let (by, uid) = (by.to_owned(), pod.uid.0.clone());
        let occurrence = Occurrence {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            said: Said { by, uid, warning, reason, message },
        };
        if self.queue.try_send(occurrence).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes events, one after the other.
struct Writer {
    client: Client,
    clock: Clock,
    left_out: Arc<AtomicU64>,
    busy: Arc<AtomicBool>,
    /// The names of warnings that were written and how often they were said.
    written: HashMap<Said, (String, i32)>,
    /// These, the oldest first.
    order: VecDeque<Said>,
}

impl Writer {
    async fn run(mut self, mut occurrences: mpsc::Receiver<Occurrence>) {
        while let Some(occurrence) = occurrences.recv().await {
            if makes_way(self.busy.load(Ordering::Relaxed), occurrences.len()) {
                tokio::time::sleep(WAY).await;
            }
            if !self.count(&occurrence).await {
                self.create(occurrence).await;
            }
            let left_out = self.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                warn!(left_out, "too many events at once, some were not written");
            }
        }
    }

    /// Counts a repetition. False if there is nothing to count on.
    async fn count(&mut self, Occurrence { namespace, said, .. }: &Occurrence) -> bool {
        let Some((name, count)) = self.written.get_mut(said) else { return false };
        *count += 1;
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({"count": *count, "lastTimestamp": Time(self.clock.now())});
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        match tokio::time::timeout(DEADLINE, api.patch(name, &params, &patch)).await {
            Ok(Ok(_)) => true,
            // The event has expired meanwhile: it is written anew.
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => false,
            outcome => {
                debug!(?outcome, "event not counted");
                true
            }
        }
    }

    async fn create(&mut self, occurrence: Occurrence) {
        let event = event(&occurrence, self.clock.now());
        let created = async {
            let body = serde_json::to_vec(&event).map_err(kube::Error::SerdeError)?;
            let request = Request::new(Event::url_path(&(), Some(&occurrence.namespace)))
                .create(&PostParams::default(), body)
                .map_err(kube::Error::BuildRequest)?;
            // Nobody reads the answer.
            self.client.request_text(request).await.map(drop)
        };
        match tokio::time::timeout(DEADLINE, created).await {
            Ok(Ok(())) => self.remember(occurrence.said, event.metadata.name.unwrap_or_default()),
            outcome => debug!(?outcome, "event not written"),
        }
    }

    /// Only warnings are said again: what was done, was done once.
    fn remember(&mut self, said: Said, name: String) {
        if !said.warning {
            return;
        }
        if self.written.insert(said.clone(), (name, 1)).is_none() {
            self.order.push_back(said);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.written.remove(&oldest);
        }
    }
}

/// Whether the next event waits a little, `waiting` others behind it. They are not to pile up until some
/// have to be left out.
fn makes_way(busy: bool, waiting: usize) -> bool {
    busy && waiting < QUEUE / 2
}

fn event(Occurrence { namespace, name, said }: &Occurrence, now: Timestamp) -> Event {
    Event {
        metadata: ObjectMeta {
            // The name client-go gives: the object's, and the time in hexadecimal.
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(said.uid.to_string()),
            ..ObjectReference::default()
        },
        reason: Some(said.reason.to_owned()),
        message: Some(said.message.clone()),
        type_: Some(if said.warning { "Warning" } else { "Normal" }.to_owned()),
        source: Some(EventSource { component: Some(said.by.clone()), host: None }),
        reporting_component: Some(said.by.clone()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_make_way_for_pods_and_are_not_lost_for_it() {
        for (busy, waiting, want) in [
            (false, 0, false),
            (true, 0, true),
            (true, QUEUE / 2 - 1, true),
            (true, QUEUE / 2, false),
            (false, QUEUE, false),
        ] {
            assert_eq!(makes_way(busy, waiting), want, "busy {busy}, {waiting} waiting");
        }
    }
}
