//! Gives containers that run other limits.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use runtime::UpdateError;
use runtime::spec::Resources;

use super::StepFailed;
use crate::context::Context;
use crate::image::chain;
use crate::pod::observe::RESOURCES_LABEL;
use crate::translate::resources;

/// What one container gets.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) container: String,
    /// What was agreed to, for the record.
    pub(crate) resources: ResourceRequirements,
    /// What that is in its cgroup.
    pub(crate) limits: Resources,
}

/// Carries the changes out: what the pod as a whole may have is raised first and lowered last, so that at
/// no moment the containers may have more than the pod. `agreed` is the pod as it is to be, `has` what it
/// has as a whole.
pub(crate) async fn resize(
    context: Arc<Context>,
    agreed: Arc<Pod>,
    has: Resources,
    changes: Vec<Change>,
) -> Result<(), StepFailed> {
    let uid = agreed.metadata.uid.clone().unwrap_or_default();
    // What cannot be done now may be possible later: a container may come to use less memory.
    let failed = |error: UpdateError| StepFailed { message: chain(&error), waits: true };
    let after = resources::of_pod(&agreed.spec.clone().unwrap_or_default());
    let raised = resources::larger(&has, &after);
    context.runtime.update_sandbox(&uid, &raised).await.map_err(failed)?;
    for change in changes {
        let text = serde_json::to_string(&change.resources).unwrap_or_default();
        let labels = [(RESOURCES_LABEL.to_owned(), text)].into();
        let name = &change.container;
        match context.runtime.update_container(&uid, name, change.limits, labels).await {
            // It has ended meanwhile; its next attempt starts with what was agreed to.
            Ok(()) | Err(UpdateError::NotRunning { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    context.runtime.update_sandbox(&uid, &after).await.map_err(failed)
}

/// Makes room for an attempt that may have more than the one before.
pub(super) async fn make_room(
    context: &Context,
    agreed: &Pod,
    has: &Resources,
) -> Result<(), UpdateError> {
    let uid = agreed.metadata.uid.as_deref().unwrap_or_default();
    let wanted = resources::of_pod(&agreed.spec.clone().unwrap_or_default());
    context.runtime.update_sandbox(uid, &resources::larger(has, &wanted)).await
}
