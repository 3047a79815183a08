//! Which versions of an owner's objects a controller wrote last.
//!
//! What [`Written`](super::Written) is for one object, this is for all objects of an owner: also for
//! one that the cache does not have yet, one that is to go, and one of which nobody knows whether it
//! was written, because the answer was lost. The API server is asked about that last one.

use std::collections::HashMap;
use std::sync::Arc;

use api::owner;
use kube::api::{Api, Resource};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{EXPIRY, version};
use crate::informer::Key;
use crate::reconcile::{ReconcileError, request};
use crate::workload::claim::Namespaced;

/// What was last done with an object.
#[derive(Debug, PartialEq)]
enum Last {
    /// Written at this resourceVersion.
    Version(u64),
    /// Deletion of the object with this uid has begun.
    Deleted(Option<String>),
    /// Written or not: there was no answer.
    Unanswered,
}

impl Last {
    fn is_shown<K: ResourceExt>(&self, cached: Option<&Arc<K>>) -> bool {
        match self {
            // resourceVersions of one resource are ordered numbers (KEP-5504).
            Self::Version(written) => {
                cached.and_then(|object| version(&**object)).is_some_and(|v| v >= *written)
            }
            Self::Deleted(uid) => cached.is_none_or(|object| {
                object.uid() != *uid || object.meta().deletion_timestamp.is_some()
            }),
            Self::Unanswered => false,
        }
    }
}

/// By the object's name.
type Notes = HashMap<String, (Last, Instant)>;

/// The last writes by owner; see the module.
#[derive(Debug, Default)]
pub(crate) struct OwnedWrites {
    by_owner: Mutex<HashMap<Key, Notes>>,
}

impl OwnedWrites {
    /// The API server answered a write with this object.
    pub(crate) fn wrote(&self, owner: &Key, object: &impl ResourceExt) {
        if let Some(version) = version(object) {
            self.note(owner, object.name_any(), Last::Version(version));
        }
    }

    /// The API server agreed to the deletion of this object.
    pub(crate) fn deleted(&self, owner: &Key, object: &impl ResourceExt) {
        self.note(owner, object.name_any(), Last::Deleted(object.uid()));
    }

    /// The outcome of a write: the object, or an error after which it may be written all the same.
    pub(crate) fn answered<K: ResourceExt>(
        &self,
        owner: &Key,
        name: &str,
        answer: &Result<K, ReconcileError>,
    ) {
        match answer {
            Ok(object) => self.wrote(owner, object),
            Err(error) => self.failed(owner, name, error),
        }
    }

    /// A write or deletion has failed, and may be done all the same.
    pub(crate) fn failed(&self, owner: &Key, name: &str, error: &ReconcileError) {
        if error.may_be_done() {
            self.note(owner, name.to_owned(), Last::Unanswered);
        }
    }

    fn note(&self, owner: &Key, name: String, last: Last) {
        let mut all = self.by_owner.lock();
        all.entry(owner.clone()).or_default().insert(name, (last, Instant::now()));
    }

    /// Asks the API server what became of writes without an answer.
    ///
    /// # Errors
    /// It does not say; they are still open.
    pub(crate) async fn ask<K: Namespaced>(
        &self,
        client: &Client,
        owner: &Key,
    ) -> Result<(), ReconcileError> {
        for name in self.unanswered(owner) {
            let api: Api<K> = Api::namespaced(client.clone(), &owner.namespace);
            let subject = Key::new(&owner.namespace, &name);
            match request("get", subject, api.get_opt(&name)).await? {
                Some(found) => self.wrote(owner, &found),
                None => self.drop_note(owner, &name),
            }
        }
        Ok(())
    }

