//! The records: what makes an image exist. Small JSON files, each replaced as a whole.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use crate::image::digest::Digest;
use crate::image::model::{Image, ImageConfig, ImageKind};
use crate::image::reference::Reference;
use crate::wasm;

/// One image, as written to `records/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) digest: Digest,
    pub(crate) index_digest: Option<Digest>,
    pub(crate) size: u64,
    pub(crate) created: Option<Timestamp>,
    pub(crate) added: Timestamp,
    pub(crate) platform: String,
    pub(crate) config: ImageConfig,
    pub(crate) content: Content,
    /// Blobs that stay as long as the image: manifests and config.
    pub(crate) blobs: Vec<Digest>,
}

/// What an image runs, by digests; paths are made when it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(crate) enum Content {
    /// Diff ids, lowest first.
    Native { layers: Vec<Digest> },
    /// A module among the blobs.
    Wasm { module: Digest, world: wasm::World },
}

/// One name, as written to `refs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) image: Digest,
}

impl Disk {
    pub(crate) fn put_record(&self, record: &Record) -> io::Result<()> {
        self.write(&self.record_path(&record.digest), &json(record)?)
    }

    pub(crate) fn put_name(&self, name: &str, image: &Digest) -> io::Result<()> {
        let name = Name { name: name.to_owned(), image: image.clone() };
        self.write(&self.name_path(&name.name), &json(&name)?)
    }

    /// The image behind a canonical name or digest, if it is complete.
    pub(crate) fn find(&self, wanted: &Wanted) -> io::Result<Option<Record>> {
        let record = match wanted {
            Wanted::Digest(digest) => self.by_digest(digest)?,
            Wanted::Reference(reference) => {
                let path = self.name_path(&reference.to_string());
                match (read::<Name>(&path)?, reference.digest()) {
                    (Some(name), _) => self.record(&name.image)?,
                    // The digest names the bytes, wherever they came from.
                    (None, Some(digest)) => self.by_digest(digest)?,
                    (None, None) => None,
                }
            }
        };
        Ok(record.filter(|record| self.is_complete(record)))
    }

    fn by_digest(&self, digest: &Digest) -> io::Result<Option<Record>> {
        if let Some(record) = self.record(digest)? {
            return Ok(Some(record));
        }
        let all = self.all_records()?;
        Ok(all.into_iter().find(|record| record.index_digest.as_ref() == Some(digest)))
    }

    fn record(&self, digest: &Digest) -> io::Result<Option<Record>> {
        read(&self.record_path(digest))
    }

    pub(crate) fn all_records(&self) -> io::Result<Vec<Record>> {
        read_folder(&self.records())
    }

    /// All names, sorted.
    pub(crate) fn all_names(&self) -> io::Result<Vec<Name>> {
        let mut names: Vec<Name> = read_folder(&self.names())?;
        names.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(names)
    }

    pub(crate) fn remove_name(&self, name: &str) -> io::Result<()> {
        super::disk::remove(&self.name_path(name))
    }

    pub(crate) fn remove_record(&self, digest: &Digest) -> io::Result<()> {
        super::disk::remove(&self.record_path(digest))
    }

    /// Files that a record needs may be gone after somebody cleaned by hand; then it must be pulled
    /// again. Layers unpacked as root are of no use to others, and the reverse.
    pub(crate) fn is_complete(&self, record: &Record) -> bool {
        match &record.content {
            Content::Native { layers } => layers.iter().all(|layer| self.layer(layer).is_dir()),
            Content::Wasm { module, .. } => self.blob(module).is_file(),
        }
    }

    /// The record with its names and paths.
    pub(crate) fn image(&self, record: Record, names: &[Name]) -> Image {
        let kind = match record.content {
            Content::Native { layers } => ImageKind::Native {
                lowerdirs: layers.iter().rev().map(|layer| self.layer(layer)).collect(),
            },
            Content::Wasm { module, world } => {
                ImageKind::Wasm { module: self.blob(&module), module_digest: module, world }
            }
        };
        let mine = names.iter().filter(|name| name.image == record.digest);
        Image {
            names: mine.map(|name| name.name.clone()).collect(),
            digest: record.digest,
            index_digest: record.index_digest,
            size: record.size,
            created: record.created,
            added: record.added,
            platform: record.platform,
            config: record.config,
            kind,
        }
    }

    fn record_path(&self, digest: &Digest) -> std::path::PathBuf {
        self.records().join(format!("{}.json", digest.hex()))
    }

    fn name_path(&self, name: &str) -> std::path::PathBuf {
        self.names().join(format!("{}.json", Digest::of(name.as_bytes()).hex()))
    }
}

/// What a caller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// `sha256:…` of a manifest or index.
    Digest(Digest),
    /// A name.
    Reference(Reference),
}

fn json<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::other)
}

/// A file that is missing, or that another version wrote differently, counts as absent.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "unreadable image record ignored");
            Ok(None)
        }
    }
}

fn read_folder<T: DeserializeOwned>(folder: &Path) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.extend(read(&entry?.path())?);
    }
    Ok(found)
}
