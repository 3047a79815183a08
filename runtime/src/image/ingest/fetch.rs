//! Verified bytes: from a registry or a layout on disk into the store.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::progress::Reporter;
use crate::image::digest::{self, Digest};
use crate::image::error::ImageError;
use crate::image::manifest::Descriptor;
use crate::image::registry::{RegistryError, Session};
use crate::image::sniff::{Content, sniff_file};
use crate::image::store::Inner;
use crate::image::store::disk::Draft;
use crate::image::unpack::{Ownership, unpack};

/// Configs and manifests are kilobytes; anything larger is an attack or a mistake.
const LARGEST_DOCUMENT: u64 = 8 * 1024 * 1024;

/// Where an image's bytes come from.
pub(crate) enum Source {
    /// A repository.
    Registry(Box<Session>),
    /// A directory with `blobs/sha256/<hex>`.
    Layout(PathBuf),
}

/// What a layer's blob turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// Unpacked under its diff id.
    Layer,
    /// Not a layer at all: a Wasm file, kept as a blob.
    Module,
}

/// One image on its way in.
pub(crate) struct Ingest {
    pub(crate) store: Arc<Inner>,
    pub(crate) source: Source,
    /// The name to speak of it by.
    pub(crate) reference: String,
    pub(crate) report: Reporter,
}

impl Ingest {
    /// A small blob, kept in the store and returned.
    pub(crate) async fn document(
        self: &Arc<Self>,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, ImageError> {
        if descriptor.size > LARGEST_DOCUMENT {
            let reason = format!("{} bytes are too many", descriptor.size);
            return Err(ImageError::malformed(&self.reference, "config", reason));
        }
        let path = self.blob(descriptor).await?;
        self.blocking(move |_, name| {
            std::fs::read(&path).map_err(|source| ImageError::storage("read", name, &path, source))
        })
        .await
    }

    /// Brings a blob into the store as it is.
    pub(crate) async fn blob(
        self: &Arc<Self>,
        descriptor: &Descriptor,
    ) -> Result<PathBuf, ImageError> {
        let work = self.clone().blob_once(descriptor.clone());
        self.store.blobs.join(descriptor.digest.clone(), move || (work, ())).0.await
    }

    async fn blob_once(self: Arc<Self>, descriptor: Descriptor) -> Result<PathBuf, ImageError> {
        let place = self.store.disk.blob(&descriptor.digest);
        if place.is_file() {
            self.report.arrived(descriptor.size);
            return Ok(place);
        }
        let draft = self.download(&descriptor).await?;
        self.blocking(move |_, name| {
            draft
                .keep(&place)
                .map_err(|source| ImageError::storage("write", name, &place, source))?;
            Ok(place)
        })
        .await
    }

    /// Brings a layer into the store, unpacked.
    pub(crate) async fn layer(
        self: Arc<Self>,
        descriptor: Descriptor,
        diff_id: Digest,
    ) -> Result<Fetched, ImageError> {
        let place = self.store.disk.layer(&diff_id);
        if place.is_dir() {
            self.report.arrived(descriptor.size);
            return Ok(Fetched::Layer);
        }
        let draft = self.download(&descriptor).await?;
        let _turn = self.store.unpacks.acquire().await.map_err(|_| self.interrupted())?;
        self.blocking(move |store, name| {
            let storage = |source| ImageError::storage("read", name, draft.path(), source);
            if sniff_file(draft.path()).map_err(storage)? == Content::Wasm {
                let blob = store.disk.blob(&descriptor.digest);
                draft
                    .keep(&blob)
                    .map_err(|source| ImageError::storage("write", name, &blob, source))?;
                return Ok(Fetched::Module);
            }
            unpack_layer(store, name, &draft, &descriptor, &diff_id)?;
            Ok(Fetched::Layer)
        })
        .await
    }

    /// The blob in a draft file, its size and digest verified.
    async fn download(&self, descriptor: &Descriptor) -> Result<Draft, ImageError> {
        let _turn = self.store.downloads.acquire().await.map_err(|_| self.interrupted())?;
        let draft = self.store.disk.draft();
        match &self.source {
            Source::Registry(session) => {
                let arrived = |bytes| self.report.arrived(bytes);
                session
                    .blob(descriptor, draft.path(), &arrived)
                    .await
                    .map_err(|source| self.registry("pull", source))?;
                Ok(draft)
            }
            Source::Layout(folder) => {
                let from = folder.join("blobs/sha256").join(descriptor.digest.hex());
                let expected = descriptor.digest.clone();
                let copied =
                    self.blocking(move |_, name| copy(name, &from, draft, expected)).await?;
                self.report.arrived(descriptor.size);
                Ok(copied)
            }
        }
    }

    pub(crate) fn registry(&self, operation: &'static str, source: RegistryError) -> ImageError {
        registry_error(operation, &self.reference, source)
    }

    fn interrupted(&self) -> ImageError {
        ImageError::Interrupted { reference: self.reference.clone() }
    }

    /// Runs `work`, which may take its time, where it stops nobody else.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &str) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, ImageError> {
        let (store, reference) = (self.store.clone(), self.reference.clone());
        match tokio::task::spawn_blocking(move || work(&store, &reference)).await {
            Ok(result) => result,
            Err(_) => Err(self.interrupted()),
        }
    }
}

