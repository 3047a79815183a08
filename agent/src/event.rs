//! Events: what `kubectl describe` shows of a pod's life.
//!
//! [`Recorder::record`] never waits: it puts the event into a bounded queue that one task writes to the API
//! server. The same event again within ten minutes raises the count of the first one, as the client-go
//! correlator does, and a full queue drops the event with a warning: events are hints, not state.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

/// Events waiting for the API server at most.
const QUEUE: usize = 1024;
/// How long the same event is counted instead of written anew.
const AGGREGATE: SignedDuration = SignedDuration::from_mins(10);
/// Remembered events at most; the oldest are forgotten.
const REMEMBERED: usize = 4096;
/// Deadline of one write.
const WRITE: Duration = Duration::from_secs(10);
/// Longest message the API takes.
const LONGEST_MESSAGE: usize = 1024;

/// Whether an event is ordinary or asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: &'static str,
    namespace: String,
    name: String,
    uid: String,
    field: Option<String>,
    severity: Severity,
    reason: &'static str,
    message: String,
}

struct Occurrence {
    key: Key,
    resource_version: Option<String>,
    at: Timestamp,
}

/// Records events; a cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Occurrence>,
}

impl Recorder {
    /// A recorder and the task that writes what it records; run the latter until `shutdown`.
    pub(crate) fn new(
        client: kube::Client,
        node: String,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, occurrences) = mpsc::channel(QUEUE);
        (Self { queue }, write_all(client, node, occurrences, shutdown))
    }

    /// A recorder whose events nobody reads.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self { queue: mpsc::channel(1).0 }
    }

    /// Records an event of a pod.
    pub(crate) fn pod(&self, pod: &Pod, severity: Severity, reason: &'static str, message: String) {
        self.record(pod, None, severity, reason, message);
    }

    /// Records an event of one of a pod's containers.
    pub(crate) fn container(
        &self,
        pod: &Pod,
        container: &str,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let spec = pod.spec.as_ref();
        let mut inits = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let mut added =
            spec.into_iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten());
        let list = if inits.any(|init| init.name == container) {
            "initContainers"
        } else if added.any(|added| added.name == container) {
            "ephemeralContainers"
        } else {
            "containers"
        };
        self.record(pod, Some(format!("spec.{list}{{{container}}}")), severity, reason, message);
    }

    /// Records an event of the node.
    pub(crate) fn node(
        &self,
        node: &Node,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let name = node.metadata.name.clone().unwrap_or_default();
        // The kubelet names nodes by their name where others have a uid; tools look for that.
        let key = Key {
            kind: "Node",
            namespace: "default".into(),
            uid: name.clone(),
            name,
            field: None,
            severity,
            reason,
            message,
        };
        self.put(Occurrence { key, resource_version: None, at: Timestamp::now() });
    }

    fn record(
        &self,
        pod: &Pod,
        field: Option<String>,
        severity: Severity,
        reason: &'static str,
        mut message: String,
    ) {
        if message.len() > LONGEST_MESSAGE {
            let end =
                (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
            message.truncate(end);
        }
        let meta = &pod.metadata;
        let key = Key {
            kind: "Pod",
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            field,
            severity,
            reason,
            message,
        };
        self.put(Occurrence {
            key,
            resource_version: meta.resource_version.clone(),
            at: Timestamp::now(),
        });
    }

    fn put(&self, occurrence: Occurrence) {
        match self.queue.try_send(occurrence) {
            Ok(()) => {}
            // The agent is stopping, and the writer of events has ended before the last of those
            // who have something to tell.
            Err(error @ TrySendError::Closed(_)) => tracing::debug!(%error, "event dropped"),
            Err(error @ TrySendError::Full(_)) => tracing::warn!(%error, "event dropped"),
        }
    }
}

struct Written {
    name: String,
    count: i32,
    last: Timestamp,
}

async fn write_all(
    client: kube::Client,
    node: String,
    mut occurrences: mpsc::Receiver<Occurrence>,
    shutdown: CancellationToken,
) {
    let mut written: HashMap<Key, Written> = HashMap::new();
    loop {
        let occurrence = tokio::select! {
            biased;
            next = occurrences.recv() => match next {
                Some(occurrence) => occurrence,
                None => return,
            },
            () = shutdown.cancelled() => return,
        };
        if written.len() >= REMEMBERED {
            written.retain(|_, event| occurrence.at.duration_since(event.last) < AGGREGATE);
            if written.len() >= REMEMBERED {
                written.clear();
            }
        }
        match tokio::time::timeout(WRITE, write(&client, &node, &occurrence, &mut written)).await {
            Ok(Ok(())) => {}
            // A pod's namespace may be on its way out: its events go nowhere, and that is fine.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => {
                tracing::debug!(
                    reason = occurrence.key.reason,
                    message = status.message,
                    "event refused"
                );
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, reason = occurrence.key.reason, "event not written")
            }
            Err(_) => tracing::warn!(reason = occurrence.key.reason, "event not written in time"),
        }
    }
}

async fn write(
    client: &kube::Client,
    node: &str,
    occurrence: &Occurrence,
    written: &mut HashMap<Key, Written>,
) -> Result<(), kube::Error> {
    let Occurrence { key, resource_version, at } = occurrence;
    let events: Api<Event> = Api::namespaced(client.clone(), &key.namespace);
    if let Some(known) =
        written.get_mut(key).filter(|known| at.duration_since(known.last) < AGGREGATE)
    {
        known.count += 1;
        known.last = *at;
        let patch = serde_json::json!({"count": known.count, "lastTimestamp": Time(*at)});
        match events.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            // It has expired meanwhile: write it anew.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => return other.map(drop),
        }
    }
    let name = format!("{}.{:x}", key.name, at.as_nanosecond());
    events
        .create(&PostParams::default(), &build(key, resource_version.clone(), node, &name, *at))
        .await?;
    written.insert(key.clone(), Written { name, count: 1, last: *at });
    Ok(())
}

fn build(
    key: &Key,
    resource_version: Option<String>,
    node: &str,
    name: &str,
    at: Timestamp,
) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some(key.kind.into()),
            name: Some(key.name.clone()),
            namespace: (key.kind == "Pod").then(|| key.namespace.clone()),
            uid: Some(key.uid.clone()),
            resource_version,
            field_path: key.field.clone(),
        },
        type_: Some(match key.severity {
            Severity::Normal => "Normal".into(),
            Severity::Warning => "Warning".into(),
        }),
        reason: Some(key.reason.into()),
        message: Some(key.message.clone()),
        count: Some(1),
        first_timestamp: Some(Time(at)),
        last_timestamp: Some(Time(at)),
        source: Some(EventSource {
            component: Some("kubelet".into()),
            host: Some(node.to_owned()),
        }),
        reporting_component: Some("kubelet".into()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}
