//! GET of ComponentStatuses: the health of what the API server depends on, asked when it is read.
//!
//! Kubernetes asks the scheduler, the controllers and etcd under addresses that it assumes; it has
//! called the kind deprecated since. This server says what it can know: whether its store answers,
//! under the name by which clients know the store.

use api::selector::{FieldSelector, LabelSelector};
use api::status::Status;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::show::Shower;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::options::ListOptions;
use crate::request::{Request, negotiate};
use crate::response::{Handled, json as answer};

/// The store.
const STORE: &str = "etcd-0";

/// One of them.
pub(crate) async fn get(context: &Context, target: &Target, request: &Request) -> Handled {
    let form = negotiate::accepted(request.header(header::ACCEPT), target.has_protobuf())?.form;
    let all = statuses(context).await;
    let found = all.into_iter().find(|status| status["metadata"]["name"] == *target.name);
    let mut status = found.ok_or_else(|| target.not_found())?;
    let shown = match Shower::of_one(target, form)? {
        Some(shower) if matches!(form, negotiate::Form::Table(_)) => {
            shower.values(&[status], json!({}))
        }
        Some(shower) => shower.partial(&status),
        None => {
            status["kind"] = "ComponentStatus".into();
            status["apiVersion"] = "v1".into();
            status
        }
    };
    Ok(answer(StatusCode::OK, &shown))
}

/// All of them.
pub(crate) async fn list(context: &Context, target: &Target, request: &Request) -> Handled {
    let form = negotiate::accepted(request.header(header::ACCEPT), target.has_protobuf())?.form;
    let options = ListOptions::parse(&target.query)?;
    if options.watch {
        return Err(Status::method_not_allowed());
    }
    let bad = |error: api::selector::SelectorError| Status::bad_request(error.to_string());
    let labels = LabelSelector::parse(&options.labels).map_err(bad)?;
    let fields = FieldSelector::parse_for(&target.resource, &options.fields).map_err(bad)?;
    let mut all = statuses(context).await;
    all.retain(|status| labels.matches_object(status) && fields.matches(&target.resource, status));
    let shown = match Shower::of_list(target, form)? {
        Some(shower) => shower.values(&all, json!({})),
        None => json!({
            "kind": target.resource.list_kind(), "apiVersion": "v1", "metadata": {}, "items": all,
        }),
    };
    Ok(answer(StatusCode::OK, &shown))
}

async fn statuses(context: &Context) -> Vec<Value> {
    let health = context.store_probe.ask(&context.store).await;
    vec![status(STORE, health)]
}

fn status(name: &str, health: Result<(), String>) -> Value {
    let condition = match health {
        Ok(()) => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        Err(error) => json!({"type": "Healthy", "status": "False", "error": error}),
    };
    json!({"metadata": {"name": name}, "conditions": [condition]})
}
