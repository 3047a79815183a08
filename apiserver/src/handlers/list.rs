//! GET of a collection: all of it, or a page, now or at a version.
//!
//! What `resourceVersion`, `resourceVersionMatch`, `limit` and `continue` mean together is
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list>.
//! Every page of a list shows the same moment: the cache rebuilds it from its window. When the
//! window has moved past it, the client gets 410 with a token that continues inconsistently.

use std::sync::Arc;

use api::status::Status;
use http::{StatusCode, header};
use serde_json::{Map, Value, json};
use store::Revision;

use super::page_token::PageToken;
use super::show::Shower;
use crate::cacher::{Filter, Object, Past, Snapshot};
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::Request;
use crate::request::negotiate::{self, Media};
use crate::request::options::{ListOptions, Moment};
use crate::response::{self, Answer, Handled, json_body, protobuf_body};
use crate::server::body::Body;
use crate::server::list_body::ListBody;

/// Answers with a list, or starts a watch when `watch=true`.
pub(crate) async fn list(context: &Context, target: &Target, request: &Request) -> Handled {
    let options = ListOptions::parse(&target.query)?;
    let filter = Filter::parse(&target.resource, &options.labels, &options.fields)?;
    let (accept, protobuf) = (request.header(header::ACCEPT), target.has_protobuf());
    if options.watch {
        let accepted = negotiate::accepted_stream(accept, protobuf)?;
        return super::watch::watch(context, target, &options, filter, accepted).await;
    }
    let accepted = negotiate::accepted(accept, protobuf)?;
    let (snapshot, start) = match moment(context, target, &options).await? {
        Found::Moment(snapshot, start) => (snapshot, start),
        Found::Expired(token) => return Ok(expired(&token)),
    };
    let page = page(&snapshot, &target.namespace, &filter, start.as_deref(), options.limit);
    let consistent = !continues_inconsistently(&options);
    let meta = page.metadata(consistent.then_some(snapshot.revision), snapshot.revision);
    match Shower::of_list(target, accepted.form)? {
        Some(shower) => {
            Ok(response::json(StatusCode::OK, &shower.list(&page.items, Value::Object(meta))))
        }
        None if accepted.media == Media::Protobuf => {
            encode(target, &page.items).await;
            let resource = target.resource.clone();
            let list = ListBody::protobuf(resource, &Value::Object(meta), page.items);
            Ok(protobuf_body(api::protobuf::MEDIA_TYPE, Body::list(list)))
        }
        // Nobody reads YAML in amounts that would have to be sent piece by piece.
        None if accepted.media == Media::Yaml => {
            let bare = |object: &Arc<Object>| {
                let mut item = object.encoded().parse();
                if !target.resource.is_custom() {
                    api::meta::remove(&mut item, "kind");
                    api::meta::remove(&mut item, "apiVersion");
                }
                item
            };
            let list = json!({
                "kind": target.resource.list_kind(), "apiVersion": target.resource.api_version(),
                "metadata": meta, "items": page.items.iter().map(bare).collect::<Vec<_>>(),
            });
            Ok(response::json(StatusCode::OK, &list))
        }
        None => {
            let head = format!(
                "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{},\"items\":[",
                target.resource.list_kind(),
                target.resource.api_version(),
                Value::Object(meta),
            );
            let body = Body::list(ListBody::new(&target.resource, head.into(), page.items));
            Ok(json_body(StatusCode::OK, body))
        }
    }
}

/// The objects that a list with these options shows, for who acts on them.
///
/// # Errors
/// Those of a list.
pub(super) async fn selected(
    context: &Context,
    target: &Target,
    options: &ListOptions,
    filter: &Filter,
) -> Result<Vec<Arc<Object>>, Status> {
    match moment(context, target, options).await? {
        Found::Moment(snapshot, start) => {
            let page = page(&snapshot, &target.namespace, filter, start.as_deref(), options.limit);
            Ok(page.items)
        }
        Found::Expired(_) => Err(Status::continue_expired()),
    }
}

/// Encodes objects that have not been shown in protobuf before, and lets others work in between:
/// the first list of thousands of objects takes a while.
async fn encode(target: &Target, items: &[Arc<Object>]) {
    const TURN: usize = 50;
    for turn in items.chunks(TURN) {
        for object in turn {
            object.message(&target.resource.schema_type);
        }
        tokio::task::yield_now().await;
    }
}

/// What a list is made from, or the answer if that is no more.
enum Found {
    /// The snapshot, and the key from which to begin.
    Moment(Snapshot, Option<String>),
    /// The moment of a continued list is forgotten.
    Expired(PageToken),
}

