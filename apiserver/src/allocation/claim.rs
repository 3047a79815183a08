//! A claim: who has an address or a port, written under its key, compared and set like any object.
//!
//! A claim belongs to one Service, by uid. A request that finds a claim of a Service of the same
//! name, but another uid, where no Service of that name exists, has found what a crash (its own
//! earlier attempt's, usually) or a deletion under way left behind, and inherits it: it puts its
//! own uid in. Everybody else who touches the claim does so at the revision, or for the uid, that
//! they know, and so leaves an inherited claim alone. What an heir does not need after all stays
//! until the next [`repair`](super::repair): an address is rather lost for some minutes than given
//! out twice.

use api::status::Status;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{KeyValue, Revision, Store, WriteError};

use super::Allocated;
use crate::context::now;
use crate::response;

/// Whose a key is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Claim {
    /// `namespace/name` of the Service.
    pub(super) owner: String,
    /// The Service's uid; "" in claims of versions that did not write it.
    pub(super) uid: String,
    /// When it was claimed, in seconds since 1970.
    pub(super) time: i64,
}

impl Claim {
    /// A claim for a Service, as of now.
    pub(super) fn of(service: &Value) -> Claim {
        let metadata = &service["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default();
        Claim {
            owner: format!("{}/{}", text("namespace"), text("name")),
            uid: text("uid").to_owned(),
            time: now().as_second(),
        }
    }

    /// What is stored; a claim that cannot be read is nobody's, and old.
    pub(super) fn read(item: &KeyValue) -> Claim {
        serde_json::from_slice(&item.value).unwrap_or_default()
    }

    /// What to store.
    pub(super) fn bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("text and numbers always encode").into()
    }

    /// Whether this claim may be another Service of that name's now, if it exists no more.
    fn may_pass_to(&self, heir: &Claim) -> bool {
        self.owner == heir.owner && self.uid != heir.uid
    }

    /// Whether the Service of `owner` has this claim.
    fn is_of(&self, owner: &Claim) -> bool {
        self.uid == owner.uid || (self.uid.is_empty() && self.owner == owner.owner)
    }
}

/// Claims keys for one Service.
pub(super) struct Claimant<'a> {
    pub(super) store: &'a Store,
    /// Where the Service is stored.
    pub(super) service_key: &'a str,
    /// What is written into the keys.
    pub(super) claim: Claim,
    /// Whether to look only.
    pub(super) dry_run: bool,
}

impl Claimant<'_> {
    /// Takes a key; false if somebody has it.
    ///
    /// # Errors
    /// 503 and 504, the store's.
    pub(super) async fn take(&self, key: &str, taken: &mut Allocated) -> Result<bool, Status> {
        if self.dry_run {
            let found = self.store.get(key).await.map_err(|error| response::store_read(&error))?;
            return match found {
                None => Ok(true),
                Some(found) => self.may_inherit(&found).await,
            };
        }
        let found = match self.store.create(key, self.claim.bytes()).await {
            Ok(revision) => {
                taken.0.push((key.to_owned(), revision));
                return Ok(true);
            }
            Err(WriteError::Exists { current }) => current,
            Err(error) => return Err(response::store_write(&error)),
        };
        if !self.may_inherit(&found).await? {
            return Ok(false);
        }
        match self.store.update(key, self.claim.bytes(), found.mod_revision).await {
            Ok(_) => {
                tracing::info!(key, owner = self.claim.owner, "took over a claim left behind");
                Ok(true)
            }
            Err(WriteError::Conflict { .. }) => Ok(false),
            Err(error) => Err(response::store_write(&error)),
        }
    }

    async fn may_inherit(&self, found: &KeyValue) -> Result<bool, Status> {
        if !Claim::read(found).may_pass_to(&self.claim) {
            return Ok(false);
        }
        let service = self.store.get(self.service_key).await;
        Ok(service.map_err(|error| response::store_read(&error))?.is_none())
    }
}

/// Frees a key that a Service has no more.
pub(super) async fn release(store: &Store, key: &str, owner: &Claim) {
    match store.get(key).await {
        Ok(Some(item)) if Claim::read(&item).is_of(owner) => {
            free(store, key, item.mod_revision).await;
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(key, %error, "cannot free a claim; the next repair will"),
    }
}

/// Frees a key if it is still the claim of `revision`.
pub(super) async fn free(store: &Store, key: &str, revision: Revision) {
    match store.delete(key, revision).await {
        Ok(_) | Err(WriteError::Conflict { .. }) => {}
        Err(error) => tracing::warn!(key, %error, "cannot free a claim; the next repair will"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(owner: &str, uid: &str) -> Claim {
        Claim { owner: owner.to_owned(), uid: uid.to_owned(), time: 0 }
    }

    #[test]
    fn a_claim_passes_by_name_and_is_freed_by_uid() {
        for (have, asking, passes, is_of) in [
            (claim("d/web", "1"), claim("d/web", "2"), true, false),
            (claim("d/web", "1"), claim("d/web", "1"), false, true),
            (claim("d/web", "1"), claim("d/other", "2"), false, false),
            (claim("d/web", ""), claim("d/web", "1"), true, true),
            (claim("d/web", ""), claim("d/other", "1"), false, false),
        ] {
            assert_eq!(have.may_pass_to(&asking), passes, "{have:?} {asking:?}");
            assert_eq!(have.is_of(&asking), is_of, "{have:?} {asking:?}");
        }
    }

    #[test]
    fn older_claims_can_be_read() {
        let item = |value: &str| KeyValue {
            key: "ranges/clusterips/10.96.0.1".into(),
            value: value.to_owned().into(),
            create_revision: Revision(1),
            mod_revision: Revision(1),
        };
        let old = Claim::read(&item(r#"{"owner":"d/web","time":7}"#));
        assert_eq!(old, Claim { time: 7, ..claim("d/web", "") });
        assert_eq!(Claim::read(&item("?")), Claim::default());
        let service = json!({"metadata": {"name": "web", "namespace": "d", "uid": "1"}});
        let new = Claim::of(&service);
        assert_eq!(Claim::read(&item(std::str::from_utf8(&new.bytes()).unwrap())), new);
    }
}
