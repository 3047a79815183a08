//! Writes to the pod's object: its status, and at the end its deletion.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::{ReportFailed, StepFailed};
use crate::context::Context;

/// Deadline of one request.
const REQUEST: Duration = Duration::from_secs(15);

fn api(context: &Context, pod: &Pod) -> Api<Pod> {
    Api::namespaced(context.client.clone(), pod.metadata.namespace.as_deref().unwrap_or("default"))
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// Patches the status by `difference`, on the very version of the pod that it was computed from.
///
/// `Ok(None)`: the object does not exist any more.
pub(crate) async fn report(
    context: Arc<Context>,
    pod: Arc<Pod>,
    difference: Value,
) -> Result<Option<Arc<Pod>>, ReportFailed> {
    let pods = api(&context, &pod);
    let metadata =
        json!({"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version});
    let patch = Patch::Merge(json!({"metadata": metadata, "status": difference}));
    let params = PatchParams::default();
    match tokio::time::timeout(REQUEST, pods.patch_status(name(&pod), &params, &patch)).await {
        Ok(Ok(written)) => Ok(Some(Arc::new(written))),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
            let current = tokio::time::timeout(REQUEST, pods.get_opt(name(&pod))).await;
            match current {
                Ok(Ok(Some(current))) if current.metadata.uid == pod.metadata.uid => {
                    Err(ReportFailed::Conflict(Some(Arc::new(current))))
                }
                Ok(Ok(_)) => Ok(None),
                Ok(Err(error)) => Err(ReportFailed::Other(error.to_string())),
                Err(_) => Err(ReportFailed::Conflict(None)),
            }
        }
        Ok(Err(error)) => Err(ReportFailed::Other(error.to_string())),
        Err(_) => Err(ReportFailed::Other("the API server did not answer in time".to_owned())),
    }
}

/// Deletes the object for good, if it still is this very pod.
pub(crate) async fn delete(context: Arc<Context>, pod: Arc<Pod>) -> Result<(), StepFailed> {
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: pod.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match tokio::time::timeout(REQUEST, api(&context, &pod).delete(name(&pod), &params)).await {
        Ok(Ok(_)) => Ok(()),
        // Gone already, or another pod of that name: either way ours is no more.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok(()),
        Ok(Err(error)) => Err(StepFailed::new(error.to_string())),
        Err(_) => Err(StepFailed::new("the API server did not answer in time".to_owned())),
    }
}
