//! Removal of a pod's files: first every mount below, then the directory.
//!
//! A sub-path may be a bind mount of a host directory, so nothing is deleted as long as anything is
//! mounted below: a recursive removal must never walk into somebody's data.

use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use super::{PodDir, VolumeError};

/// Unmounts and removes everything of a pod. What does not exist is removed already.
pub(crate) fn remove(dir: &PodDir) -> Result<(), VolumeError> {
    let root = dir.root();
    if !root.exists() {
        return Ok(());
    }
    unmount_below(root)?;
    if let Some(left) = mounts_below(root)?.first() {
        return Err(VolumeError::errno("unmount", left)(rustix::io::Errno::BUSY));
    }
    // Containers have filled it, perhaps with directories nested without end.
    runtime::remove_tree(root).map_err(VolumeError::file("remove", root))
}

/// Unmounts everything at or below `path`.
pub(super) fn unmount_below(path: &Path) -> Result<(), VolumeError> {
    for mount in mounts_below(path)? {
        rustix::mount::unmount(&mount, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .map_err(VolumeError::errno("unmount", &mount))?;
    }
    Ok(())
}

/// Whether something is mounted on `path` itself.
pub(super) fn is_mount(path: &Path) -> Result<bool, VolumeError> {
    let real = path.canonicalize().map_err(VolumeError::file("resolve", path))?;
    Ok(mounts_below(path)?.contains(&real))
}

/// Mount points at or below `path`, deepest first.
fn mounts_below(path: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let table = Path::new("/proc/self/mountinfo");
    let text = std::fs::read_to_string(table).map_err(VolumeError::file("read", table))?;
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut mounts: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|mount| mount.starts_with(&real))
        .collect();
    mounts.reverse();
    Ok(mounts)
}

/// mountinfo writes blanks and backslashes as three octal digits (proc_pid_mountinfo(5)).
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.as_bytes();
    while let [first, rest @ ..] = bytes {
        let code = rest
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (*first, code) {
            (b'\\', Some(code)) => {
                out.push(code);
                bytes = &rest[3..];
            }
            (byte, _) => {
                out.push(byte);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_escapes() {
        assert_eq!(unescape("/a\\040b\\134c/\\"), "/a b\\c/\\");
    }

    #[test]
    fn never_walks_into_a_mount() {
        let temp = tempfile::tempdir().unwrap();
        let precious = temp.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        std::fs::write(precious.join("data"), "keep").unwrap();
        let dir = PodDir::new(temp.path(), "uid");
        let target = dir.sub_path("c", 0);
        std::fs::create_dir_all(&target).unwrap();
        rustix::mount::mount_bind(&precious, &target).expect("tests run as root");
        super::super::unmount_all(temp.path()).unwrap();
        assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0, "still mounted");
        super::super::unmount_all(&temp.path().join("none")).unwrap();
        rustix::mount::mount_bind(&precious, &target).expect("tests run as root");
        remove(&dir).unwrap();
        assert!(!dir.root().exists());
        assert_eq!(std::fs::read_to_string(precious.join("data")).unwrap(), "keep");
        remove(&dir).unwrap();
    }
}
