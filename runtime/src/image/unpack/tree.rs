//! A directory that cannot be left: every path is resolved by the kernel with the layer as its root.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags, lsetxattr, mkdirat, open,
    openat2, statat, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::UnpackError;

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
/// Directories that a layer implies without listing them.
const IMPLIED: Mode = Mode::from_raw_mode(0o755);

/// The layer's directory.
pub(super) struct Tree {
    root: OwnedFd,
}

/// Where an entry goes: an open directory inside the layer and a name in it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: OsString,
    /// The path as the layer has it, for error texts and to come back.
    pub(super) path: PathBuf,
}

impl Tree {
    pub(super) fn create(target: &Path) -> Result<Self, UnpackError> {
        let wrong = |source: io::Error| UnpackError::Write {
            operation: "create",
            entry: target.display().to_string(),
            source,
        };
        if !target.exists() {
            DirBuilder::new().mode(0o755).create(target).map_err(wrong)?;
        }
        let root = open(target, FOLDER | OFlags::RDONLY, Mode::empty());
        Ok(Self { root: root.map_err(|errno| wrong(errno.into()))? })
    }

    /// The place of `path`, whose parents are made as needed.
    pub(super) fn place(&self, path: &Path) -> Result<Place, UnpackError> {
        let name = path.file_name().unwrap_or(OsStr::new(".")).to_owned();
        let parent = path.parent().unwrap_or(Path::new(""));
        let folder = self.folder_made(parent).map_err(write("open the parent of", path))?;
        Ok(Place { folder, name, path: path.to_owned() })
    }

    /// The place of `path` if its parent exists.
    pub(super) fn existing_place(&self, path: &Path) -> Result<Option<Place>, UnpackError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        match self.folder(parent) {
            Ok(folder) => {
                let name = path.file_name().unwrap_or(OsStr::new(".")).to_owned();
                Ok(Some(Place { folder, name, path: path.to_owned() }))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(write("open the parent of", path)(errno)),
        }
    }

    fn folder(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        openat2(&self.root, path, FOLDER | OFlags::RDONLY, Mode::empty(), INSIDE)
    }

    fn folder_made(&self, path: &Path) -> Result<OwnedFd, Errno> {
        match self.folder(path) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        // Step by step, so that every existing step may be a link to somewhere inside.
        let mut folder = self.folder(Path::new(""))?;
        let mut so_far = PathBuf::new();
        for part in path.components() {
            so_far.push(part);
            folder = match self.folder(&so_far) {
                Ok(folder) => folder,
                Err(Errno::NOENT) => {
                    match mkdirat(&folder, part.as_os_str(), IMPLIED) {
                        // A link to nowhere stands where a directory is needed.
                        Err(Errno::EXIST) => unlinkat(&folder, part.as_os_str(), AtFlags::empty())
                            .and_then(|()| mkdirat(&folder, part.as_os_str(), IMPLIED))?,
                        made => made?,
                    }
                    self.folder(&so_far)?
                }
                Err(errno) => return Err(errno),
            };
        }
        Ok(folder)
    }

    /// Everything to disk before the directory gets its final name.
    pub(super) fn sync(&self) -> Result<(), UnpackError> {
        syncfs(&self.root).map_err(write("flush", Path::new("/")))
    }
}

impl Place {
    /// What is there now, links not followed.
    pub(super) fn stat(&self) -> Result<Option<Stat>, UnpackError> {
        match statat(&self.folder, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("look at")(errno)),
        }
    }

    /// A new, empty file open for writing.
    pub(super) fn create_file(&self) -> Result<File, UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::openat(&self.folder, &*self.name, flags | OFlags::CLOEXEC, mode)
            .map(File::from)
            .map_err(self.failed("create"))
    }

    /// Removes whatever is there, a directory with all that is in it.
    pub(super) fn clear(&self) -> Result<(), UnpackError> {
        clear(self.folder.as_fd(), &self.name).map_err(self.failed("replace"))
    }

    pub(super) fn set_xattr(&self, name: &str, value: &[u8]) -> Result<(), Errno> {
        // There is no *at form; the last component is not followed, the one before is our descriptor.
        let folder = Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string());
        lsetxattr(folder.join(&self.name), name, value, XattrFlags::empty())
    }

    pub(super) fn failed(&self, operation: &'static str) -> impl Fn(Errno) -> UnpackError + '_ {
        write(operation, &self.path)
    }
}

fn write<'a>(operation: &'static str, path: &'a Path) -> impl Fn(Errno) -> UnpackError + 'a {
    move |errno| UnpackError::Write {
        operation,
        entry: path.display().to_string(),
        source: errno.into(),
    }
}

fn clear(folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        done => return done,
    }
    crate::remove_tree::remove_at(folder, name)
}

/// The file type bits of `stat`.
pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