/// A disk that is full is no trouble of the registry's.
pub(crate) fn registry_error(
    operation: &'static str,
    reference: &str,
    source: RegistryError,
) -> ImageError {
    match source {
        RegistryError::Write { path, source } => {
            let again = match source.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::new(source.kind(), source.to_string()),
            };
            ImageError::storage("write", reference, &path, again)
        }
        RegistryError::WrongDigest { expected, actual, .. } => {
            ImageError::WrongDigest { reference: reference.to_owned(), expected, actual }
        }
        source => ImageError::Registry {
            operation,
            reference: reference.to_owned(),
            source: Box::new(source),
        },
    }
}

fn copy(
    reference: &str,
    from: &std::path::Path,
    draft: Draft,
    expected: Digest,
) -> Result<Draft, ImageError> {
    let mut source = File::open(from).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            ImageError::malformed(reference, "archive", format!("blob {expected} is missing"))
        }
        _ => ImageError::storage("read", reference, from, error),
    })?;
    let write = |source| ImageError::storage("write", reference, draft.path(), source);
    let mut target = File::create_new(draft.path()).map_err(write)?;
    let (actual, _) = digest::copy(&mut source, &mut target).map_err(write)?;
    if actual != expected {
        let reference = reference.to_owned();
        return Err(ImageError::WrongDigest { reference, expected, actual });
    }
    target.sync_data().map_err(write)?;
    Ok(draft)
}

fn unpack_layer(
    store: &Inner,
    reference: &str,
    blob: &Draft,
    descriptor: &Descriptor,
    diff_id: &Digest,
) -> Result<(), ImageError> {
    let source = File::open(blob.path())
        .map_err(|source| ImageError::storage("read", reference, blob.path(), source))?;
    let tree = store.disk.draft();
    let ownership = if store.disk.is_privileged() { Ownership::Keep } else { Ownership::Discard };
    unpack(source, tree.path(), ownership, Some(diff_id)).map_err(|error| {
        match error.write_source().filter(|source| crate::image::error::is_disk_full(source)) {
            Some(_) => ImageError::DiskFull {
                reference: reference.to_owned(),
                path: store.disk.root().to_owned(),
            },
            None => ImageError::Unpack {
                reference: reference.to_owned(),
                layer: descriptor.digest.clone(),
                source: Arc::new(error),
            },
        }
    })?;
    let place = store.disk.layer(diff_id);
    tree.keep(&place).map_err(|source| ImageError::storage("write", reference, &place, source))
}
