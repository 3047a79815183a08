//! POST on a collection.

use api::lifecycle::{self, Creation};
use api::status::Status;
use http::StatusCode;
use serde_json::Value;
use store::WriteError;

use crate::admission;
use crate::authz::escalation;
use crate::context::{Context, now, random, uuid};
use crate::dispatch::Target;
use crate::request::options::WriteOptions;
use crate::request::{Request, payload};
use crate::response::{self, Handled};
use crate::user::User;
use crate::writing::{
    Draft, Part, Write, Written, answered, dedup_owners, full_key, judge, warnings,
};

/// How many names are tried for a `generateName` (as kube-apiserver).
const NAMES: usize = 8;

/// Creates an object.
pub(crate) async fn create(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "CreateOptions")?;
    let decoded = payload::read_object(request, &target.resource).await?;
    let mut problems = judge(&target.resource, options.validation, decoded.problems)?;
    let mut object = decoded.object;
    problems.extend(dedup_owners(&mut object, false));
    let write = Write::new(Part::Main, &options);
    let written = new(context, target, object, &request.user, write).await;
    answered(written, StatusCode::CREATED, &problems)
}

/// Admits, completes, checks and stores a decoded object. Returns what a client is shown.
///
/// # Errors
/// 409 if it exists, 500 (as Kubernetes) if it has a resourceVersion, and whatever admission and the
/// strategy refuse.
pub(crate) async fn new(
    context: &Context,
    target: &Target,
    mut object: Value,
    user: &User,
    write: Write<'_>,
) -> Result<Written, Status> {
    let resource = &target.resource;
    let namespace = resource.namespaced().then_some(target.namespace.as_str());
    let named = !object["metadata"]["name"].as_str().unwrap_or_default().is_empty();
    let uid = uuid();
    let now = now();
    let dry_run = write.dry_run();
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let has_version = version.parse::<u64>().is_ok_and(|version| version != 0);
    admission::namespace(context, target, &object).await?;
    admission::by_node(target, Part::Main, (&object, &Value::Null), user)?;
    // What admission and the strategy add belongs to nobody.
    write.track(resource, &Value::Null, &mut object);
    admission::complete(target, &mut object);
    admission::service_account::admit(context, target, &mut object).await?;
    admission::create(context, target, &mut object).await?;
    let mut last = String::new();
    for _ in 0..NAMES {
        // Only a generated name is tried again.
        let mut object = if named { std::mem::take(&mut object) } else { object.clone() };
        let creation = Creation { namespace, uid: &uid, now, random: random() };
        lifecycle::before_create(resource, &mut object, &creation)?;
        admission::requester(target, &mut object, user);
        escalation::check(context, target, &object, &Value::Null, user)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if has_version && !dry_run {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Status::unclassified(message));
        }
        if last.is_empty() {
            // Another name costs no more.
            admission::quota::charge(context, target, &object, &Value::Null, dry_run).await?;
        }
        let warnings = warnings(resource, Part::Main, &object, &Value::Null);
        let allocated = context.allocators.create(target, &mut object, dry_run).await?;
        let key = full_key(target, &name);
        if dry_run {
            context.freshness.consistent().await?;
            if target.cache.get(&target.key_of(&name)).is_none() {
                let mut shown = object.clone();
                shown["metadata"].as_object_mut().map(|meta| meta.remove("resourceVersion"));
                let bytes = serde_json::to_vec(&shown).expect("values always encode into memory");
                return Ok(Written { bytes: bytes.into(), warnings });
            }
        } else {
            let draft = Draft::new(resource, &object);
            match context.store.create(&key, draft.stored.clone()).await {
                Ok(revision) => {
                    allocated.keep();
                    return Ok(Written { bytes: draft.shown(revision), warnings });
                }
                Err(WriteError::Exists { .. }) => allocated.undo(&context.allocators).await,
                Err(error) => {
                    // After an unknown outcome the object may exist and own what was allocated.
                    if matches!(error, WriteError::Unknown { .. }) {
                        allocated.keep();
                    } else {
                        allocated.undo(&context.allocators).await;
                    }
                    return Err(response::store_write(&error));
                }
            }
        }
        if named {
            return Err(Status::already_exists(&resource.group_resource(), &name));
        }
        last = name;
    }
    Err(Status::generate_name_conflict(&resource.group_resource(), &last))
}
