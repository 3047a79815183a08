//! Writing the entries of a layer, in the order that keeps what later steps would undo:
//! content, owner (clears set-id bits), mode, attributes (chown clears capabilities), time.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, chmodat, chownat, linkat,
    makedev, mkdirat, mknodat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::blocks::Blocks;
use super::entry::{self, Header, Kind, Metadata};
use super::tree::{Place, Tree, file_type};
use super::{Ownership, UnpackError};

/// A file that says: the entry with the rest of this name is gone.
const WHITEOUT: &[u8] = b".wh.";
/// A file that says: nothing of this directory comes from below.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names of the kind are aufs' own bookkeeping.
const BOOKKEEPING: &[u8] = b".wh..wh.";
/// How overlayfs marks an opaque directory.
const OVERLAY_OPAQUE: &str = "trusted.overlay.opaque";
/// The capabilities that a program gets when it is executed (capabilities(7)).
const FILE_CAPABILITIES: &str = "security.capability";
/// Copies in pieces of this size.
const BUFFER: usize = 256 * 1024;

struct Layer<'a> {
    tree: &'a Tree,
    ownership: Ownership,
    /// Times of directories, set last because writing into them changes them.
    folder_times: BTreeMap<PathBuf, Timespec>,
    /// Hard links to files that had not come yet.
    early_links: Vec<(PathBuf, PathBuf)>,
}

/// Writes every entry of the tar in `reader`; gives their number.
pub(super) fn all(
    reader: impl Read,
    tree: &Tree,
    ownership: Ownership,
) -> Result<u64, UnpackError> {
    let mut layer =
        Layer { tree, ownership, folder_times: BTreeMap::new(), early_links: Vec::new() };
    let mut blocks = Blocks::new(reader);
    let mut entries = 0;
    loop {
        let raw = blocks.next().map_err(|source| UnpackError::Corrupt { entries, source })?;
        let Some(raw) = raw else { break };
        layer.write(&entry::header(&raw)?, &mut blocks, entries)?;
        entries += 1;
    }
    layer.finish()?;
    Ok(entries)
}

