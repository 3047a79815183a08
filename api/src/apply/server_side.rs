//! Server-side apply: a manager says what it wants, all of it, every time.
//!
//! - What the configuration says is merged into the object. Where another manager owns a field
//!   that would change, that is a conflict; with `force` the field changes hands. Managers that
//!   want the same value own it together.
//! - What the manager said last time and does not say any more leaves the object, unless somebody
//!   else owns it.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/server-side-apply/>.

use serde_json::{Map, Value};

use super::config::{check, fields_of};
use super::conflict::Conflicts;
use super::element::equal;
use super::last_applied;
use super::managers::{self, Identity, Managers, Owned};
use super::merge::merge;
use super::place::Place;
use super::remove::{remove, with_parents};
use super::set::FieldSet;
use super::track::{Versions, changes, exists, take_from_others};
use super::{Change, ownable, server_fields};
use crate::meta;
use crate::resources::Resource;
use crate::status::Status;

/// The manager of everything in an object that has no managers when it is first applied to.
const BEFORE: &str = "before-first-apply";

/// Applies a configuration to an object (null for one that does not exist yet). The result has
/// neither defaults nor checks behind it: it goes on like an object that a client sent whole, with
/// the managers that `metadata.managedFields` names.
///
/// # Errors
/// 400 for a configuration of another kind or one that names managers, 409 with a cause per field
/// that another manager owns, 500 (as Kubernetes answers) for what the schema does not have.
pub fn apply(
    resource: &Resource,
    live: &Value,
    config: &Value,
    force: bool,
    change: &Change<'_>,
) -> Result<Value, Status> {
    check_kind(&resource.api_version(), &resource.kind, config)?;
    let had = managers::decode(&live["metadata"]["managedFields"]).map_err(|error| {
        Status::unclassified(format!("failed to decode managed fields: {error}"))
    })?;
    if config["metadata"]["managedFields"].is_array() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let place = Place::of(resource);
    check(place, config).map_err(|error| {
        let text = |field: &str| config["metadata"][field].as_str().unwrap_or_default();
        Status::unclassified(format!(
            "failed to create typed patch object ({}/{}; {}): {error}",
            text("namespace"),
            text("name"),
            kind_text(&resource.api_version(), &resource.kind),
        ))
    })?;
    let mut live = if live.is_object() { live.clone() } else { Value::Object(Map::new()) };
    if let Some(metadata) = live.get_mut("metadata") {
        meta::remove(metadata, "managedFields");
    }
    let had = if had.is_empty() { before_first_apply(resource, &live, change) } else { had };
    let attempt = Attempt { resource, place, live: &live, config, change };
    let (mut object, managers) = match attempt.run(&had, force) {
        Ok(done) => done,
        Err(conflicts) => {
            let left = last_applied::unexpected(resource, &live, conflicts, change);
            if !left.is_empty() {
                return Err(left.status());
            }
            attempt.run(&had, true).map_err(|conflicts| conflicts.status())?
        }
    };
    last_applied::renew(&mut object, config, change);
    if let Some(entries) = managers::encode(&managers) {
        meta::ensure(&mut object);
        object["metadata"]["managedFields"] = entries;
    }
    Ok(object)
}

/// A configuration must say of which kind it is.
pub(super) fn check_kind(api_version: &str, kind: &str, config: &Value) -> Result<(), Status> {
    let text = |field: &str| config[field].as_str().unwrap_or_default();
    let given = (text("apiVersion"), text("kind"));
    if given == (api_version, kind) {
        return Ok(());
    }
    Err(Status::bad_request(format!("invalid object type: {}", kind_text(given.0, given.1))))
}

/// `apps/v1, Kind=Deployment`; the core group leaves a lone slash.
pub(super) fn kind_text(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

/// The managers of an object that nobody has kept account of.
fn before_first_apply(resource: &Resource, live: &Value, change: &Change<'_>) -> Managers {
    let mut managers = Managers::new();
    if !exists(live) {
        return managers;
    }
    let set = changes(resource, &Value::Null, live, change.subresource).written;
    if !set.is_empty() {
        let api_version = resource.api_version();
        let identity = Identity {
            name: BEFORE.to_owned(),
            updates: Some(api_version.clone()),
            subresource: change.subresource.to_owned(),
        };
        let time = Some(meta::time(change.now));
        managers.insert(identity, Owned { api_version, time, set });
    }
    managers
}

struct Attempt<'a> {
    resource: &'a Resource,
    place: Place<'a>,
    /// Without its managers.
    live: &'a Value,
    config: &'a Value,
    change: &'a Change<'a>,
}

impl Attempt<'_> {
    /// The object and its managers afterwards.
    fn run<'m>(&self, had: &'m Managers, force: bool) -> Result<(Value, Managers), Conflicts<'m>> {
        let me = Identity {
            name: self.change.name().to_owned(),
            updates: None,
            subresource: self.change.subresource.to_owned(),
        };
        let all = fields_of(self.place, self.config);
        let set = ownable(self.resource, self.change.subresource, all);
        let merged = merge(self.place, self.live, self.config);
        let object = self.prune(merged, had, &me, &set);
        let changes = changes(self.resource, self.live, &object, self.change.subresource);
        if !force {
            let mut versions = Versions::new(self.resource, self.live, &object, &changes);
            let conflicts = Conflicts::new(
                had.iter().filter(|(other, _)| **other != me).filter_map(|(other, owned)| {
                    let changes = versions.changes(&owned.api_version)?;
                    Some((other, owned.set.intersection(&changes.written)))
                }),
            );
            if !conflicts.is_empty() {
                return Err(conflicts);
            }
        }
        let mut managers = had.clone();
        let time = if equal(self.live, &object) {
            managers.get(&me).and_then(|owned| owned.time.clone())
        } else {
            Some(meta::time(self.change.now))
        };
        let set = set.difference(server_fields());
        let api_version = self.resource.api_version();
        managers.insert(me.clone(), Owned { api_version, time, set });
        take_from_others(self.resource, self.live, &object, &changes, &mut managers, Some(&me));
        Ok((object, managers))
    }

    /// Takes out of the merged object what the manager applied last time, does not apply now, and
    /// nobody else owns.
    fn prune(&self, merged: Value, had: &Managers, me: &Identity, set: &FieldSet) -> Value {
        let version = self.resource.api_version();
        let Some(last) = had.get(me).filter(|last| last.api_version == version) else {
            return merged;
        };
        if last.set.difference(set).is_empty() {
            return merged;
        }
        let of_version =
            had.iter().filter(|(other, owned)| *other != me && owned.api_version == version);
        let owned = of_version.fold(set.clone(), |all, (_, owned)| all.union(&owned.set));
        let parents = |set: &FieldSet| with_parents(self.place, set);
        let contents = |object: &Value| parents(&fields_of(self.place, object));
        let (last, owned, all) = (parents(&last.set), parents(&owned), contents(&merged));
        // Without all that was applied last, except for what somebody owns (also inside of it).
        let bare = contents(&remove(self.place, &merged, &last));
        let kept = remove(self.place, &merged, &all.difference(&bare.union(&owned)));
        // What fell out of that without having been applied (items and fields of others' making,
        // and what nobody owns) comes back.
        let gone = all.difference(&contents(&kept)).intersection(&last);
        remove(self.place, &merged, &gone)
    }
}
