//! GET of a collection with `watch=true`: events from a version on.
//!
//! | asked for | what comes first |
//! |---|---|
//! | no `resourceVersion`, or 0 | an ADDED event per object there is |
//! | `resourceVersion=N` | what happened after N; 410 if that is forgotten |
//! | `sendInitialEvents=true` | an ADDED event per object, then a bookmark annotated `k8s.io/initial-events-end` |
//! | `sendInitialEvents=false` | nothing: events from now (or from N) on |
//!
//! Without `resourceVersion`, or with 0, `sendInitialEvents=true` is understood. The bookmarks, that
//! after the initial events too, are for those who say `allowWatchBookmarks=true`: one about each
//! minute, and one shortly before the end.

use std::time::Duration;

use api::protobuf::envelope;
use api::status::Status;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use store::Revision;

use super::show::Shower;
use crate::cacher::encoding::CLOSING;
use crate::cacher::{Filter, Object, Past};
use crate::context::{Context, random};
use crate::dispatch::Target;
use crate::request::negotiate::{Accepted, Form, Media};
use crate::request::options::{ListOptions, Moment};
use crate::response::{Answer, Handled, json_body, protobuf_body};
use crate::server::body::Body;
use crate::server::watch_body::{WatchBody, WatchForm};

/// Watches without `timeoutSeconds` live between this and twice as long, so that they do not all
/// come back at once (kube-apiserver's --min-request-timeout).
const MIN_LIFE: Duration = Duration::from_secs(1800);

/// Starts a watch.
pub(super) async fn watch(
    context: &Context,
    target: &Target,
    options: &ListOptions,
    filter: Filter,
    accepted: Accepted,
) -> Handled {
    let media = accepted.media;
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
        Err(status) => return Ok(answer(media, Body::whole(refused(media, &status)))),
    };
    let (api_version, kind) = match accepted.form {
        Form::Metadata(version) | Form::MetadataList(version) => {
            (version.api_version().to_owned(), "PartialObjectMetadata".to_owned())
        }
        _ => (target.resource.api_version(), target.resource.kind.to_string()),
    };
    let after_initial = (initial == Some(true) && options.bookmarks)
        .then(|| bookmark(media, &kind, &api_version, subscription.revision, true));
    let life = options.timeout.unwrap_or_else(|| MIN_LIFE + MIN_LIFE.mul_f64(unit()));
    let asker = subscription.asker.clone();
    let mut body = WatchBody::new(
        subscription,
        form(target, accepted)?,
        Box::new(move |revision| bookmark(media, &kind, &api_version, revision, false)),
        after_initial,
        life,
        context.stopping.clone(),
    );
    if options.bookmarks {
        let cache = target.cache.clone();
        body = body.with_farewell(life, move || cache.bookmark_for(&asker));
    }
    Ok(answer(media, Body::watch(body)))
}

fn answer(media: Media, body: Body) -> Answer {
    match media {
        Media::Json | Media::Yaml => json_body(StatusCode::OK, body),
        Media::Protobuf => protobuf_body("application/vnd.kubernetes.protobuf;stream=watch", body),
    }
}

/// How the watch shows objects.
fn form(target: &Target, Accepted { form, media }: Accepted) -> Result<WatchForm, Status> {
    let shower = Shower::new(target, form)?;
    Ok(match (shower, media) {
        (None, Media::Json | Media::Yaml) => WatchForm::Object,
        (None, Media::Protobuf) => {
            let resource = target.resource.clone();
            let (api_version, kind) = (resource.api_version(), resource.kind.to_string());
            WatchForm::Framed(Box::new(move |event, object: &Object| {
                let message = object.message(&resource.schema_type);
                let body = envelope::seal(&api_version, &kind, message);
                envelope::watch_frame(event.name(), &body).into()
            }))
        }
        (Some(mut shower), media) => WatchForm::Framed(Box::new(move |event, object: &Object| {
            framed(media, event.name(), &shower.one(object))
        })),
    })
}

/// A watch that begins too far back: 200, and an ERROR event, as clients of watches expect it.
fn refused(media: Media, status: &Status) -> Bytes {
    framed(media, "ERROR", &status.to_value())
}

/// An event around a value.
fn framed(media: Media, event: &str, object: &Value) -> Bytes {
    if media == Media::Protobuf {
        // What is shown in protobuf was negotiated to have that form.
        let body = api::protobuf::write(object).unwrap_or_default();
        return envelope::watch_frame(event, &body).into();
    }
    let mut out = format!("{{\"type\":\"{event}\",\"object\":").into_bytes();
    serde_json::to_writer(&mut out, object).expect("values always encode into memory");
    out.extend_from_slice(CLOSING);
    out.into()
}

/// A BOOKMARK event: an object of the kind with nothing but a version.
fn bookmark(
    media: Media,
    kind: &str,
    api_version: &str,
    revision: Revision,
    initial_end: bool,
) -> Bytes {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if initial_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object: Value = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
    framed(media, "BOOKMARK", &object)
}

/// A random number in 0..1.
fn unit() -> f64 {
    (random() >> 11) as f64 / (1_u64 << 53) as f64
}
