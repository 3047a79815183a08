//! The common part of everything that changes an object: read it, change it, check it, compare
//! and set it, and start over if somebody was faster.

mod part;
mod problems;

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::lifecycle;
use api::resources::{GroupKind, Resource};
use api::status::Status;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use store::{KeyValue, Revision, WriteError};

use crate::admission::quota;
use crate::cacher::EventType;
use crate::cacher::Object;
use crate::cacher::encoding::{Encoded, stored};
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::handlers::fresh;
use crate::response::{self, Answer, Handled, json_bytes, with_warnings};

pub(crate) use part::{Part, Write};
pub(crate) use problems::{dedup_owners, judge, judge_kind, told, warnings};

/// For how long an update without a resourceVersion is tried again after somebody else's. Each
/// round somebody gets through, so this ends; the bound is for a client that has long gone.
pub(crate) const RETRY_FOR: Duration = Duration::from_secs(30);

/// An object as it is in the store, with its resourceVersion.
pub(crate) struct Current {
    /// The object.
    pub(crate) object: Value,
    /// What an update or deletion expects.
    pub(crate) revision: Revision,
}

impl Current {
    /// From the cache.
    pub(crate) fn cached(object: &Arc<Object>) -> Current {
        Current { object: object.encoded().parse(), revision: object.revision() }
    }

    /// From the store, as a conflict reports it.
    pub(crate) fn read(resource: &Resource, item: &KeyValue) -> Current {
        let parsed: Value = serde_json::from_slice(&item.value).unwrap_or_default();
        let mut object = resource.strategy.from_stored(parsed);
        object["metadata"]["resourceVersion"] = item.mod_revision.to_string().into();
        Current { object, revision: item.mod_revision }
    }
}

/// What a write came to.
pub(crate) struct Written {
    /// The object as it is now.
    pub(crate) bytes: Bytes,
    /// What there is to say about it.
    pub(crate) warnings: Vec<String>,
}

impl Written {
    /// The object as an answer; `problems` are those of the body.
    pub(crate) fn answer(self, code: StatusCode, problems: &[String]) -> Answer {
        with_warnings(json_bytes(code, self.bytes), &[problems, &self.warnings].concat())
    }

    fn new(bytes: Bytes) -> Written {
        Written { bytes, warnings: Vec::new() }
    }
}

/// An object encoded once for both the store and the answer; a view of another row's objects is
/// stored in that row's form.
pub(crate) struct Draft {
    /// What is stored.
    pub(crate) stored: Bytes,
    own: Bytes,
}

impl Draft {
    /// Encodes an object.
    pub(crate) fn new(resource: &Resource, object: &Value) -> Draft {
        let own = stored(object);
        let stored = if resource.is_view() {
            stored(&resource.strategy.to_stored(object.clone()))
        } else {
            own.clone()
        };
        Draft { stored, own }
    }

    /// The object as a client is shown it, under the revision that it got.
    pub(crate) fn shown(&self, revision: Revision) -> Bytes {
        Encoded::new(EventType::Modified, &self.own, revision).object()
    }
}

/// The bytes of an answer: the object with its version.
pub(crate) fn shown(object: &Value, revision: Revision) -> Bytes {
    Encoded::new(EventType::Modified, &stored(object), revision).object()
}

/// The store's key of an object of the target's resource.
pub(crate) fn full_key(target: &Target, name: &str) -> String {
    format!("{}{}", target.cache.prefix(), target.key_of(name))
}

