//! DELETE of a collection: every object that a list with the same parameters shows, one after
//! another. With `limit` it is the first page that goes.

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::delete::{self, DeleteOptions};
use super::list;
use super::show::Shower;
use crate::cacher::Filter;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::Request;
use crate::request::negotiate;
use crate::request::options::{ListOptions, Query};
use crate::response::{Handled, json as answer};

/// Deletes what matches and answers with the list of it. Objects that have gone meanwhile are
/// what was wanted.
pub(crate) async fn delete_collection(
    context: &Context,
    target: &Target,
    request: &mut Request,
) -> Handled {
    let accepted = negotiate::accepted(request.header(header::ACCEPT), target.has_protobuf())?;
    let shower = Shower::of_list(target, accepted.form)?;
    let list = ListOptions::parse(&target.query)?;
    let filter = Filter::parse(&target.resource, &list.labels, &list.fields)?;
    let options = DeleteOptions::read(target, request).await?;
    let selected = list::selected(context, target, &list, &filter).await?;
    let mut items = Vec::with_capacity(selected.len());
    for object in selected {
        let each = Target {
            resource: target.resource.clone(),
            cache: target.cache.clone(),
            namespace: target.namespace.clone(),
            name: object.name().to_owned(),
            query: Query::parse(""),
        };
        match delete::one(context, &each, &options).await {
            Ok((object, _)) => {
                items.push(serde_json::from_slice(&object).unwrap_or(Value::Null));
            }
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let meta = json!({"resourceVersion": context.freshness.applied().to_string()});
    if let Some(shower) = shower {
        return Ok(answer(StatusCode::OK, &shower.values(&items, meta)));
    }
    // The kind of the list tells that of its items; custom resources say it themselves.
    for item in items.iter_mut().filter(|_| !target.resource.is_custom()) {
        api::meta::remove(item, "kind");
        api::meta::remove(item, "apiVersion");
    }
    let list = json!({
        "kind": target.resource.list_kind(),
        "apiVersion": target.resource.api_version(),
        "metadata": meta,
        "items": items,
    });
    Ok(answer(StatusCode::OK, &list))
}
