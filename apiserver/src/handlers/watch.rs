//! GET of a collection with `watch=true`: events from a version on.
//!
//! | asked for | what comes first |
//! |---|---|
//! | no `resourceVersion`, or 0 | an ADDED event per object there is |
//! | `resourceVersion=N` | what happened after N; 410 if that is forgotten |
//! | `sendInitialEvents=true` | an ADDED event per object, then a bookmark annotated `k8s.io/initial-events-end` |
//! | `sendInitialEvents=false` | nothing: events from now (or from N) on |

use std::time::Duration;

use api::status::Status;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use store::Revision;

use super::show::Shower;
use crate::cacher::{Filter, Object, Past, Subscription};
use crate::context::{Context, random};
use crate::dispatch::Target;
use crate::request::negotiate::Form;
use crate::request::options::{ListOptions, Moment};
use crate::response::{Handled, json_body};
use crate::server::body::Body;
use crate::server::watch_body::{WatchBody, WatchForm, frame};

/// Watches without `timeoutSeconds` live between this and twice as long, so that they do not all
/// come back at once (kube-apiserver's --min-request-timeout).
const MIN_LIFE: Duration = Duration::from_secs(1800);

/// Starts a watch.
pub(super) async fn watch(
    context: &Context,
    target: &Target,
    options: &ListOptions,
    filter: Filter,
    form: Form,
) -> Handled {
    let initial = options.initial_events;
    let subscription = match options.moment {
        Moment::NotOlderThan(revision) | Moment::Exact(revision) if initial != Some(true) => target
            .cache
            .watch_after(revision, &target.namespace, &filter, options.bookmarks)
            .map_err(|Past::Forgotten { oldest }| {
                Status::too_old_resource_version(revision.0, oldest.0)
            }),
        moment => {
            match moment {
                Moment::Consistent => context.freshness.consistent().await?,
                Moment::NotOlderThan(revision) => context.freshness.at_least(revision).await?,
                Moment::Any | Moment::Exact(_) => context.freshness.any().await?,
            }
            let send = initial != Some(false);
            Ok(target.cache.watch_from_now(&target.namespace, &filter, options.bookmarks, send))
        }
    };
    let subscription = match subscription {
        Ok(subscription) => subscription,
        Err(status) => return Ok(refused(&status)),
    };
    let kind = target.resource.kind.to_string();
    let api_version = target.resource.api_version();
    let after_initial = (initial == Some(true) && options.bookmarks)
        .then(|| bookmark(&kind, &api_version, subscription.revision, true));
    let life = options.timeout.unwrap_or_else(|| MIN_LIFE + MIN_LIFE.mul_f64(unit()));
    let body = body(context, target, form, subscription, (kind, api_version), after_initial, life)?;
    Ok(json_body(StatusCode::OK, Body::watch(body)))
}

fn body(
    context: &Context,
    target: &Target,
    form: Form,
    subscription: Subscription,
    (kind, api_version): (String, String),
    after_initial: Option<Bytes>,
    life: Duration,
) -> Result<WatchBody, Status> {
    let form = match Shower::new(target, form)? {
        None => WatchForm::Object,
        Some(mut shower) => WatchForm::Shown(Box::new(move |object: &Object| shower.one(object))),
    };
    Ok(WatchBody::new(
        subscription,
        form,
        Box::new(move |revision| bookmark(&kind, &api_version, revision, false)),
        after_initial,
        life,
        context.stopping.clone(),
    ))
}

/// A watch that begins too far back: 200, and an ERROR event, as clients of watches expect it.
fn refused(status: &Status) -> crate::response::Answer {
    json_body(
        StatusCode::OK,
        Body::whole(frame(b"{\"type\":\"ERROR\",\"object\":", &status.to_value())),
    )
}

/// A BOOKMARK event: an object of the kind with nothing but a version.
fn bookmark(kind: &str, api_version: &str, revision: Revision, initial_end: bool) -> Bytes {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if initial_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object: Value = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
    frame(b"{\"type\":\"BOOKMARK\",\"object\":", &object)
}

/// A random number in 0..1.
fn unit() -> f64 {
    (random() >> 11) as f64 / (1_u64 << 53) as f64
}
