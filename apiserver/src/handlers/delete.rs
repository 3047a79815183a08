//! DELETE of one object: at once, after a grace period, or when its finalizers are done.
//!
//! What it comes to is decided in [`plan`]:
//!
//! - a graceful deletion stamps `deletionTimestamp` (the end of the grace period) and leaves the
//!   object to whoever ends it (the node agent) to delete again with grace 0;
//! - finalizers keep a deleted object until they have been removed, one by one, by their owners;
//! - `propagationPolicy` becomes a finalizer that the garbage collector acts on: `Foreground` is
//!   `foregroundDeletion`, `Orphan` is `orphan`, `Background` is none.

use std::time::Instant;

use api::status::Status;
use http::StatusCode;
use serde_json::{Value, json};
use store::WriteError;

use super::fresh;
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::{Request, payload};
use crate::response::{self, Handled, json_bytes};
use crate::writing::{Current, Draft, RETRY_FOR, full_key, shown};

mod plan;

use plan::{Action, plan};

/// Resources whose deletion answers with the object; others answer with a Status.
const RETURN_OBJECT: &[&str] = &["pods", "services", "serviceaccounts"];

/// What to do with the object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// The parameters of a deletion, from the body and the query.
#[derive(Clone, Debug, Default)]
pub(super) struct DeleteOptions {
    grace: Option<i64>,
    propagation: Option<Propagation>,
    uid: Option<String>,
    version: Option<String>,
    dry_run: bool,
}

impl DeleteOptions {
    /// Reads the options; those in the body win.
    ///
    /// # Errors
    /// 400 for a body that is no DeleteOptions and a grace period that is no number, 422 for values
    /// that do not exist.
    pub(super) async fn read(
        target: &Target,
        request: &mut Request,
    ) -> Result<DeleteOptions, Status> {
        let body = payload::read_json(request).await?;
        let sent: Value = if body.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(&body).map_err(|error| {
                Status::bad_request(format!("cannot read DeleteOptions: {error}"))
            })?
        };
        Self::parse(target, &sent)
    }

    /// Reads options that came as a part of something else; null is none.
    ///
    /// # Errors
    /// Those of [`DeleteOptions::read`].
    pub(super) fn parse(target: &Target, sent: &Value) -> Result<DeleteOptions, Status> {
        let none = json!({});
        let sent = if sent.is_null() { &none } else { sent };
        if !sent.is_object() || !matches!(sent["kind"].as_str(), None | Some("DeleteOptions")) {
            return Err(Status::bad_request("the body of a DELETE must be a DeleteOptions"));
        }
        let query = &target.query;
        let text = |field: &str| {
            let sent = sent[field].as_str().map(str::to_owned);
            sent.or_else(|| Some(query.get(field).to_owned())).filter(|text| !text.is_empty())
        };
        let propagation = match text("propagationPolicy").as_deref() {
            None => match sent["orphanDependents"].as_bool() {
                None => None,
                Some(true) => Some(Propagation::Orphan),
                Some(false) => Some(Propagation::Background),
            },
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => return Err(unsupported("propagationPolicy", other)),
        };
        let precondition = |field: &str| sent["preconditions"][field].as_str().map(str::to_owned);
        let dry_run = match sent["dryRun"][0].as_str().unwrap_or(query.get("dryRun")) {
            "" => false,
            "All" => true,
            other => return Err(unsupported("dryRun", other)),
        };
        let grace = match sent["gracePeriodSeconds"].as_i64() {
            Some(grace) => Some(grace),
            None => query.number("gracePeriodSeconds")?,
        };
        Ok(DeleteOptions {
            // Less than nothing is a second (k8s.io/apiserver/pkg/registry/rest/delete.go).
            grace: grace.map(|grace| if grace < 0 { 1 } else { grace }),
            propagation,
            uid: precondition("uid"),
            version: precondition("resourceVersion"),
            dry_run,
        })
    }

    /// Whether everything but the deletion itself is wanted.
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// From now on it is the object of that UID that is meant, in whatever version.
    pub(super) fn pin(&mut self, uid: &str) {
        self.uid = Some(uid.to_owned());
        self.version = None;
    }

    /// Checks that the object is the one that is meant.
    ///
    /// # Errors
    /// 409 for another UID or resourceVersion than the preconditions ask for.
    pub(super) fn check(&self, target: &Target, object: &Value) -> Result<(), Status> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let (uid, version) = (text("uid"), text("resourceVersion"));
        if let Some(wanted) = self.uid.as_deref().filter(|wanted| *wanted != uid) {
            let kind = target.resource.group_kind();
            return Err(Status::uid_conflict(&kind, &target.name, wanted, uid));
        }
        if let Some(wanted) = self.version.as_deref().filter(|wanted| *wanted != version) {
            let kind = target.resource.group_kind();
            let resource = api::resources::GroupResource::new(kind.group, kind.kind);
            return Err(Status::conflict(
                &resource,
                &target.name,
                &format!(
                    "the ResourceVersion in the precondition ({wanted}) does not match the \
                     ResourceVersion in record ({version}). The object might have been modified"
                ),
            ));
        }
        Ok(())
    }
}