impl Layer<'_> {
    fn write(
        &mut self,
        header: &Header,
        content: &mut impl Read,
        entries: u64,
    ) -> Result<(), UnpackError> {
        let Header { path, kind, metadata } = header;
        let name = path.file_name().map_or(&b""[..], OsStrExt::as_bytes);
        if name == OPAQUE {
            let parent = path.parent().unwrap_or(Path::new(""));
            return self.make_opaque(&self.tree.place(&parent.join("x"))?, true);
        }
        if name.starts_with(BOOKKEEPING) {
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            let hidden = path.with_file_name(std::ffi::OsStr::from_bytes(hidden));
            return self.hide(&self.tree.place(&hidden)?);
        }
        if path.as_os_str().is_empty() {
            return self.root(kind, metadata);
        }
        let place = self.tree.place(path)?;
        let before = place.stat()?;
        match kind {
            Kind::Directory => return self.folder(&place, before.as_ref(), metadata),
            Kind::HardLink { target } => return self.hard_link(&place, before.as_ref(), target),
            _ if before.is_some() => self.clear(&place)?,
            _ => {}
        }
        match kind {
            Kind::File => self.file(&place, content, entries)?,
            Kind::Symlink { target } => {
                symlinkat(target.as_path(), &place.folder, &*place.name)
                    .map_err(place.failed("link"))?;
            }
            Kind::Fifo => self.node(&place, FileType::Fifo, 0)?,
            Kind::Character { major, minor } if self.ownership == Ownership::Keep => {
                self.node(&place, FileType::CharacterDevice, makedev(*major, *minor))?;
            }
            Kind::Block { major, minor } if self.ownership == Ownership::Keep => {
                self.node(&place, FileType::BlockDevice, makedev(*major, *minor))?;
            }
            // Without root there are no devices.
            _ => return Ok(()),
        }
        self.finish_entry(&place, kind, metadata)
    }

    fn root(&mut self, kind: &Kind, metadata: &Metadata) -> Result<(), UnpackError> {
        if *kind != Kind::Directory {
            let what = "the layer's root, and not a directory".to_owned();
            return Err(UnpackError::Unsupported { entry: "/".to_owned(), what });
        }
        let place = self.tree.place(Path::new(""))?;
        self.folder_metadata(&place, metadata)
    }

    fn folder(
        &mut self,
        place: &Place,
        before: Option<&Stat>,
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        let replaces_whiteout = before.is_some_and(is_whiteout);
        match before {
            Some(stat) if file_type(stat) == FileType::Directory => {}
            other => {
                if other.is_some() {
                    self.clear(place)?;
                }
                mkdirat(&place.folder, &*place.name, Mode::from_raw_mode(0o700))
                    .map_err(place.failed("create"))?;
            }
        }
        if replaces_whiteout {
            // Gone below and new here: what is below must not shine through.
            self.make_opaque(place, false)?;
        }
        self.folder_metadata(place, metadata)
    }

    fn folder_metadata(&mut self, place: &Place, metadata: &Metadata) -> Result<(), UnpackError> {
        self.finish_entry(place, &Kind::Directory, metadata)?;
        self.folder_times.insert(place.path.clone(), metadata.mtime);
        Ok(())
    }

    fn file(
        &self,
        place: &Place,
        content: &mut impl Read,
        entries: u64,
    ) -> Result<(), UnpackError> {
        let mut file = place.create_file()?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(UnpackError::Corrupt { entries, source }),
            };
            file.write_all(&buffer[..count]).map_err(|source| UnpackError::Write {
                operation: "write",
                entry: place.path.display().to_string(),
                source,
            })?;
        }
    }

    fn node(&self, place: &Place, kind: FileType, device: u64) -> Result<(), UnpackError> {
        mknodat(&place.folder, &*place.name, kind, Mode::from_raw_mode(0o600), device)
            .map_err(place.failed("create"))
    }

    fn hard_link(
        &mut self,
        place: &Place,
        before: Option<&Stat>,
        target: &Path,
    ) -> Result<(), UnpackError> {
        let Some(source) = self.tree.existing_place(target)? else {
            self.early_links.push((place.path.clone(), target.to_owned()));
            return Ok(());
        };
        let Some(linked) = source.stat()? else {
            self.early_links.push((place.path.clone(), target.to_owned()));
            return Ok(());
        };
        match before {
            Some(stat) if (stat.st_dev, stat.st_ino) == (linked.st_dev, linked.st_ino) => {
                return Ok(());
            }
            Some(_) => self.clear(place)?,
            None => {}
        }
        linkat(&source.folder, &*source.name, &place.folder, &*place.name, AtFlags::empty())
            .map_err(place.failed("link"))
    }

    /// Removes what an earlier entry made; times noted for it are void.
    fn clear(&mut self, place: &Place) -> Result<(), UnpackError> {
        self.folder_times.retain(|path, _| !path.starts_with(&place.path));
        place.clear()
    }

    /// A whiteout, unless this very layer brings something of that name: whiteouts hide what is below.
    fn hide(&mut self, place: &Place) -> Result<(), UnpackError> {
        if place.name.is_empty() || place.name == "." || place.name == ".." {
            return Err(UnpackError::Name { entry: place.path.display().to_string() });
        }
        match place.stat()? {
            Some(stat) if file_type(&stat) == FileType::Directory => self.make_opaque(place, false),
            Some(_) => Ok(()),
            None => self.node(place, FileType::CharacterDevice, 0),
        }
    }

    /// Marks the directory at `place`, or the one that holds it, opaque.
    fn make_opaque(&self, place: &Place, parent: bool) -> Result<(), UnpackError> {
        if self.ownership == Ownership::Discard {
            // Only overlayfs reads the mark, and mounting that needs root as well.
            return Ok(());
        }
        let set = if parent {
            rustix::fs::fsetxattr(
                &place.folder,
                OVERLAY_OPAQUE,
                b"y",
                rustix::fs::XattrFlags::empty(),
            )
        } else {
            place.set_xattr(OVERLAY_OPAQUE, b"y")
        };
        set.map_err(place.failed("mark as opaque"))
    }

    fn finish_entry(
        &self,
        place: &Place,
        kind: &Kind,
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        let (folder, name) = (&place.folder, &*place.name);
        let keep = self.ownership == Ownership::Keep;
        if keep {
            let owner = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            chownat(folder, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(place.failed("change the owner of"))?;
        }
        if !matches!(kind, Kind::Symlink { .. }) {
            // A directory that its owner cannot enter could not be filled without root.
            let extra = if keep || *kind != Kind::Directory { 0 } else { 0o700 };
            let mode = Mode::from_raw_mode(metadata.mode | extra);
            chmodat(folder, name, mode, AtFlags::empty()).map_err(place.failed("chmod"))?;
        }
        self.xattrs(place, metadata)?;
        let times = times(metadata.mtime);
        utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(place.failed("set the time of"))
    }

    fn xattrs(&self, place: &Place, metadata: &Metadata) -> Result<(), UnpackError> {
        for (name, value) in &metadata.xattrs {
            if is_ours(name) || (self.ownership == Ownership::Discard && !name.starts_with("user."))
            {
                continue;
            }
            match place.set_xattr(name, value) {
                Ok(()) => {}
                Err(errno) if can_do_without(name, errno) => {
                    tracing::debug!(name, path = %place.path.display(), "attribute left out");
                }
                Err(errno) => return Err(place.failed("set an attribute of")(errno)),
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), UnpackError> {
        for (path, target) in std::mem::take(&mut self.early_links) {
            let place = self.tree.place(&path)?;
            let before = place.stat()?;
            self.hard_link(&place, before.as_ref(), &target)?;
            if !self.early_links.is_empty() {
                return Err(UnpackError::DanglingLink {
                    entry: path.display().to_string(),
                    target: target.display().to_string(),
                });
            }
        }
        for (path, time) in &self.folder_times {
            let place = self.tree.place(path)?;
            utimensat(&place.folder, &*place.name, &times(*time), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(place.failed("set the time of"))?;
        }
        self.tree.sync()
    }
}

/// Attributes that would let an image steer overlayfs or the host's labels.
fn is_ours(name: &str) -> bool {
    name.starts_with("trusted.overlay.")
        || name.starts_with("user.overlay.")
        || name == "security.selinux"
}

/// Whether an image runs without an attribute that was refused. Some file systems have none of a kind
/// (user.* on links and devices, security.* on network file systems), and some rights are missing even to
/// root (security.ima in a container without CAP_SYS_ADMIN). containerd and Docker go on likewise. A
/// program without its file capabilities, however, fails later and elsewhere.
fn can_do_without(name: &str, errno: Errno) -> bool {
    matches!(errno, Errno::NOTSUP | Errno::PERM) && name != FILE_CAPABILITIES
}

fn is_whiteout(stat: &Stat) -> bool {
    file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn times(mtime: Timespec) -> Timestamps {
    Timestamps { last_access: mtime, last_modification: mtime }
}
