//! Which resource a reference like `apps/v1 Deployment` names, and whether it can be scaled.

use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, discovery};

use crate::reconcile::{ReconcileError, request};

/// What discovery says about a kind.
#[derive(Debug)]
pub(crate) enum Target {
    /// It has the `scale` subresource.
    Scales(ApiResource),
    /// It has none; `resource.group`.
    Fixed(String),
    /// Nobody serves it.
    Unknown,
}

/// Asks what the kind is. An empty `api_version` is `v1`.
///
/// # Errors
/// When the API server cannot be asked.
pub(crate) async fn find(
    client: &Client,
    api_version: &str,
    kind: &str,
) -> Result<Target, ReconcileError> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let version = if version.is_empty() { "v1" } else { version };
    let named = GroupVersionKind::gvk(group, version, kind);
    let found = request("find the kind", kind, discovery::pinned_kind(client, &named)).await;
    let (resource, capabilities) = match found {
        Ok(found) => found,
        Err(error) if is_unknown(&error) => return Ok(Target::Unknown),
        Err(error) => return Err(error),
    };
    let mut subresources = capabilities.subresources.iter().map(|(found, _)| found.plural.as_str());
    // `scale`, or `deployments/scale` in the older form of discovery.
    if subresources.any(|name| name.rsplit('/').next() == Some("scale")) {
        return Ok(Target::Scales(resource));
    }
    let dot = if group.is_empty() { "" } else { "." };
    Ok(Target::Fixed(format!("{}{dot}{group}", resource.plural)))
}

fn is_unknown(error: &ReconcileError) -> bool {
    match error {
        ReconcileError::Request { source, .. } => {
            matches!(source.as_ref(), kube::Error::Discovery(_)) || error.code() == Some(404)
        }
        _ => false,
    }
}