fn unsupported(field: &str, value: &str) -> Status {
    let kind = api::resources::GroupKind::new("meta.k8s.io", "DeleteOptions");
    let supported: &[&str] =
        if field == "dryRun" { &["All"] } else { &["Background", "Foreground", "Orphan"] };
    let path = api::field::Path::new(field);
    let error = api::field::FieldError::not_supported(&path, value, supported);
    Status::invalid(&kind, "", &[error])
}

/// Deletes an object.
pub(crate) async fn delete(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = DeleteOptions::read(target, request).await?;
    let (object, removed) = one(context, target, &options).await?;
    let value: Value = serde_json::from_slice(&object).unwrap_or_default();
    let whole = !removed
        || (target.resource.group.is_empty()
            && RETURN_OBJECT.contains(&target.resource.plural.as_ref()));
    if whole {
        return Ok(json_bytes(StatusCode::OK, object));
    }
    let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
    let status = Status::deleted(&target.resource.group_resource(), &target.name, uid);
    Ok(response::json(StatusCode::OK, &status))
}

/// Deletes the target object. Returns what is left of it, and whether it is gone.
pub(super) async fn one(
    context: &Context,
    target: &Target,
    options: &DeleteOptions,
) -> Result<(bytes::Bytes, bool), Status> {
    let key = full_key(target, &target.name);
    crate::admission::deletion(target)?;
    let mut current = Current::cached(&fresh(context, target).await?);
    let end = Instant::now() + RETRY_FOR;
    while Instant::now() < end {
        options.check(target, &current.object)?;
        let action = plan(&target.resource, &current.object, options, now());
        let outcome = match action {
            Action::Nothing => return Ok((shown(&current.object, current.revision), false)),
            Action::Keep(new) if options.dry_run => {
                return Ok((shown(&new, current.revision), false));
            }
            Action::Remove(new) if options.dry_run => {
                return Ok((shown(&new, current.revision), true));
            }
            Action::Keep(new) => {
                let draft = Draft::new(&target.resource, &new);
                let stored = draft.stored.clone();
                let updated = context.store.update(&key, stored, current.revision).await;
                updated.map(|revision| (draft.shown(revision), false))
            }
            Action::Remove(new) => {
                let removed = context.store.delete(&key, current.revision).await;
                if removed.is_ok() {
                    context.allocators.release_all(target, &current.object).await;
                }
                removed.map(|revision| (shown(&new, revision), true))
            }
        };
        match outcome {
            Ok(done) => return Ok(done),
            Err(WriteError::Conflict { current: Some(item) }) => {
                current = Current::read(&target.resource, &item);
            }
            Err(WriteError::Conflict { current: None }) => return Err(target.not_found()),
            Err(error) => return Err(response::store_write(&error)),
        }
    }
    Err(Status::modified(&target.resource.group_resource(), &target.name))
}
