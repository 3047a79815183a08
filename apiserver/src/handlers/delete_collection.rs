//! DELETE of a collection: every object that the selectors match, one after another.

use http::StatusCode;
use serde_json::json;

use super::delete::{self, DeleteOptions};
use crate::cacher::Filter;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::Request;
use crate::request::options::{ListOptions, Query};
use crate::response::{Handled, json};

/// Deletes what matches and answers with the list of it. Objects that have gone meanwhile are
/// what was wanted.
pub(crate) async fn delete_collection(
    context: &Context,
    target: &Target,
    request: &mut Request,
) -> Handled {
    let list = ListOptions::parse(&target.query)?;
    let filter = Filter::parse(&target.resource, &list.labels, &list.fields)?;
    let options = DeleteOptions::read(target, request).await?;
    context.freshness.consistent().await?;
    let snapshot = target.cache.now();
    let names: Vec<_> = crate::cacher::select(&snapshot.objects, &target.namespace, &filter)
        .map(|object| object.name().to_owned())
        .collect();
    let mut items = Vec::with_capacity(names.len());
    for name in names {
        let each = Target {
            resource: target.resource.clone(),
            cache: target.cache.clone(),
            namespace: target.namespace.clone(),
            name,
            query: Query::parse(""),
        };
        match delete::one(context, &each, &options).await {
            Ok((object, _)) => {
                items.push(serde_json::from_slice(&object).unwrap_or(serde_json::Value::Null));
            }
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let list = json!({
        "kind": target.resource.list_kind(),
        "apiVersion": target.resource.api_version(),
        "metadata": {"resourceVersion": context.freshness.applied().to_string()},
        "items": items,
    });
    Ok(json(StatusCode::OK, &list))
}
