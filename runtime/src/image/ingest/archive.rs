//! Archives of images, taken apart into a folder that looks like an OCI layout.
//!
//! Files already named by digest keep their name and are verified when they are used; everything
//! else (Docker's `layer.tar`, configs, `manifest.json`) is stored under the digest it has. Nothing
//! is ever written under a name from the archive.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::image::digest::{self, Digest};
use crate::image::sniff::{Content, sniff_file};

/// Archives nest links one deep; more is a loop.
const MOST_LINKS: usize = 8;

/// An archive that has been taken apart.
#[derive(Debug)]
pub(super) struct Archive {
    /// Holds `blobs/sha256/`.
    pub(super) folder: PathBuf,
    files: BTreeMap<PathBuf, Digest>,
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Archive {
    /// Takes the tar at `path` (plain, gzip or zstd) apart into the missing directory `folder`.
    pub(super) fn open(path: &Path, folder: &Path) -> io::Result<Self> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let file = BufReader::new(File::open(path)?);
        let reader: Box<dyn Read> = match sniff_file(path)? {
            Content::Gzip => Box::new(MultiGzDecoder::new(file)),
            Content::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
            _ => Box::new(file),
        };
        let mut archive =
            Self { folder: folder.to_owned(), files: BTreeMap::new(), links: BTreeMap::new() };
        let mut tar = tar::Archive::new(reader);
        for (number, entry) in tar.entries()?.enumerate() {
            archive.add(&mut entry?, &blobs, number)?;
        }
        Ok(archive)
    }

    fn add(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        blobs: &Path,
        number: usize,
    ) -> io::Result<()> {
        let name = normal(&entry.path()?);
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let draft = blobs.join(format!("incoming-{number}"));
                let mut file = File::create_new(&draft)?;
                let (actual, _) = digest::copy(entry, &mut file)?;
                // Its own claim: whoever uses the blob verifies it and can say what is wrong.
                let digest = claimed(&name).unwrap_or(actual);
                fs::rename(&draft, blobs.join(digest.hex()))?;
                self.files.insert(name, digest);
            }
            // `docker save` of old replaced repeated layers by links.
            tar::EntryType::Symlink => {
                if let Some(target) = entry.link_name()? {
                    let folder = name.parent().unwrap_or(Path::new(""));
                    let target = normal(&folder.join(target));
                    self.links.insert(name, target);
                }
            }
            tar::EntryType::Link => {
                if let Some(target) = entry.link_name()? {
                    self.links.insert(name, normal(&target));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The digest and size of the file that the archive calls `name`.
    pub(super) fn find(&self, name: &str) -> io::Result<Option<(Digest, u64)>> {
        let mut name = normal(Path::new(name));
        for _ in 0..MOST_LINKS {
            if let Some(digest) = self.files.get(&name) {
                let size = fs::metadata(self.path(digest))?.len();
                return Ok(Some((digest.clone(), size)));
            }
            match self.links.get(&name) {
                Some(target) => name = target.clone(),
                None => break,
            }
        }
        Ok(None)
    }

    /// The content of a small file.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.find(name)? {
            Some((digest, _)) => fs::read(self.path(&digest)).map(Some),
            None => Ok(None),
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.hex())
    }
}

/// The digest in a name like `blobs/sha256/<hex>`.
fn claimed(name: &Path) -> Option<Digest> {
    let hex = name.strip_prefix("blobs/sha256").ok()?;
    std::str::from_utf8(hex.as_os_str().as_bytes())
        .ok()
        .and_then(|hex| format!("sha256:{hex}").parse().ok())
}

/// The name without `.`, `..` and a leading slash: a key, never a path.
fn normal(name: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => normal.push(part),
            Component::ParentDir => {
                normal.pop();
            }
            _ => {}
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_keys() {
        for (name, key) in
            [("./a/b", "a/b"), ("../../etc/x", "etc/x"), ("a/../b", "b"), ("/x", "x")]
        {
            assert_eq!(normal(Path::new(name)), Path::new(key), "{name}");
        }
    }

    #[test]
    fn nothing_is_written_under_a_name_of_the_archive() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("evil.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_size(4);
        header.set_mode(0o644);
        // The crate's own setters refuse such a name.
        header.as_old_mut().name[..12].copy_from_slice(b"../../escape");
        header.set_cksum();
        builder.append(&header, &b"evil"[..]).unwrap();
        builder.into_inner().unwrap();
        let archive = Archive::open(&path, &temp.path().join("a/b/c")).unwrap();
        assert_eq!(archive.read("escape").unwrap().as_deref(), Some(&b"evil"[..]));
        let mut found: Vec<_> =
            fs::read_dir(temp.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        found.sort();
        assert_eq!(found, ["a", "evil.tar"]);
    }
}
