//! What must hold before a write, beyond the object itself.

pub(crate) mod service_account;

use api::status::Status;
use serde_json::Value;

use crate::context::Context;
use crate::dispatch::Target;
use crate::user::User;

/// Namespaces that every cluster has and nobody may delete.
const PERMANENT: &[&str] = &["default", "kube-system", "kube-public"];

/// NamespaceLifecycle: objects are created in namespaces that exist and are not going away.
///
/// # Errors
/// 404 for a namespace that does not exist, 403 with the cause NamespaceTerminating.
pub(crate) async fn namespace(
    context: &Context,
    target: &Target,
    object: &Value,
) -> Result<(), Status> {
    if !target.resource.namespaced() {
        return Ok(());
    }
    let namespaces = context.core("namespaces");
    let mut found = namespaces.get(&target.namespace);
    if found.is_none() {
        // It may have been created a moment ago, by another server.
        context.freshness.consistent().await?;
        found = namespaces.get(&target.namespace);
    }
    let row = namespaces.resource();
    let Some(found) = found else {
        return Err(Status::not_found(&row.group_resource(), &target.namespace));
    };
    let phase = row.selectable_fields.iter().position(|field| field.name == "status.phase");
    if phase.is_some_and(|index| found.field(index) == "Terminating") {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let resource = target.resource.group_resource();
        return Err(Status::namespace_terminating(&resource, name, &target.namespace));
    }
    Ok(())
}

/// ServiceAccount, the part that needs no account: a pod that names no account runs as `default`.
pub(crate) fn complete(target: &Target, object: &mut Value) {
    if !target.resource.group.is_empty() || target.resource.plural != "pods" {
        return;
    }
    if !object["spec"].is_object() {
        return;
    }
    let spec = &mut object["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let (name, old) = (text("serviceAccountName"), text("serviceAccount"));
    let account = [name, old].into_iter().find(|name| !name.is_empty());
    let account = account.unwrap_or_else(|| "default".to_owned());
    // The deprecated alias always says the same.
    spec["serviceAccountName"] = account.clone().into();
    spec["serviceAccount"] = account.into();
}

/// A certificate is asked for by whoever asks: the request's author is the request's user. The
/// strategy has removed what the client said about it.
pub(crate) fn requester(target: &Target, object: &mut Value, user: &User) {
    let row = &target.resource;
    if row.group == "certificates.k8s.io" && row.plural == "certificatesigningrequests" {
        object["spec"]["username"] = user.name().into();
        object["spec"]["groups"] = user.groups().into();
        if !user.uid().is_empty() {
            object["spec"]["uid"] = user.uid().into();
        }
        if !user.extra().is_empty() {
            object["spec"]["extra"] = serde_json::json!(user.extra());
        }
    }
}

/// NamespaceLifecycle: some namespaces stay.
///
/// # Errors
/// 403 for those.
pub(crate) fn deletion(target: &Target) -> Result<(), Status> {
    let namespace = target.resource.group.is_empty() && target.resource.plural == "namespaces";
    if namespace && PERMANENT.contains(&target.name.as_str()) {
        let resource = target.resource.group_resource();
        let detail = "this namespace may not be deleted";
        return Err(Status::forbidden(&resource, &target.name, detail));
    }
    Ok(())
}
