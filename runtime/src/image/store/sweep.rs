//! Taking images away: names first, then records, then what no record mentions.
//!
//! A container's root is made of layer directories, so an image that a container uses keeps its
//! record even without a name. Who uses what is the caller's knowledge, asked for while nobody can start
//! a container from the image in question ([`super::lease`]): a start that is not over holds its image.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::disk::{Draft, Lock, remove};
use super::records::{Content, Record, Wanted};
use super::{ImageStore, Inner, parse_wanted};
use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::wasm;

/// What [`ImageStore::remove`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<String>,
    /// The image itself, when that was its last name and no container uses it.
    pub deleted: Option<Digest>,
    /// Bytes of disk given back. 0 when another image is being added: then the space is given back
    /// when that is done.
    pub freed: u64,
}

/// What [`ImageStore::prune`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The images that are gone, by manifest digest.
    pub deleted: Vec<Digest>,
    /// Bytes of disk given back; see [`Removed::freed`].
    pub freed: u64,
}

impl ImageStore {
    /// Takes a name away, and with the last name the image. Named by digest, the image loses all
    /// names. `in_use` tells the manifest digests (`sha256:…`) of images that containers run from; it is
    /// asked when it matters, on a thread that may block.
    ///
    /// # Errors
    ///
    /// [`ImageError::NotFound`] when there is no such image.
    pub async fn remove(
        &self,
        wanted: &str,
        in_use: impl Fn() -> Vec<String> + Send + 'static,
    ) -> Result<Removed, ImageError> {
        let target = parse_wanted(wanted)?;
        self.blocking(wanted, move |inner, name| inner.remove(name, &target, &in_use)).await
    }

    /// Removes images without a name, or with `all` every image that no container uses. `in_use` as for
    /// [`ImageStore::remove`], asked once for every image that is to go.
    ///
    /// # Errors
    ///
    /// [`ImageError::Storage`] when the store's files cannot be read or removed.
    pub async fn prune(
        &self,
        all: bool,
        in_use: impl Fn() -> Vec<String> + Send + 'static,
    ) -> Result<Pruned, ImageError> {
        self.blocking("", move |inner, _| inner.prune(all, &in_use)).await
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        reference: &str,
        work: impl FnOnce(&Inner, &str) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, ImageError> {
        let (inner, reference) = (self.inner.clone(), reference.to_owned());
        let interrupted = ImageError::Interrupted { reference: reference.clone() };
        tokio::task::spawn_blocking(move || work(&inner, &reference))
            .await
            .unwrap_or(Err(interrupted))
    }
}

impl Inner {
    fn remove(
        &self,
        wanted: &str,
        target: &Wanted,
        in_use: &impl Fn() -> Vec<String>,
    ) -> Result<Removed, ImageError> {
        let failed = |source| ImageError::storage("remove", wanted, self.disk.root(), source);
        let record = self.disk.find(target).map_err(failed)?;
        let Some(Record { digest, .. }) = record else {
            return Err(ImageError::NotFound { reference: wanted.to_owned() });
        };
        let names = self.disk.all_names().map_err(failed)?;
        let mine: Vec<String> =
            names.into_iter().filter(|name| name.image == digest).map(|name| name.name).collect();
        let one = match target {
            Wanted::Reference(reference) => Some(reference.to_string()),
            Wanted::Digest(_) => None,
        };
        // A digest reference that was never pulled as such means the image, like a bare digest.
        let named = one.as_ref().is_some_and(|one| mine.contains(one));
        let (untagged, left): (Vec<_>, Vec<_>) =
            mine.into_iter().partition(|name| !named || Some(name) == one.as_ref());
        for name in &untagged {
            self.disk.remove_name(name).map_err(failed)?;
        }
        let mut removed = Removed { untagged, ..Removed::default() };
        if left.is_empty()
            && let Some(lease) = self.unused(&digest, in_use).map_err(failed)?
        {
            self.disk.remove_leased(&digest, lease).map_err(failed)?;
            removed.deleted = Some(digest);
            removed.freed = self.sweep(wanted)?;
        }
        Ok(removed)
    }

    /// The right to remove an image, if no container is or will soon be made from it.
    fn unused(
        &self,
        image: &Digest,
        in_use: &impl Fn() -> Vec<String>,
    ) -> io::Result<Option<Lock>> {
        // The lease first: what was being started before it is in use after it.
        let lease = self.disk.lease_alone(image)?;
        Ok(lease.filter(|_| !in_use().contains(&image.to_string())))
    }

