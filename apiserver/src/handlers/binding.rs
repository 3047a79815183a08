//! POST of a Binding: the scheduler's decision where a pod runs.
//!
//! Sets `spec.nodeName` once and for all, and the PodScheduled condition with it
//! (k8s.io/kubernetes/pkg/registry/core/pod/storage: assignPod).

use api::field::Path;
use api::resources::{GroupKind, GroupResource};
use api::status::Status;
use http::StatusCode;
use serde_json::Value;

use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::options::WriteOptions;
use crate::request::{Request, payload};
use crate::response::{Handled, json, with_warnings};
use crate::writing::{self, Part, Write, judge};

/// Binds a pod to a node. Serves `pods/NAME/binding` and the older `bindings` alike.
pub(crate) async fn bind(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "CreateOptions")?;
    let row = api::resources::by_path("", "v1", "bindings");
    let row = row.expect("bindings are a row of the built-in table");
    let decoded = payload::read_object(request, row).await?;
    let warnings = judge(row, options.validation, decoded.problems)?;
    let mut binding = decoded.object;
    let pods = context.core("pods");
    let given = binding["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let name = if target.name.is_empty() { given.as_str() } else { target.name.as_str() };
    if !given.is_empty() && given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    check_target(&binding)?;
    let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
    crate::admission::add_topology(context, &node, &mut binding);
    check_metadata(&binding, name)?;
    let pod = Target {
        resource: pods.resource().clone(),
        cache: pods.clone(),
        namespace: target.namespace.clone(),
        name: name.to_owned(),
        query: crate::request::options::Query::parse(""),
    };
    writing::change(context, &pod, Write::new(Part::Raw, &options), |current| {
        bound(&pod, current, &binding)
    })
    .await?;
    let mut status = Status::success(None);
    status["code"] = 201.into();
    Ok(with_warnings(json(StatusCode::CREATED, &status), &warnings))
}

fn check_target(binding: &Value) -> Result<(), Status> {
    let kind = binding["target"]["kind"].as_str().unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        return Err(Status::bad_request(format!(
            "target.kind: Unsupported value: {}: supported values: \"Node\", \"<empty>\"",
            api::field::go_quote(kind)
        )));
    }
    if binding["target"]["name"].as_str().unwrap_or_default().is_empty() {
        // kube-apiserver answers 500 here; a missing field is the client's mistake.
        return Err(Status::bad_request("target.name: Required value"));
    }
    Ok(())
}

/// The pod takes over labels and annotations, past the checks that a pod goes through.
fn check_metadata(binding: &Value, name: &str) -> Result<(), Status> {
    let (metadata, path) = (&binding["metadata"], Path::new("metadata"));
    let mut errors = api::meta::validate_labels(&metadata["labels"], &path.child("labels"));
    let at = path.child("annotations");
    errors.extend(api::meta::validate_annotations(&metadata["annotations"], &at));
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("", "Binding"), name, &errors))
}

fn bound(target: &Target, pod: &Value, binding: &Value) -> Result<Value, Status> {
    let mut new = api::pod::bind(pod, binding, now()).map_err(|error| {
        let binding = GroupResource::new("", "pods/binding");
        Status::conflict(&binding, &target.name, &error.to_string())
    })?;
    // Whether the pod must be at a certain version is for the binding to say.
    match binding["metadata"].get("resourceVersion") {
        Some(version) => new["metadata"]["resourceVersion"] = version.clone(),
        None => api::meta::remove(&mut new["metadata"], "resourceVersion"),
    }
    Ok(new)
}
