//! The store's directories and the few ways in which files get there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use crate::image::digest::Digest;

/// Where everything is. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    root: PathBuf,
    privileged: bool,
}

/// Something in `tmp/` that disappears unless it is moved to its place.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
}

/// A lock on a file, across processes: on the store's own while adding to it, or, exclusively, while
/// sweeping it; on an image's lease. It ends with its process at the latest.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Disk {
    /// Makes the directories that are missing.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let disk = Self { root: root.to_owned(), privileged: geteuid().is_root() };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for folder in [
            disk.blobs(),
            disk.layers(),
            disk.records(),
            disk.names(),
            disk.compiled(),
            disk.leases(),
            disk.drafts(),
        ] {
            builder.create(folder)?;
        }
        Ok(disk)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether layers keep their owners, devices and privileged attributes.
    pub(crate) fn is_privileged(&self) -> bool {
        self.privileged
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Layers unpacked without root have lost their owners, so they never mix with true ones.
    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join(if self.privileged { "layers" } else { "layers-unprivileged" })
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.root.join("records")
    }

    pub(crate) fn names(&self) -> PathBuf {
        self.root.join("refs")
    }

    pub(crate) fn compiled(&self) -> PathBuf {
        self.root.join("compiled")
    }

    pub(crate) fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    pub(crate) fn drafts(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// A fresh path in `tmp/`; nothing is made there yet.
    pub(crate) fn draft(&self) -> Draft {
        let random = RandomState::new().hash_one(std::process::id());
        Draft { path: self.drafts().join(format!("{}-{random:016x}", std::process::id())) }
    }

    /// Puts bytes at `path`: completely and durably, or not at all.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let draft = self.draft();
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft.path())?;
        file.write_all(bytes)?;
        file.sync_all()?;
        draft.keep(path)
    }

    /// Stores a small blob under its digest.
    pub(crate) fn put_blob(&self, bytes: &[u8]) -> io::Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.blob(&digest);
        if !path.exists() {
            self.write(&path, bytes)?;
        }
        Ok(digest)
    }

    /// Waits until no sweep is on. Sweeps hold the lock for milliseconds.
    pub(crate) fn lock_shared(&self) -> io::Result<Lock> {
        lock(&self.root.join("lock"), FlockOperation::LockShared)
    }

    /// `None` while anybody, in any process, adds to the store.
    pub(crate) fn lock_exclusive(&self) -> io::Result<Option<Lock>> {
        unless_held(lock(&self.root.join("lock"), FlockOperation::NonBlockingLockExclusive))
    }
}

/// `None` if somebody else's lock is in the way.
pub(super) fn unless_held(locked: io::Result<Lock>) -> io::Result<Option<Lock>> {
    match locked {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Locks the file at `path`, which is made if missing.
pub(super) fn lock(path: &Path, operation: FlockOperation) -> io::Result<Lock> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path)?;
    flock(&file, operation)?;
    Ok(Lock { file })
}

impl Lock {
    /// Whether `path` still names the file that this lock is on.
    pub(super) fn is_on(&self, path: &Path) -> io::Result<bool> {
        let mine = self.file.metadata()?;
        match fs::metadata(path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (mine.dev(), mine.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Draft {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to its place, durably. A directory that is already there wins: same name, same content.
    pub(crate) fn keep(self, place: &Path) -> io::Result<()> {
        match fs::rename(&self.path, place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
            Err(error) => return Err(error),
        }
        match place.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `keep` there is nothing left, and on a failure `open` and the sweep clean up.
        let _ = remove(&self.path);
    }
}

/// Removes a file or a whole directory; nothing there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => crate::remove_tree(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
