//! Writing a decision, or the lack of one, through the API.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{Request, request};
use kube::{Client, Resource};
use serde_json::{Value, json};

use crate::pod::PodInfo;

/// Every request has an end: after this the pod is tried again.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a pod was not bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The pod is gone, or another one has its name.
    #[error("pod {namespace}/{name} is gone")]
    Gone {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The API server refused or could not be reached.
    #[error("{operation} of pod {namespace}/{name} failed")]
    Request {
        /// What was asked for.
        operation: &'static str,
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// A permit plugin does not want it there; in the words of the pod's condition.
    #[error("{reason}")]
    Denied {
        /// Why.
        reason: String,
    },
    /// A plugin could not do its part; in the words of the pod's event.
    #[error("{reason}")]
    Failed {
        /// Why.
        reason: String,
    },
    /// No answer in time; it may have happened all the same.
    #[error("{operation} of pod {namespace}/{name} got no answer in {DEADLINE:?}")]
    Timeout {
        /// What was asked for.
        operation: &'static str,
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
    },
}

impl BindError {
    /// There is no such pod any more.
    pub(crate) fn gone(pod: &PodInfo) -> Self {
        Self::Gone { namespace: pod.namespace.clone(), name: pod.name.clone() }
    }

    /// The same, with the plugin that failed and the point where.
    pub(crate) fn at(self, point: &str, plugin: &str) -> Self {
        match self {
            Self::Failed { reason } => {
                Self::Failed { reason: format!("running {point} plugin {plugin:?}: {reason}") }
            }
            other => other,
        }
    }

    /// Whether somebody else has changed the object meanwhile.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Request { source, .. }
            if matches!(source.as_ref(), kube::Error::Api(status) if status.code == 409))
    }
}

/// Binds `pod` to `node`: `POST …/pods/{name}/binding`.
pub(crate) async fn bind(client: &Client, pod: &PodInfo, node: &str) -> Result<(), BindError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            // Refuses to bind another pod that took the name.
            uid: Some(pod.uid.0.to_string()),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let params = PostParams::default();
    let request = api.create_subresource::<_, Value>("binding", &pod.name, &params, &binding);
    finish("binding", pod, request).await.map(|_| ())
}

/// Writes the `PodScheduled=False` condition that says why the pod waits, and the node on which room
/// is being made for it.
pub(crate) async fn refuse(
    client: &Client,
    pod: &PodInfo,
    reason: &str,
    message: &str,
    nominated: Option<&str>,
    now: Timestamp,
) -> Result<(), BindError> {
    let mut condition = json!({
        "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
    });
    if pod.refused.is_none() {
        condition["lastTransitionTime"] = json!(Time(now));
    }
    let patch = json!({
        "metadata": {"uid": &*pod.uid.0},
        "status": {"conditions": [condition], "nominatedNodeName": nominated},
    });
    patch_status(client, pod, patch).await
}

/// Writes on which node a pod will be, while that is not yet sure; `None` takes it back.
pub(crate) async fn nominate(
    client: &Client,
    pod: &PodInfo,
    node: Option<&str>,
) -> Result<(), BindError> {
    let patch = json!({
        "metadata": {"uid": &*pod.uid.0},
        "status": {"nominatedNodeName": node},
    });
    patch_status(client, pod, patch).await
}

/// Takes a pod away to make room: writes the `DisruptionTarget` condition that says so, then deletes
/// the pod with the grace it asks for.
pub(crate) async fn evict(
    client: &Client,
    victim: &PodInfo,
    scheduler: &str,
    now: Timestamp,
) -> Result<(), BindError> {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
        "lastTransitionTime": Time(now),
    });
    let patch = json!({
        "metadata": {"uid": &*victim.uid.0},
        "status": {"conditions": [condition]},
    });
    patch_status(client, victim, patch).await?;
    let params = DeleteParams {
        // Not another pod that took the name.
        preconditions: Some(Preconditions {
            uid: Some(victim.uid.0.to_string()),
            ..Preconditions::default()
        }),
        ..DeleteParams::default()
    };
    write(client, "deletion", victim, pods(victim).delete(&victim.name, &params)).await
}

/// Applies a strategic merge patch to a pod's status.
async fn patch_status(client: &Client, pod: &PodInfo, patch: Value) -> Result<(), BindError> {
    let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
    let request = pods(pod).patch_subresource("status", &pod.name, &params, &patch);
    write(client, "status patch", pod, request).await
}

/// Requests for pods of the namespace that `pod` is in.
fn pods(pod: &PodInfo) -> Request {
    Request::new(Pod::url_path(&(), Some(&pod.namespace)))
}

/// Sends a request whose answer, the pod as it is now, nobody reads: the watch tells.
async fn write(
    client: &Client,
    operation: &'static str,
    pod: &PodInfo,
    request: Result<http::Request<Vec<u8>>, request::Error>,
) -> Result<(), BindError> {
    let answer =
        async { client.request_text(request.map_err(kube::Error::BuildRequest)?).await.map(drop) };
    finish(operation, pod, answer).await
}

/// Waits for the answer to a request that is made for `pod`.
pub(crate) async fn finish<T>(
    operation: &'static str,
    pod: &PodInfo,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, BindError> {
    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {
            Err(BindError::Gone { namespace, name })
        }
        Ok(Err(source)) => {
            Err(BindError::Request { operation, namespace, name, source: Box::new(source) })
        }
        Err(_) => Err(BindError::Timeout { operation, namespace, name }),
    }
}
