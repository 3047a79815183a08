//! Leases: whoever starts a container holds its image, and whoever removes an image holds it alone.
//!
//! A container that runs is on record, and keeps its image that way ([`super::sweep`]). Between the look
//! at the image and that record there is only the lease: without it an image could go while a container
//! is being put together from its layers.

use std::io;

use rustix::fs::FlockOperation;

use super::disk::{Disk, Lock, lock, remove, unless_held};
use super::records::{Record, Wanted};
use super::{ImageStore, Inner, parse_wanted};
use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::image::model::Image;

/// An image that nobody removes for as long as this lives, in whatever process.
#[derive(Debug)]
pub struct Lease {
    image: Image,
    _lock: Lock,
}

impl Lease {
    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }
}

impl ImageStore {
    /// The image that `wanted` names, as [`ImageStore::get`] finds it, held. Waits while it is being
    /// removed.
    pub async fn lease(&self, wanted: &str) -> Option<Lease> {
        let target = parse_wanted(wanted).ok()?;
        match self.blocking(wanted, move |inner, _| inner.lease(&target)).await {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(%error, "image store cannot be read");
                None
            }
        }
    }
}

impl Inner {
    fn lease(&self, wanted: &Wanted) -> Result<Option<Lease>, ImageError> {
        let failed = |source| ImageError::storage("lease", "", self.disk.root(), source);
        let Some((record, lock)) = self.disk.lease(wanted).map_err(failed)? else {
            return Ok(None);
        };
        let names = self.disk.all_names().map_err(failed)?;
        Ok(Some(Lease { image: self.disk.image(record, &names), _lock: lock }))
    }
}

impl Disk {
    fn lease(&self, wanted: &Wanted) -> io::Result<Option<(Record, Lock)>> {
        loop {
            let Some(found) = self.find(wanted)? else { return Ok(None) };
            let lock = self.lock_lease(&found.digest, FlockOperation::LockShared)?;
            // Gone, or another image of that name, while the lock was waited for.
            match self.find(wanted)? {
                Some(record) if record.digest == found.digest => return Ok(Some((record, lock))),
                _ => {}
            }
        }
    }

    /// The right to remove an image; `None` while somebody holds a lease on it.
    pub(super) fn lease_alone(&self, image: &Digest) -> io::Result<Option<Lock>> {
        unless_held(self.lock_lease(image, FlockOperation::NonBlockingLockExclusive))
    }

    fn lock_lease(&self, image: &Digest, operation: FlockOperation) -> io::Result<Lock> {
        let path = self.leases().join(image.hex());
        loop {
            let lock = lock(&path, operation)?;
            // The file goes with the image: a lock on one that has gone keeps nobody out.
            if lock.is_on(&path)? {
                return Ok(lock);
            }
        }
    }

    /// Removes the record, and the lease that is held on it. Names go before, files after.
    pub(super) fn remove_leased(&self, image: &Digest, lease: Lock) -> io::Result<()> {
        self.remove_record(image)?;
        remove(&self.leases().join(image.hex()))?;
        drop(lease);
        Ok(())
    }
}