    fn unanswered(&self, owner: &Key) -> Vec<String> {
        let all = self.by_owner.lock();
        let notes = all.get(owner).into_iter().flatten();
        let open = notes.filter(|(_, (last, _))| *last == Last::Unanswered);
        let mut names: Vec<String> = open.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Whether the owner's cached objects are as new as what was written.
    pub(crate) fn is_shown<K: ResourceExt>(&self, owner: &Key, cached: &[Arc<K>]) -> bool {
        let mut all = self.by_owner.lock();
        let Some(notes) = all.get_mut(owner) else { return true };
        notes.retain(|name, (last, since)| {
            let object = cached.iter().find(|object| object.meta().name.as_ref() == Some(name));
            !last.is_shown(object) && since.elapsed() <= EXPIRY
        });
        let shown = notes.is_empty();
        if shown {
            all.remove(owner);
        }
        shown
    }

    /// The watch has shown that an object is gone; this is its last state.
    pub(crate) fn gone<K: Resource>(&self, object: &K) {
        let Some(controller) = owner::controller_of(object.meta()) else { return };
        let owner = Key::new(object.namespace().unwrap_or_default(), &controller.name);
        let name = object.name_any();
        let mut all = self.by_owner.lock();
        let Some(notes) = all.get_mut(&owner) else { return };
        // A later object of the same name is another one.
        let later = version(object);
        if let Some((Last::Version(written), _)) = notes.get(&name)
            && later.is_some_and(|gone| gone >= *written)
        {
            notes.remove(&name);
        }
    }

    fn drop_note(&self, owner: &Key, name: &str) {
        if let Some(notes) = self.by_owner.lock().get_mut(owner) {
            notes.remove(name);
        }
    }

    /// The owner is gone.
    pub(crate) fn forget(&self, owner: &Key) {
        self.by_owner.lock().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn object(name: &str, version: &str, uid: &str, going: bool) -> Pod {
        let owners = json!([{"apiVersion": "v1", "kind": "Owner", "name": "o", "uid": "1",
            "controller": true}]);
        let mut metadata = json!({"namespace": "n", "name": name, "resourceVersion": version,
            "uid": uid, "ownerReferences": owners});
        if going {
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    fn cached(name: &str, version: &str, uid: &str, going: bool) -> Vec<Arc<Pod>> {
        vec![Arc::new(object(name, version, uid, going))]
    }

    const NOTHING: &[Arc<Pod>] = &[];

    fn refused(code: u16) -> ReconcileError {
        let status = kube::core::Status::failure("no", "No").with_code(code);
        let source = Box::new(kube::Error::Api(Box::new(status)));
        ReconcileError::Request { operation: "create", subject: "a".to_owned(), source }
    }

    #[tokio::test(start_paused = true)]
    async fn writes_and_deletions_are_awaited() {
        let (writes, owner) = (OwnedWrites::default(), Key::new("n", "o"));
        assert!(writes.is_shown(&owner, NOTHING));
        writes.wrote(&owner, &object("a", "9", "1", false));
        assert!(!writes.is_shown(&owner, NOTHING));
        assert!(!writes.is_shown(&owner, &cached("a", "8", "1", false)));
        assert!(writes.is_shown(&owner, &cached("a", "10", "1", false)), "numbers, not text");
        for shown in [vec![], cached("a", "12", "2", false), cached("a", "11", "1", true)] {
            writes.deleted(&owner, &object("a", "10", "1", false));
            assert!(!writes.is_shown(&owner, &cached("a", "10", "1", false)));
            assert!(writes.is_shown(&owner, &shown), "{shown:?}");
        }
        writes.wrote(&owner, &object("a", "9", "1", false));
        writes.forget(&owner);
        assert!(writes.is_shown(&owner, NOTHING));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_and_has_gone_is_not_awaited() {
        let (writes, owner) = (OwnedWrites::default(), Key::new("n", "o"));
        writes.wrote(&owner, &object("a", "9", "1", false));
        writes.gone(&object("a", "5", "0", true));
        assert!(!writes.is_shown(&owner, NOTHING), "that was an earlier one of the name");
        writes.gone(&object("a", "11", "1", true));
        assert!(writes.is_shown(&owner, NOTHING));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_never_shown_does_not_block_for_ever() {
        let (writes, owner) = (OwnedWrites::default(), Key::new("n", "o"));
        writes.wrote(&owner, &object("a", "9", "1", false));
        tokio::time::advance(EXPIRY + std::time::Duration::from_secs(1)).await;
        assert!(writes.is_shown(&owner, NOTHING));
    }

    #[test]
    fn only_a_refusal_is_an_answer() {
        let (writes, owner) = (OwnedWrites::default(), Key::new("n", "o"));
        let timeout = ReconcileError::Timeout { operation: "create", subject: "t".to_owned() };
        for (name, error, open) in [
            ("conflict", refused(409), false),
            ("busy", refused(429), false),
            ("broken", refused(500), true),
            ("late", timeout, true),
        ] {
            writes.answered::<Pod>(&owner, name, &Err(error));
            let unanswered = writes.unanswered(&owner);
            assert_eq!(unanswered.iter().any(|it| it == name), open, "{name}");
        }
        assert!(!writes.is_shown(&owner, NOTHING));
    }
}
