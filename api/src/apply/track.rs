//! Who owns what after an object was written: by create, update and patch.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{Changes, compare};
use super::managers::{self, Identity, Managers, Owned};
use super::place::Place;
use super::set::FieldSet;
use super::{Change, ownable, server_fields};
use crate::meta;
use crate::resources::{self, Resource};

/// Whoever changes a field owns it from then on, and owns it alone. Writes
/// `metadata.managedFields` of `new`, an object that has its defaults but is not prepared yet:
/// what the server itself adds belongs to nobody.
///
/// `live` is the object as it was (of a new one: null). An object whose managers were forgotten
/// stays without until somebody applies to it.
///
/// A client may send managers of its own making with the object (not through a subresource); ones
/// that cannot be read count as not sent.
pub fn track(resource: &Resource, live: &Value, new: &mut Value, change: &Change<'_>) {
    meta::ensure(new);
    let changes = changes(resource, live, new, change.subresource);
    let sent = new["metadata"]
        .as_object_mut()
        .and_then(|metadata| metadata.remove("managedFields"))
        .unwrap_or_default();
    let had = &live["metadata"]["managedFields"];
    let sent = if change.subresource.is_empty() && sent != *had { sent } else { Value::Null };
    let taken = match managers::decode(&sent) {
        _ if managers::is_reset(&sent) => Some(Managers::new()),
        Ok(managers) if !managers.is_empty() => Some(managers),
        _ => None,
    };
    if taken.is_none() && changes.is_empty() {
        if !had.is_null() {
            new["metadata"]["managedFields"] = had.clone();
        }
        return;
    }
    let mut managers = taken.unwrap_or_else(|| managers::decode(had).unwrap_or_default());
    if managers.is_empty() && exists(live) {
        return;
    }
    take_from_others(resource, live, new, &changes, &mut managers, None);
    let written = changes.written;
    if !written.is_empty() {
        let identity = Identity {
            name: change.name().to_owned(),
            updates: Some(resource.api_version()),
            subresource: change.subresource.to_owned(),
        };
        let before = managers.remove(&identity);
        let set = match before {
            Some(before) => before.set.union(&written),
            None => written,
        };
        let time = Some(meta::time(change.now));
        managers.insert(identity, Owned { api_version: resource.api_version(), time, set });
    }
    managers::cap(&mut managers);
    if let Some(entries) = managers::encode(&managers) {
        new["metadata"]["managedFields"] = entries;
    }
}

/// Whether the object has been stored.
pub(super) fn exists(live: &Value) -> bool {
    live["metadata"]["uid"].as_str().is_some_and(|uid| !uid.is_empty())
}

/// What a write changes, apart from what the subresource resets and what nobody owns.
pub(super) fn changes(
    resource: &Resource,
    live: &Value,
    new: &Value,
    subresource: &str,
) -> Changes {
    let found = compare(Place::of(resource), live, new);
    if found.is_empty() {
        return found;
    }
    let owned = |mut set: FieldSet| {
        set.subtract(server_fields());
        ownable(resource, subresource, set)
    };
    Changes { written: owned(found.written), removed: owned(found.removed) }
}

/// Takes from all managers but one what is written or gone. Those left with nothing go, and so do
/// those of versions that do not exist any more.
pub(super) fn take_from_others(
    resource: &Resource,
    live: &Value,
    new: &Value,
    changes: &Changes,
    managers: &mut Managers,
    except: Option<&Identity>,
) {
    let mut versions = Versions::new(resource, live, new, changes);
    managers.retain(|identity, owned| {
        if Some(identity) != except {
            let Some(changes) = versions.changes(&owned.api_version) else { return false };
            owned.set.subtract(&changes.written);
            owned.set.subtract(&changes.removed);
        }
        !owned.set.is_empty()
    });
}

/// The changes as the versions of the API see them in which the managers wrote.
pub(super) struct Versions<'a> {
    resource: &'a Resource,
    live: &'a Value,
    new: &'a Value,
    own: (String, &'a Changes),
    others: BTreeMap<String, Option<Changes>>,
}

impl<'a> Versions<'a> {
    /// Of a resource's objects before and after, with the changes in its own version.
    pub(super) fn new(
        resource: &'a Resource,
        live: &'a Value,
        new: &'a Value,
        changes: &'a Changes,
    ) -> Self {
        let own = (resource.api_version(), changes);
        Self { resource, live, new, own, others: BTreeMap::new() }
    }

    /// `None` if the kind does not exist in that version.
    pub(super) fn changes(&mut self, api_version: &str) -> Option<&Changes> {
        if api_version == self.own.0 {
            return Some(self.own.1);
        }
        if !self.others.contains_key(api_version) {
            let found = self.converted(api_version);
            self.others.insert(api_version.to_owned(), found);
        }
        self.others.get(api_version).and_then(Option::as_ref)
    }

    fn converted(&self, api_version: &str) -> Option<Changes> {
        if let Some(schema) = self.resource.strategy.schema_of(api_version) {
            // The versions of a custom resource differ in their schemas, not in their objects.
            return Some(compare(Place::root(schema), self.live, self.new));
        }
        let other = resources::by_kind(api_version, &self.resource.kind)
            .filter(|other| other.stored_as == self.resource.stored_as)?;
        let seen = |object: &Value| {
            other.strategy.from_stored(self.resource.strategy.to_stored(object.clone()))
        };
        Some(compare(Place::of(other), &seen(self.live), &seen(self.new)))
    }
}