    fn prune(&self, all: bool, in_use: &impl Fn() -> Vec<String>) -> Result<Pruned, ImageError> {
        let failed = |source| ImageError::storage("prune", "", self.disk.root(), source);
        let names = self.disk.all_names().map_err(failed)?;
        let mut pruned = Pruned::default();
        for record in self.disk.all_records().map_err(failed)? {
            let mine: Vec<_> = names.iter().filter(|name| name.image == record.digest).collect();
            if !(all || mine.is_empty()) {
                continue;
            }
            let Some(lease) = self.unused(&record.digest, in_use).map_err(failed)? else {
                continue;
            };
            for name in mine {
                self.disk.remove_name(&name.name).map_err(failed)?;
            }
            self.disk.remove_leased(&record.digest, lease).map_err(failed)?;
            pruned.deleted.push(record.digest);
        }
        pruned.freed = self.sweep("")?;
        Ok(pruned)
    }

    /// Removes what no record mentions; gives the bytes. Does nothing now if something is being
    /// added, whose parts no record mentions yet.
    pub(super) fn sweep(&self, reference: &str) -> Result<u64, ImageError> {
        let failed = |source| ImageError::storage("sweep", reference, self.disk.root(), source);
        self.sweep_pending.store(false, Ordering::SeqCst);
        let Some(lock) = self.disk.lock_exclusive().map_err(failed)? else {
            self.sweep_pending.store(true, Ordering::SeqCst);
            return Ok(0);
        };
        let records = self.disk.all_records().map_err(failed)?;
        // Under the lock only names change; the long work comes after.
        let grave = self.bury(&records).map_err(failed)?;
        drop(lock);
        let freed = disk_usage(grave.path());
        remove(grave.path()).map_err(failed)?;
        Ok(freed)
    }

    /// What a removal had to leave, once the last pull is done.
    pub(crate) fn sweep_if_pending(&self, reference: &str) -> Result<(), ImageError> {
        if self.sweep_pending.load(Ordering::SeqCst) {
            self.sweep(reference)?;
        }
        Ok(())
    }

    /// Moves everything dead, and all abandoned drafts, into one new draft.
    fn bury(&self, records: &[Record]) -> io::Result<Draft> {
        let mut blobs: HashSet<OsString> = HashSet::new();
        let mut layers: HashSet<OsString> = HashSet::new();
        for record in records {
            blobs.extend(record.blobs.iter().map(|digest| OsString::from(digest.hex())));
            match &record.content {
                Content::Native { layers: mine } => {
                    layers.extend(mine.iter().map(|digest| OsString::from(digest.hex())));
                }
                Content::Wasm { module, .. } => {
                    blobs.insert(OsString::from(module.hex()));
                }
            }
        }
        let abandoned = children(&self.disk.drafts())?;
        let grave = self.disk.draft();
        fs::create_dir(grave.path())?;
        let dead = |folder: PathBuf, live: &HashSet<OsString>| -> io::Result<Vec<PathBuf>> {
            let mut found = children(&folder)?;
            found.retain(|path| path.file_name().is_some_and(|name| !live.contains(name)));
            Ok(found)
        };
        let dead_blobs = dead(self.disk.blobs(), &blobs)?;
        for blob in &dead_blobs {
            self.forget_compiled(blob);
        }
        let all = dead_blobs.into_iter().chain(dead(self.disk.layers(), &layers)?).chain(abandoned);
        for (number, path) in all.enumerate() {
            fs::rename(path, grave.path().join(number.to_string()))?;
        }
        Ok(grave)
    }

    /// Code of a module that is gone is of no use; only modules have some.
    fn forget_compiled(&self, blob: &Path) {
        let hex = blob.file_name().unwrap_or_default().to_string_lossy();
        if let Err(error) = wasm::cache::remove(&self.disk.compiled(), &format!("sha256:{hex}")) {
            tracing::warn!(%error, module = %hex, "compiled code of a removed image stays behind");
        }
    }
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Bytes of disk below `path`, links counted as links. What cannot be looked at, such as directories
/// nested beyond the longest path, does not count: it is removed all the same.
fn disk_usage(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let mut bytes = metadata.blocks() * 512;
    if metadata.is_dir() {
        for child in children(path).unwrap_or_default() {
            bytes += disk_usage(&child);
        }
    }
    bytes
}
