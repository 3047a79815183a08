//! PUT of a namespace's `/finalize`: the namespace controller says that it has emptied it.
//!
//! Only `spec.finalizers` is taken. When a deleted namespace has none left it goes.

use api::status::Status;
use http::StatusCode;
use serde_json::Value;

use crate::context::Context;
use crate::dispatch::Target;
use crate::request::Request;
use crate::request::options::WriteOptions;
use crate::response::Handled;
use crate::writing::{self, Part, Write, answered};

/// Replaces the finalizers.
pub(super) async fn update(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "UpdateOptions")?;
    let (object, problems) = super::update::read(target, request, &options).await?;
    let write = Write::new(Part::Finalize, &options);
    let written = writing::change(context, target, write, |current| {
        let new = finalized(current, &object);
        let errors = target.resource.strategy.validate(&new);
        if errors.is_empty() {
            return Ok(new);
        }
        Err(Status::invalid(&target.resource.group_kind(), &target.name, &errors))
    })
    .await;
    answered(written, StatusCode::OK, &problems)
}

fn finalized(current: &Value, sent: &Value) -> Value {
    let mut new = current.clone();
    // What was sent decides about the version to compare with.
    match sent["metadata"].get("resourceVersion") {
        Some(version) => new["metadata"]["resourceVersion"] = version.clone(),
        None => api::meta::remove(&mut new["metadata"], "resourceVersion"),
    }
    api::meta::ensure(&mut new);
    if !new["spec"].is_object() {
        new["spec"] = serde_json::json!({});
    }
    match sent["spec"]["finalizers"].as_array() {
        Some(finalizers) if !finalizers.is_empty() => {
            new["spec"]["finalizers"] = finalizers.clone().into();
        }
        _ => api::meta::remove(&mut new["spec"], "finalizers"),
    }
    new
}
