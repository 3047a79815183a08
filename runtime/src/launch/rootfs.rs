//! The container's root before it is one: every path is resolved inside it by the kernel.
//!
//! An image may hold `/etc -> /../../host`. `openat2` with `RESOLVE_IN_ROOT` treats the root's
//! descriptor as `/` for `..` and for absolute links, so no path that an image chose leads outside.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::LaunchError;

/// A descriptor on the container's root directory.
pub(super) struct Root(OwnedFd);

/// What must be at a path that something is mounted on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

impl Root {
    pub(super) fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }

    /// What is at `target` now, or the error.
    pub(super) fn find(&self, target: &str) -> Result<OwnedFd, Errno> {
        open_in(self.0.as_fd(), target, ResolveFlags::empty())
    }

    /// The directory at `target`, made with its parents if it is missing.
    pub(super) fn directory(&self, target: &str, mode: u32) -> Result<OwnedFd, LaunchError> {
        self.ensure(target, Kind::Directory, mode)
            .map_err(|e| LaunchError::step("make directory", target, e))
    }

    /// A directory to mount a kernel file system on. No link may lead there: what is mounted on `/` through
    /// an image's `/proc -> .` stays within reach at `/..`, while what is masked and made read-only is
    /// looked for elsewhere. runc refuses this as well.
    pub(super) fn plain_directory(&self, target: &str) -> Result<OwnedFd, LaunchError> {
        self.mountpoint(target, Kind::Directory)?;
        open_in(self.0.as_fd(), target, ResolveFlags::NO_SYMLINKS)
            .map_err(|e| LaunchError::step("use as an ordinary directory", target, e))
    }

    /// Something to mount on at `target`.
    pub(super) fn mountpoint(&self, target: &str, kind: Kind) -> Result<OwnedFd, LaunchError> {
        self.ensure(target, kind, if kind == Kind::File { 0o644 } else { 0o755 })
            .map_err(|e| LaunchError::step("make mount point", target, e))
    }

    /// A symbolic link at `target`, unless something is there.
    pub(super) fn symlink(&self, target: &str, link: &str) -> Result<(), LaunchError> {
        let failed = |e: Errno| LaunchError::step("make symbolic link", target, e);
        let (parent, name) = target.rsplit_once('/').unwrap_or(("", target));
        let parent = self.ensure(parent, Kind::Directory, 0o755).map_err(failed)?;
        match rustix::fs::symlinkat(link, &parent, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(failed(e)),
        }
    }

    /// Walks component by component and makes what is missing, never through a link that leads out.
    fn ensure(&self, target: &str, kind: Kind, mode: u32) -> Result<OwnedFd, Errno> {
        match self.find(target) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let components: Vec<&str> =
            target.split('/').filter(|c| !c.is_empty() && *c != ".").collect();
        let mut walked = String::new();
        let mut parent = self.find("/")?;
        for (index, name) in components.iter().enumerate() {
            walked.push('/');
            walked.push_str(name);
            let last = index + 1 == components.len();
            parent = match self.find(&walked) {
                Err(Errno::NOENT) => {
                    if last && kind == Kind::File {
                        let mode = Mode::from_raw_mode(mode);
                        let made =
                            rustix::fs::mknodat(&parent, *name, FileType::RegularFile, mode, 0);
                        // A dangling link would be in the way; nothing is ever written through one.
                        made?;
                    } else {
                        let mode = Mode::from_raw_mode(if last { mode } else { 0o755 });
                        rustix::fs::mkdirat(&parent, *name, mode)?;
                    }
                    self.find(&walked)?
                }
                found => found?,
            };
        }
        Ok(parent)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `target` under `root`, as a path descriptor.
fn open_in(root: BorrowedFd<'_>, target: &str, further: ResolveFlags) -> Result<OwnedFd, Errno> {
    let relative = target.trim_start_matches('/');
    let relative = if relative.is_empty() { "." } else { relative };
    rustix::fs::openat2(
        root,
        relative,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | further,
    )
}

/// Whether a path descriptor is a directory.
pub(super) fn kind_of(file: BorrowedFd<'_>) -> Result<Kind, Errno> {
    let stat = rustix::fs::statat(file, "", AtFlags::EMPTY_PATH)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        Ok(Kind::Directory)
    } else {
        Ok(Kind::File)
    }
}
