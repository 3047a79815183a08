//! The images on this node.

pub(crate) mod disk;
mod lease;
pub(crate) mod records;
mod single_flight;
mod sweep;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Semaphore;

use self::disk::Disk;
use self::records::{Record, Wanted};
use self::single_flight::Flights;
use super::digest::Digest;
use super::error::ImageError;
use super::ingest::{Fetched, Progress, PullKey};
use super::model::{Image, ImageKind};
use super::reference::Reference;
use super::registry::Http;

pub use lease::Lease;
pub use sweep::{Pruned, Removed};

/// Downloads at once, over all pulls: as many as kubelets and Docker run by default.
const DOWNLOADS: usize = 3;
/// Layers unpacked at once: decompression and hashing keep a core busy each.
const UNPACKS: usize = 2;

/// Where the store is and who compiles for it.
#[derive(Debug, Clone)]
pub struct ImageStoreConfig {
    /// The store's directory; made if missing.
    pub root: PathBuf,
    /// The executable that answers `wasm-compile`; `/proc/self/exe` unless a test says otherwise.
    pub executable: PathBuf,
}

impl From<PathBuf> for ImageStoreConfig {
    fn from(root: PathBuf) -> Self {
        Self { root, executable: PathBuf::from("/proc/self/exe") }
    }
}

/// All images of a node; a cheap clone.
#[derive(Clone)]
pub struct ImageStore {
    pub(super) inner: Arc<Inner>,
}

/// What the clones of a store share.
pub(crate) struct Inner {
    pub(crate) disk: Disk,
    pub(crate) executable: PathBuf,
    pub(crate) http: Arc<Http>,
    pub(crate) downloads: Semaphore,
    pub(crate) unpacks: Semaphore,
    pub(crate) pulls:
        Flights<PullKey, Result<Image, ImageError>, tokio::sync::watch::Receiver<Progress>>,
    pub(crate) layers: Flights<Digest, Result<Fetched, ImageError>>,
    pub(crate) blobs: Flights<Digest, Result<PathBuf, ImageError>>,
    /// A removal could not sweep because something was being added.
    sweep_pending: AtomicBool,
}

impl fmt::Debug for ImageStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ImageStore")
            .field("root", &self.inner.disk.root())
            .finish_non_exhaustive()
    }
}

impl ImageStore {
    /// Opens the store and removes what an interrupted pull left behind.
    ///
    /// # Errors
    ///
    /// [`ImageError::Storage`] or [`ImageError::DiskFull`] when its directories cannot be made.
    pub async fn open(config: impl Into<ImageStoreConfig>) -> Result<Self, ImageError> {
        let ImageStoreConfig { root, executable } = config.into();
        let opened = tokio::task::spawn_blocking(move || {
            let failed = |source| ImageError::storage("open", "", &root, source);
            // The compiler works in a folder of its own: paths that it is given must be absolute.
            let root = std::path::absolute(&root).map_err(failed)?;
            let failed = |source| ImageError::storage("open", "", &root, source);
            let inner = Arc::new(Inner {
                disk: Disk::open(&root).map_err(failed)?,
                executable,
                http: Arc::new(Http::new()),
                downloads: Semaphore::new(DOWNLOADS),
                unpacks: Semaphore::new(UNPACKS),
                pulls: Flights::new(),
                layers: Flights::new(),
                blobs: Flights::new(),
                sweep_pending: AtomicBool::new(false),
            });
            inner.sweep("")?;
            Ok(Self { inner })
        });
        opened.await.unwrap_or_else(|_| Err(ImageError::Interrupted { reference: String::new() }))
    }

    /// The image that `wanted` names: a reference in any spelling, or the digest of its manifest or
    /// index. Reads two small files.
    pub fn get(&self, wanted: &str) -> Option<Image> {
        let wanted = parse_wanted(wanted).ok()?;
        match self.inner.find(&wanted) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "image store cannot be read");
                None
            }
        }
    }

    /// All complete images, oldest first.
    pub fn list(&self) -> Vec<Image> {
        self.inner.all().unwrap_or_else(|error| {
            tracing::warn!(%error, "image store cannot be read");
            Vec::new()
        })
    }

    /// The machine code of a Wasm image for this engine: made at pull, and made anew here after an
    /// upgrade of Wharf changed the engine. Call it before every start.
    ///
    /// # Errors
    ///
    /// [`ImageError::NotWasm`] for a native image, [`ImageError::Compile`].
    pub async fn ensure_compiled(&self, image: &Image) -> Result<PathBuf, ImageError> {
        let name = image.names.first().cloned().unwrap_or_else(|| image.digest.to_string());
        match &image.kind {
            ImageKind::Wasm { module_digest, .. } => self.inner.compile(module_digest, &name).await,
            ImageKind::Native { .. } => Err(ImageError::NotWasm {
                subject: format!("image {name:?}"),
                found: "a native image".to_owned(),
            }),
        }
    }
}

impl Inner {
    /// Writes the record and its names: from now on the image exists.
    pub(crate) fn publish(
        &self,
        reference: &str,
        record: Record,
        names: &[Wanted],
    ) -> Result<Image, ImageError> {
        let write = |source| ImageError::storage("write", reference, self.disk.root(), source);
        self.disk.put_record(&record).map_err(write)?;
        for name in names {
            if let Wanted::Reference(name) = name {
                self.disk.put_name(&name.to_string(), &record.digest).map_err(write)?;
            }
        }
        let names = self.disk.all_names().map_err(write)?;
        Ok(self.disk.image(record, &names))
    }

    fn find(&self, wanted: &Wanted) -> Result<Option<Image>, ImageError> {
        let failed = |source| ImageError::storage("read", "", self.disk.root(), source);
        let Some(record) = self.disk.find(wanted).map_err(failed)? else { return Ok(None) };
        let names = self.disk.all_names().map_err(failed)?;
        Ok(Some(self.disk.image(record, &names)))
    }

    fn all(&self) -> Result<Vec<Image>, ImageError> {
        let failed = |source| ImageError::storage("read", "", self.disk.root(), source);
        let names = self.disk.all_names().map_err(failed)?;
        let mut records = self.disk.all_records().map_err(failed)?;
        records.retain(|record| self.disk.is_complete(record));
        records.sort_by_key(|record| record.added);
        Ok(records.into_iter().map(|record| self.disk.image(record, &names)).collect())
    }
}

/// Reads a reference given by a user.
pub(crate) fn parse(text: &str) -> Result<Reference, ImageError> {
    text.parse().map_err(|source| ImageError::Reference { reference: text.to_owned(), source })
}

/// Reads a reference or a bare digest given by a user.
pub(crate) fn parse_wanted(text: &str) -> Result<Wanted, ImageError> {
    match text.parse::<Digest>() {
        Ok(digest) => Ok(Wanted::Digest(digest)),
        Err(_) => parse(text).map(Wanted::Reference),
    }
}