/// Finds the snapshot that the options ask for.
async fn moment(
    context: &Context,
    target: &Target,
    options: &ListOptions,
) -> Result<Found, Status> {
    if !options.continue_token.is_empty() {
        let token = PageToken::decode(&options.continue_token)?;
        let snapshot = match token.revision {
            None => {
                context.freshness.consistent().await?;
                target.cache.now()
            }
            Some(revision) => {
                context.freshness.at_least(revision).await?;
                match target.cache.at(revision) {
                    Ok(snapshot) => snapshot,
                    Err(Past::Forgotten { .. }) => {
                        return Ok(Found::Expired(PageToken { revision: None, ..token }));
                    }
                }
            }
        };
        return Ok(Found::Moment(snapshot, Some(token.start)));
    }
    let snapshot = match options.moment {
        Moment::Any => {
            context.freshness.any().await?;
            target.cache.now()
        }
        Moment::Consistent => {
            context.freshness.consistent().await?;
            target.cache.now()
        }
        Moment::NotOlderThan(revision) => {
            context.freshness.at_least(revision).await?;
            target.cache.now()
        }
        Moment::Exact(revision) => {
            context.freshness.at_least(revision).await?;
            target.cache.at(revision).map_err(|Past::Forgotten { oldest }| {
                Status::too_old_resource_version(revision.0, oldest.0)
            })?
        }
    };
    Ok(Found::Moment(snapshot, None))
}

/// 410 with a token that continues with what is there now.
fn expired(token: &PageToken) -> Answer {
    let status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted between \
         the time the first chunk was returned and now may show up in the list.",
    );
    let mut value = status.to_value();
    value["metadata"]["continue"] = token.encode().into();
    response::json(StatusCode::GONE, &value)
}

fn continues_inconsistently(options: &ListOptions) -> bool {
    !options.continue_token.is_empty()
        && PageToken::decode(&options.continue_token).is_ok_and(|token| token.revision.is_none())
}

/// The objects of a page and what follows them.
struct Page {
    items: Vec<Arc<Object>>,
    /// Whether there are more.
    more: bool,
    /// How many more, where that is known without looking at them.
    remaining: Option<usize>,
}

impl Page {
    fn metadata(&self, continued_at: Option<Revision>, revision: Revision) -> Map<String, Value> {
        let mut meta = Map::new();
        meta.insert("resourceVersion".into(), revision.to_string().into());
        if self.more
            && let Some(last) = self.items.last()
        {
            let token = PageToken::after(last.key(), continued_at);
            meta.insert("continue".into(), token.encode().into());
            if let Some(remaining) = self.remaining {
                meta.insert("remainingItemCount".into(), remaining.into());
            }
        }
        meta
    }
}

/// Cuts a page out of a snapshot.
fn page(
    snapshot: &Snapshot,
    namespace: &str,
    filter: &Filter,
    start: Option<&str>,
    limit: Option<usize>,
) -> Page {
    let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    // A name decides everything: no need to look at the others.
    if let Some(name) = filter.required_name()
        && (!namespace.is_empty() || !snapshot_is_namespaced(snapshot))
        && start.is_none()
    {
        let found = snapshot.objects.get(&format!("{prefix}{name}"));
        let items: Vec<_> =
            found.filter(|object| filter.matches(object)).cloned().into_iter().collect();
        return Page { items, more: false, remaining: None };
    }
    let start = start.filter(|start| *start > prefix.as_str()).unwrap_or(&prefix);
    let mut selected = snapshot
        .objects
        .from(start)
        .take_while(|object| object.key().starts_with(&prefix))
        .filter(|object| filter.matches(object));
    let Some(limit) = limit else {
        return Page { items: selected.cloned().collect(), more: false, remaining: None };
    };
    let items: Vec<_> = selected.by_ref().take(limit).cloned().collect();
    let next = selected.next().map(|object| object.key().to_owned());
    let remaining = next.as_ref().filter(|_| filter.is_everything()).map(|next| {
        let end = if prefix.is_empty() {
            snapshot.objects.len()
        } else {
            // '0' follows '/' in ASCII: the first key behind the namespace.
            snapshot.objects.rank(&format!("{namespace}0"))
        };
        end.saturating_sub(snapshot.objects.rank(next))
    });
    Page { items, more: next.is_some(), remaining }
}

/// Keys of namespaced resources have a slash; all keys of a resource are alike.
fn snapshot_is_namespaced(snapshot: &Snapshot) -> bool {
    snapshot.objects.iter().next().is_some_and(|object| object.key().contains('/'))
}
