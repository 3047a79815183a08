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
use serde_json::Value;
use store::WriteError;

use super::fresh;
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::Request;
use crate::response::{self, Handled, json_bytes};
use crate::writing::{Current, Draft, RETRY_FOR, full_key, shown};

mod options;
mod plan;

pub(crate) use options::DeleteOptions;
use options::Propagation;
use plan::{Action, plan};

/// Deletes an object.
pub(crate) async fn delete(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = DeleteOptions::read(target, request).await?;
    crate::admission::removal_by_node(context, target, &request.user, "delete")?;
    if let Some(detail) = target.resource.strategy.refuses_deletion(&target.name) {
        return Err(Status::forbidden(&target.resource.group_resource(), &target.name, detail));
    }
    let (object, removed) = one(context, target, &options).await?;
    if !removed || target.resource.shows_deleted() {
        return Ok(json_bytes(StatusCode::OK, object));
    }
    let value: Value = serde_json::from_slice(&object).unwrap_or_default();
    let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
    let status = Status::deleted(&target.resource.group_resource(), &target.name, uid);
    Ok(response::json(StatusCode::OK, &status))
}

/// Deletes the target object. Returns what is left of it, and whether it is gone.
pub(crate) async fn one(
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
