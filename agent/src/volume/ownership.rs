//! Gives everything in a folder to the pod's fsGroup.
//!
//! Containers of other pods may be writing to the folder at the same time: every step goes through a
//! descriptor that was opened without following a link, so that what is changed is inside.
//! Source: `pkg/volume/volume_linux.go` (SetVolumeOwnership).

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{VolumeError, chmod};

/// What the group may do with files.
const FILE: u32 = 0o660;
/// What the group may do with directories: what is made in them is the group's as well.
const DIRECTORY: u32 = 0o2770;

/// Gives `folder` and what is in it to `group`. With `only_if_root_differs`, a folder that is the group's
/// already is left as it is.
pub(super) fn give(
    folder: &Path,
    group: u32,
    only_if_root_differs: bool,
) -> Result<(), VolumeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, folder, flags, Mode::empty())
        .map_err(VolumeError::errno("open", folder))?;
    let stat = rustix::fs::fstat(&root).map_err(VolumeError::errno("look at", folder))?;
    if only_if_root_differs && stat.st_gid == group && stat.st_mode & DIRECTORY == DIRECTORY {
        return Ok(());
    }
    // The folder itself comes last: its state says that the rest is done.
    let mut left = vec![PathBuf::new()];
    while let Some(within) = left.pop() {
        let here = folder.join(&within);
        let opened = if within.as_os_str().is_empty() {
            rustix::fs::openat(&root, c".", flags, Mode::empty())
        } else {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            rustix::fs::openat2(&root, &within, flags, Mode::empty(), resolve)
        };
        let directory = match opened {
            Ok(directory) => directory,
            // Removed or replaced meanwhile: it is not there any more.
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => continue,
            Err(errno) => return Err(VolumeError::errno("open", &here)(errno)),
        };
        for name in entries(&directory).map_err(VolumeError::errno("read", &here))? {
            if give_entry(directory.as_fd(), &name, group)? == Some(FileType::Directory) {
                left.push(within.join(OsStr::from_bytes(name.to_bytes())));
            }
        }
    }
    give_opened(&root, &stat, group)
}

fn entries(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Gives one entry to the group; its type if it still is there.
fn give_entry(
    directory: BorrowedFd<'_>,
    name: &CStr,
    group: u32,
) -> Result<Option<FileType>, VolumeError> {
    let path = || PathBuf::from(name.to_string_lossy().into_owned());
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let entry = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(entry) => entry,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(VolumeError::errno("open", &path())(errno)),
    };
    let stat = rustix::fs::fstat(&entry).map_err(VolumeError::errno("look at", &path()))?;
    give_opened(&entry, &stat, group)?;
    Ok(Some(FileType::from_raw_mode(stat.st_mode)))
}

fn give_opened(entry: &OwnedFd, stat: &Stat, group: u32) -> Result<(), VolumeError> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", entry.as_raw_fd()));
    if stat.st_gid != group {
        rustix::fs::chownat(entry, c"", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)
            .map_err(VolumeError::errno("set the group of", &path))?;
    }
    let added = match FileType::from_raw_mode(stat.st_mode) {
        // A link has no rights of its own.
        FileType::Symlink => return Ok(()),
        FileType::Directory => DIRECTORY,
        _ => FILE,
    };
    let mode = stat.st_mode & 0o7777;
    // A change of the group takes set-group-ID away.
    if mode | added != mode || stat.st_gid != group {
        chmod(&path, mode | added)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_folder_becomes_the_groups_and_nothing_outside_does() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, outside) = (temp.path().join("folder"), temp.path().join("outside"));
        std::fs::create_dir_all(folder.join("a/b")).unwrap();
        std::fs::write(folder.join("a/b/file"), "").unwrap();
        std::fs::write(&outside, "").unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        std::os::unix::fs::symlink(temp.path(), folder.join("up")).unwrap();
        for path in [&outside, &folder.join("a/b/file")] {
            chmod(path, 0o600).unwrap();
        }
        chmod(&folder.join("a"), 0o700).unwrap();
        let seen = |path: &Path| {
            let metadata = std::fs::symlink_metadata(path).unwrap();
            (metadata.gid(), metadata.permissions().mode() & 0o7777)
        };
        let before = seen(&outside);
        give(&folder, 4242, false).expect("tests run as root");
        assert_eq!(seen(&folder.join("a")), (4242, 0o2770));
        assert_eq!(seen(&folder.join("a/b/file")), (4242, 0o660));
        assert_eq!(seen(&folder.join("link")).0, 4242, "the link itself");
        assert_eq!(seen(&outside), before);

        // Once it is the group's, new files are left alone if that was asked for.
        std::fs::write(folder.join("new"), "").unwrap();
        chmod(&folder.join("new"), 0o600).unwrap();
        give(&folder, 4242, true).unwrap();
        assert_eq!(seen(&folder.join("new")).1, 0o600);
        give(&folder, 4242, false).unwrap();
        assert_eq!(seen(&folder.join("new")).1, 0o660);
    }
}