/// Changes the target object by `change`, which gets the current object and returns the new one.
///
/// If the new object carries a resourceVersion, it must be the current one; without one the change
/// is tried again on whatever is current.
///
/// # Errors
/// 404, 409 with Kubernetes' words, whatever `change` and the strategy refuse, 503 for the store.
pub(crate) async fn change(
    context: &Context,
    target: &Target,
    write: Write<'_>,
    mut change: impl FnMut(&Value) -> Result<Value, Status>,
) -> Result<Written, Status> {
    let dry_run = write.dry_run();
    let mut current = Current::cached(&fresh(context, target).await?);
    let key = full_key(target, &target.name);
    let end = Instant::now() + RETRY_FOR;
    let mut costs = quota::counts_change(target, write.part());
    while Instant::now() < end {
        let mut new = change(&current.object)?;
        check_version(target, write.part(), &new, &current)?;
        write.track(&target.resource, &current.object, &mut new);
        prepare(target, write.part(), &mut new, &current.object)?;
        let warnings = warnings(&target.resource, write.part(), &new, &current.object);
        if costs {
            quota::charge(context, target, &new, &current.object, dry_run).await?;
            // Another round costs no more.
            costs = false;
        }
        let allocated = match write.part() {
            Part::Main => {
                context.allocators.update(target, &mut new, &current.object, dry_run).await?
            }
            _ => Default::default(),
        };
        let outcome = store(context, target, &key, new, &current, dry_run).await;
        match outcome {
            Ok(Some(written)) => {
                allocated.keep();
                if !dry_run {
                    let old = &current.object;
                    context.allocators.release_unused(target, old, &written.bytes).await;
                }
                return Ok(Written { warnings, ..written });
            }
            Ok(None) => return Err(target.not_found()),
            Err(Retry::With(again)) => {
                allocated.undo(&context.allocators).await;
                current = again;
            }
            Err(Retry::No(status)) => {
                allocated.undo(&context.allocators).await;
                return Err(status);
            }
            Err(Retry::Unknown(status)) => {
                // The object may have been written, and own what was allocated.
                allocated.keep();
                return Err(status);
            }
        }
    }
    Err(Status::modified(&target.resource.group_resource(), &target.name))
}

/// Whether to try again.
enum Retry {
    With(Current),
    No(Status),
    /// The write may have happened.
    Unknown(Status),
}

/// Writes, removes, or finds that nothing has changed. `None`: the object is gone.
async fn store(
    context: &Context,
    target: &Target,
    key: &str,
    new: Value,
    current: &Current,
    dry_run: bool,
) -> Result<Option<Written>, Retry> {
    let removed = gone(&new);
    if !removed && same(&new, &current.object) {
        let bytes = shown(&current.object, current.revision);
        return Ok(Some(Written::new(bytes)));
    }
    if dry_run {
        let bytes = shown(&new, current.revision);
        return Ok(Some(Written::new(bytes)));
    }
    let draft = Draft::new(&target.resource, &new);
    let wrote = if removed {
        context.store.delete(key, current.revision).await
    } else {
        context.store.update(key, draft.stored.clone(), current.revision).await
    };
    match wrote {
        Ok(revision) => Ok(Some(Written::new(draft.shown(revision)))),
        Err(WriteError::Conflict { current: Some(item) }) => {
            Err(Retry::With(Current::read(&target.resource, &item)))
        }
        Err(WriteError::Conflict { current: None }) => Ok(None),
        Err(error @ WriteError::Unknown { .. }) => {
            Err(Retry::Unknown(response::store_write(&error)))
        }
        Err(error) => Err(Retry::No(response::store_write(&error))),
    }
}

fn check_version(
    target: &Target,
    part: Part,
    new: &Value,
    current: &Current,
) -> Result<(), Status> {
    let metadata = &new["metadata"];
    let resource = target.resource.group_resource();
    let uid = metadata["uid"].as_str().unwrap_or_default();
    let have = current.object["metadata"]["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() && uid != have {
        return Err(Status::uid_precondition(&resource, &target.name, uid, have));
    }
    let version = metadata["resourceVersion"].as_str().unwrap_or_default();
    let asked = written_version(version)?.filter(|version| version.0 != 0);
    match asked {
        Some(asked) if asked != current.revision => {
            return Err(Status::modified(&resource, &target.name));
        }
        // A Scale is a small part of the object, and says so when it must be up to date.
        None if part != Part::Scale && !target.resource.strategy.allows_unconditional_update() => {
            let path = api::field::Path::new("metadata").child("resourceVersion");
            let error =
                api::field::FieldError::invalid(&path, 0, "must be specified for an update");
            // Kubernetes names the resource here, where it otherwise names the kind.
            let kind = GroupKind::new(resource.group.clone(), resource.resource.clone());
            return Err(Status::invalid(&kind, &target.name, &[error]));
        }
        _ => {}
    }
    Ok(())
}

/// The version that an object says it is a change of. What is no number is, to Kubernetes, an error
/// that it does not classify.
fn written_version(version: &str) -> Result<Option<Revision>, Status> {
    crate::request::options::read_version(version).map_err(Status::unclassified)
}

