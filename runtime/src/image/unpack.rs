//! A layer becomes a directory: decompressed, hashed, and written so that nothing lands outside.
//!
//! The tar comes from a stranger and is written by root, so every path in it is resolved by the
//! kernel with `openat2(RESOLVE_IN_ROOT)`: a symbolic link in the layer, absolute or climbing, means
//! a place inside the layer ([`tree`]). Names with `..` are refused by name. What overlayfs needs is
//! made on the way: a whiteout file becomes a 0/0 character device, an opaque marker an attribute
//! of its directory ([`apply`]).
//!
//! Layers are unpacked one by one and not onto each other, as Docker's overlay2 does: a layer's
//! directory depends on nothing but its own bytes and can be shared by all images that have it.
//!
//! Sources: OCI image-spec layer.md; POSIX pax; kernel Documentation/filesystems/overlayfs.rst.

mod apply;
mod blocks;
mod decompress;
mod entry;
mod tree;

use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;

use super::digest::{Digest, HashingReader};

/// What happens to owners, devices and attributes that only root may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// All is as the layer says; needs root.
    Keep,
    /// Everything belongs to the caller; devices and privileged attributes are left out.
    Discard,
}

/// Why a layer could not be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The compressed stream or the tar inside breaks off or is broken.
    #[error("it is truncated or corrupt after {entries} entries")]
    Corrupt {
        /// Entries read before.
        entries: u64,
        /// What the decoder met.
        #[source]
        source: io::Error,
    },
    /// It is no tar, compressed or not.
    #[error("it is {found}, not a tar archive")]
    NotTar {
        /// What it is.
        found: String,
    },
    /// The uncompressed bytes are not the ones in the image's config.
    #[error("its content has digest {actual}, the image's config says {expected}")]
    WrongDiffId {
        /// From the config.
        expected: Digest,
        /// Of the bytes.
        actual: Digest,
    },
    /// A name climbs out of the layer.
    #[error("entry {entry:?} climbs out of the layer with \"..\"")]
    Escape {
        /// The entry's or link target's name.
        entry: String,
    },
    /// A name that no file can have.
    #[error("entry {entry:?} has an impossible name")]
    Name {
        /// The entry's name.
        entry: String,
    },
    /// A kind of entry that layers do not have.
    #[error("entry {entry:?} is {what}, which Wharf does not unpack")]
    Unsupported {
        /// The entry's name.
        entry: String,
        /// What it is.
        what: String,
    },
    /// A hard link to something that the layer does not contain.
    #[error("entry {entry:?} is a hard link to {target:?}, which is not in the layer")]
    DanglingLink {
        /// The entry's name.
        entry: String,
        /// The link's target.
        target: String,
    },
    /// The file system refused.
    #[error("cannot {operation} {entry:?}")]
    Write {
        /// What was tried.
        operation: &'static str,
        /// The entry's name.
        entry: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl UnpackError {
    /// The file system's answer, if that was the trouble.
    pub(crate) fn write_source(&self) -> Option<&io::Error> {
        match self {
            Self::Write { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Unpacks the layer in `source` (gzip, zstd or plain, by its magic number) into the empty or
/// missing directory `target`, and gives the digest of the uncompressed tar.
///
/// Blocking. On an error `target` holds a part of the layer; the caller removes it.
///
/// # Errors
///
/// [`UnpackError::WrongDiffId`] if `expected` is given and differs; the others as they say.
pub fn unpack(
    source: impl Read,
    target: &Path,
    ownership: Ownership,
    expected: Option<&Digest>,
) -> Result<Digest, UnpackError> {
    let mut reader = HashingReader::new(decompress::open(source)?);
    let tree = tree::Tree::create(target)?;
    let entries = apply::all(&mut reader, &tree, ownership)?;
    // Padding after the end-of-archive marker belongs to the digest.
    let actual = reader.finish().map_err(|source| UnpackError::Corrupt { entries, source })?;
    match expected {
        Some(expected) if *expected != actual => {
            Err(UnpackError::WrongDiffId { expected: expected.clone(), actual })
        }
        _ => Ok(actual),
    }
}

#[cfg(test)]
mod tests;
