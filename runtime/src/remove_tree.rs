//! Removing directories that strangers have filled.
//!
//! A container can nest directories without end, and whoever removes them level by level pays with a
//! stack frame or a descriptor for each: `std::fs::remove_dir_all` overflows its stack. Here every
//! directory's subdirectories are moved up to the top before it is removed, so nothing is ever deeper
//! than two levels, and no path is ever longer than a name.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, openat, renameat_with, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;

/// Removes a directory with all that is in it, following no link. Blocking.
///
/// Nobody may be adding to it meanwhile.
///
/// # Errors
/// `NotFound` if there is nothing; what the kernel says otherwise.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    remove_at(CWD, path).map_err(Into::into)
}

/// The same for the directory `name` in `folder`.
pub(crate) fn remove_at(folder: BorrowedFd<'_>, name: impl Arg + Copy) -> Result<(), Errno> {
    let top = open(folder, name)?;
    let mut raised = 0;
    loop {
        let mut empty = true;
        for name in names(&top)? {
            let name = name?;
            empty = false;
            if is_file(top.as_fd(), &name)? {
                continue;
            }
            raise(open(top.as_fd(), name.as_c_str())?.as_fd(), top.as_fd(), &mut raised)?;
            unlinkat(&top, name.as_c_str(), AtFlags::REMOVEDIR)?;
        }
        if empty {
            return unlinkat(folder, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Empties `folder`: removes its files and moves its directories to `top`.
fn raise(folder: BorrowedFd<'_>, top: BorrowedFd<'_>, raised: &mut u64) -> Result<(), Errno> {
    for name in names(folder)? {
        let name = name?;
        if is_file(folder, &name)? {
            continue;
        }
        loop {
            *raised += 1;
            let place = format!(".raised-{raised}");
            match renameat_with(folder, name.as_c_str(), top, place, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                moved => break moved?,
            }
        }
    }
    Ok(())
}

/// Removes what is not a directory; `false` if it is one.
fn is_file(folder: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(e) => Err(e),
    }
}

fn open(folder: BorrowedFd<'_>, name: impl Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

fn names(folder: impl AsFd) -> Result<impl Iterator<Item = Result<CString, Errno>>, Errno> {
    let entries = Dir::read_from(folder)?;
    Ok(entries.filter_map(|entry| match entry {
        Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => None,
        other => Some(other.map(|entry| entry.file_name().to_owned())),
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_goes_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, outside) = (folder.path().join("tree"), folder.path().join("outside"));
        fs::create_dir_all(tree.join("a/b/c/d")).unwrap();
        fs::create_dir_all(tree.join("a/b/e")).unwrap();
        // In the way of the first move.
        fs::write(tree.join(".raised-1"), "x").unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        symlink(&outside, tree.join("a/b/c/link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
        assert_eq!(remove_tree(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
        symlink(&outside, &tree).unwrap();
        assert!(remove_tree(&tree).is_err() && outside.join("kept").exists());
    }

    /// The standard library's way overflows a thread's stack at this depth, or runs out of descriptors.
    #[test]
    fn a_bottomless_directory_is_removed() {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(folder).unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut deepest = open(CWD, &tree).unwrap();
        for _ in 0..30_000 {
            rustix::fs::mkdirat(&deepest, "d", Mode::from_raw_mode(0o755)).unwrap();
            deepest = open(deepest.as_fd(), "d").unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