fn prepare(target: &Target, part: Part, new: &mut Value, old: &Value) -> Result<(), Status> {
    match part {
        Part::Main | Part::Scale => lifecycle::before_update(&target.resource, new, old),
        Part::Status => {
            target.resource.strategy.stamp_status(new, old, now());
            lifecycle::before_status_update(&target.resource, new, old)
        }
        Part::Subresource(name) => {
            target.resource.strategy.stamp_status(new, old, now());
            lifecycle::before_subresource_update(&target.resource, name, new, old)
        }
        Part::Finalize | Part::Raw => Ok(()),
    }
}

/// Whether two versions differ in nothing but their resourceVersion, and in when their managers
/// last wrote: a write that changes nothing is none.
fn same(new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else { return new == old };
    new.len() == old.len()
        && new.iter().all(|(key, value)| match old.get(key) {
            Some(had) if key == "metadata" => value == had || same_metadata(value, had),
            Some(had) => value == had,
            None => false,
        })
}

fn same_metadata(new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else { return false };
    let known = |key: &String| key != "resourceVersion";
    new.keys().filter(|key| known(key)).eq(old.keys().filter(|key| known(key)))
        && new.iter().filter(|(key, _)| known(key)).all(|(key, value)| match old.get(key) {
            Some(had) if key == "managedFields" => same_managers(value, had),
            had => had == Some(value),
        })
}

fn same_managers(new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_array(), old.as_array()) else { return false };
    let timeless = |entry: &Value| {
        let mut entry = entry.clone();
        api::meta::remove(&mut entry, "time");
        entry
    };
    new.len() == old.len()
        && new.iter().zip(old).all(|(new, old)| new == old || timeless(new) == timeless(old))
}

/// Whether nothing keeps a deleted object any more: no grace period, no finalizer.
pub(crate) fn gone(object: &Value) -> bool {
    let metadata = &object["metadata"];
    metadata["deletionTimestamp"].is_string()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && is_empty(&metadata["finalizers"])
        && (object["kind"] != "Namespace" || is_empty(&object["spec"]["finalizers"]))
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

/// The answer to a write, as handlers end. What is odd about the body (`problems`) is told whatever came
/// of it.
pub(crate) fn answered(
    outcome: Result<Written, Status>,
    code: StatusCode,
    problems: &[String],
) -> Handled {
    Ok(match outcome {
        Ok(written) => written.answer(code, problems),
        Err(status) => with_warnings(response::refusal(&status), problems),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_keeps_an_object() {
        for (object, want) in [
            (json!({"metadata": {}}), false),
            (json!({"metadata": {"deletionTimestamp": "t"}}), true),
            (
                json!({"metadata": {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 0}}),
                true,
            ),
            (
                json!({"metadata": {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 30}}),
                false,
            ),
            (json!({"metadata": {"deletionTimestamp": "t", "finalizers": ["a/b"]}}), false),
            (
                json!({"kind": "Namespace", "metadata": {"deletionTimestamp": "t"},
                       "spec": {"finalizers": ["kubernetes"]}}),
                false,
            ),
            (
                json!({"kind": "Namespace", "metadata": {"deletionTimestamp": "t"},
                       "spec": {"finalizers": []}}),
                true,
            ),
        ] {
            assert_eq!(gone(&object), want, "{object}");
        }
    }

    #[test]
    fn the_version_alone_is_no_change() {
        let a = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "data": {"x": "1"}});
        let mut b = a.clone();
        b["metadata"]["resourceVersion"] = json!("2");
        assert!(same(&a, &b));
        let managed =
            |time: &str| json!([{"manager": "m", "time": time, "fieldsV1": {"f:data": {}}}]);
        let (mut early, mut late) = (a.clone(), a.clone());
        early["metadata"]["managedFields"] = managed("2024-01-01T00:00:00Z");
        late["metadata"]["managedFields"] = managed("2025-01-01T00:00:00Z");
        assert!(same(&early, &late) && !same(&a, &late) && !same(&late, &a));
        late["metadata"]["managedFields"][0]["manager"] = json!("n");
        assert!(!same(&early, &late));
        b["metadata"]["labels"] = json!({"x": "y"});
        assert!(!same(&a, &b));
        assert!(!same(&a, &json!({"metadata": a["metadata"]})));
    }
}
