//! What can go wrong with an image, in words that end up in a pod's status.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::digest::Digest;
use super::reference::ReferenceError;
use super::registry::RegistryError;
use super::unpack::UnpackError;
use crate::wasm;

/// Why an image could not be had.
///
/// Cloneable, because everybody who waits for the same pull gets the same answer.
#[derive(Debug, Clone, Error)]
pub enum ImageError {
    /// The text is no image reference.
    #[error("{reference:?} is not an image reference")]
    Reference {
        /// The text.
        reference: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// The registry did not give, or take, what was asked.
    #[error("failed to {operation} image {reference:?}")]
    Registry {
        /// `pull` or `push`.
        operation: &'static str,
        /// The canonical reference.
        reference: String,
        /// The registry's side of it.
        #[source]
        source: Box<RegistryError>,
    },
    /// No entry of the image runs on this host.
    #[error(
        "image {reference:?} has nothing for {wanted}: it was built for {}",
        if found.is_empty() { "no platform at all".to_owned() } else { found.join(", ") }
    )]
    NoPlatform {
        /// The canonical reference.
        reference: String,
        /// What this host runs.
        wanted: String,
        /// The platforms found in the image.
        found: Vec<String>,
    },
    /// Manifest, index or config cannot be used.
    #[error("image {reference:?} has an unusable {part}: {reason}")]
    Malformed {
        /// The canonical reference.
        reference: String,
        /// `manifest`, `config`, …
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob is not what its digest says.
    #[error("image {reference:?}: expected a blob with digest {expected}, got {actual}")]
    WrongDigest {
        /// The canonical reference.
        reference: String,
        /// What the manifest says.
        expected: Digest,
        /// What the bytes are.
        actual: Digest,
    },
    /// A layer cannot be unpacked.
    #[error("image {reference:?}: layer {layer} cannot be unpacked")]
    Unpack {
        /// The canonical reference.
        reference: String,
        /// The blob's digest.
        layer: Digest,
        /// What the unpacker met.
        #[source]
        source: Arc<UnpackError>,
    },
    /// The file system that holds the store is full.
    #[error("the disk is full while pulling {reference:?}: no space left below {}", path.display())]
    DiskFull {
        /// The canonical reference.
        reference: String,
        /// Where space is needed.
        path: PathBuf,
    },
    /// The store's own files cannot be read or written.
    #[error("cannot {operation} {}", path.display())]
    Storage {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: Arc<io::Error>,
    },
    /// Something that claims to be Wasm is not.
    #[error("{subject} is not WebAssembly: it is {found}")]
    NotWasm {
        /// The file or image.
        subject: String,
        /// What it is.
        found: String,
    },
    /// Native code precompiled by a Wasm engine, which must never be trusted from outside.
    #[error(
        "{subject} holds native code precompiled by a Wasm engine; Wharf compiles modules itself: \
         publish the .wasm file"
    )]
    Precompiled {
        /// The file or image.
        subject: String,
    },
    /// The bytes start like Wasm but are broken.
    #[error("{subject} is not a usable Wasm module")]
    Inspect {
        /// The file or image.
        subject: String,
        /// The parser's words.
        #[source]
        source: Arc<wasm::InspectError>,
    },
    /// A well-formed module that Wharf does not run.
    #[error("{subject} cannot be run")]
    Refused {
        /// The file or image.
        subject: String,
        /// Why.
        #[source]
        source: wasm::Refusal,
    },
    /// The compiler refused or failed.
    #[error("{subject} cannot be compiled")]
    Compile {
        /// The file or image.
        subject: String,
        /// The compiler's words.
        #[source]
        source: Arc<wasm::CompileError>,
    },
    /// A Spin application that needs more than Wharf runs.
    #[error("image {reference:?} is a Spin application that Wharf cannot run: {reason}")]
    Spin {
        /// The canonical reference.
        reference: String,
        /// What it needs.
        reason: String,
    },
    /// No such image in the store.
    #[error("no image {reference:?} on this node")]
    NotFound {
        /// The canonical reference or digest.
        reference: String,
    },
    /// The file to load is no image.
    #[error("{} holds no image: {reason}", path.display())]
    NotAnImage {
        /// The file or directory.
        path: PathBuf,
        /// What was expected and what is there.
        reason: String,
    },
    /// A name was given for several images, or none is known for one.
    #[error("{}: {reason}", path.display())]
    Name {
        /// The file or directory.
        path: PathBuf,
        /// What to do.
        reason: String,
    },
    /// A background task of the store ended without an answer (it panicked, or the process ends).
    #[error("the work on image {reference:?} was interrupted")]
    Interrupted {
        /// The canonical reference.
        reference: String,
    },
}

impl ImageError {
    /// An error of the store's own files; a full disk gets its own words.
    pub(crate) fn storage(
        operation: &'static str,
        reference: &str,
        path: &Path,
        source: io::Error,
    ) -> Self {
        if is_disk_full(&source) {
            Self::DiskFull { reference: reference.to_owned(), path: path.to_owned() }
        } else {
            Self::Storage { operation, path: path.to_owned(), source: Arc::new(source) }
        }
    }

    pub(crate) fn malformed(
        reference: &str,
        part: &'static str,
        reason: impl std::fmt::Display,
    ) -> Self {
        Self::Malformed { reference: reference.to_owned(), part, reason: reason.to_string() }
    }

    /// Whether trying again later can help (a registry or disk trouble, not a wrong image).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Registry { source, .. } => source.is_transient(),
            Self::DiskFull { .. } | Self::Storage { .. } | Self::Interrupted { .. } => true,
            _ => false,
        }
    }
}

/// `ENOSPC` and `EDQUOT`.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
