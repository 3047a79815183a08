//! Puts files into a volume so that readers see either all of the old or all of the new.
//!
//! As the kubelet's AtomicWriter: files are in a directory `..<time>`, `..data` is a symlink to it that
//! is replaced by a rename, and every visible name is a symlink `name -> ..data/name` that never changes.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::payload::Payload;
use super::{VolumeError, chmod, own};

/// Name of the link that is swapped.
const DATA: &str = "..data";
/// Name under which the next link waits for its rename.
const NEXT: &str = "..data_tmp";

/// Makes `dir` show exactly `files`. Does nothing if it already does.
pub(crate) fn write(dir: &Path, files: &Payload, fs_group: Option<u32>) -> Result<(), VolumeError> {
    let link = dir.join(DATA);
    let current = std::fs::read_link(&link).ok();
    if let Some(current) = &current
        && is_same(&dir.join(current), files)
    {
        return Ok(());
    }
    let version = free_name(dir);
    let fresh = dir.join(&version);
    if let Err(error) = write_version(&fresh, files, fs_group) {
        // Tried again and again on a full disk, halves would only fill it further.
        let _ = std::fs::remove_dir_all(&fresh);
        return Err(error);
    }

    let next = dir.join(NEXT);
    let _ = std::fs::remove_file(&next);
    symlink(&version, &next).map_err(VolumeError::file("link", &next))?;
    std::fs::rename(&next, &link).map_err(VolumeError::file("rename into", &link))?;

    let visible: BTreeSet<&str> =
        files.keys().map(|path| path.split('/').next().unwrap_or(path)).collect();
    for name in &visible {
        let shown = dir.join(name);
        if std::fs::symlink_metadata(&shown).is_err() {
            symlink(Path::new(DATA).join(name), &shown)
                .map_err(VolumeError::file("link", &shown))?;
        }
    }
    remove_stale(dir, &visible, &version)
}

fn is_same(version: &Path, files: &Payload) -> bool {
    let mut found = 0;
    let mut pending = vec![version.to_owned()];
    while let Some(dir) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { return false };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                _ => found += 1,
            }
        }
    }
    found == files.len()
        && files.iter().all(|(path, file)| {
            std::fs::read(version.join(path)).is_ok_and(|bytes| bytes == file.bytes)
        })
}

fn free_name(dir: &Path) -> String {
    let stamp = jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S").to_string();
    (0_u32..)
        .map(|n| format!("..{stamp}.{n}"))
        .find(|name| !dir.join(name).exists())
        .expect("numbers do not run out before names do")
}

fn write_version(
    version: &Path,
    files: &Payload,
    fs_group: Option<u32>,
) -> Result<(), VolumeError> {
    make_shared_dir(version, fs_group)?;
    for (path, file) in files {
        let mut parent = version.to_owned();
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap_or_default();
        for part in parts {
            parent.push(part);
            if !parent.is_dir() {
                make_shared_dir(&parent, fs_group)?;
            }
        }
        let target = parent.join(name);
        std::fs::write(&target, &file.bytes).map_err(VolumeError::file("write", &target))?;
        let mut mode = file.mode;
        if let Some(group) = fs_group {
            own(&target, group)?;
            mode |= 0o440;
        }
        chmod(&target, mode)?;
    }
    Ok(())
}

fn make_shared_dir(path: &Path, fs_group: Option<u32>) -> Result<(), VolumeError> {
    std::fs::create_dir(path).map_err(VolumeError::file("create", path))?;
    match fs_group {
        Some(group) => {
            own(path, group)?;
            chmod(path, 0o2755)
        }
        None => chmod(path, 0o755),
    }
}

fn remove_stale(dir: &Path, visible: &BTreeSet<&str>, version: &str) -> Result<(), VolumeError> {
    for entry in std::fs::read_dir(dir).map_err(VolumeError::file("read", dir))?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = entry.path();
        if name == DATA || name == version || visible.contains(name) {
            continue;
        }
        let removed = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.map_err(VolumeError::file("remove", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::payload::File;
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn payload(files: &[(&str, &str, u32)]) -> Payload {
        files
            .iter()
            .map(|(path, text, mode)| {
                ((*path).into(), File { bytes: text.as_bytes().to_vec(), mode: *mode })
            })
            .collect()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| !name.starts_with("..2"));
        names.sort();
        names
    }

    #[test]
    fn swaps_whole_versions() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        write(dir, &payload(&[("a", "1", 0o400), ("d/x", "2", 0o644)]), None).unwrap();
        assert_eq!(names(dir), ["..data", "a", "d"]);
        assert_eq!(std::fs::read_to_string(dir.join("d/x")).unwrap(), "2");
        assert_eq!(std::fs::metadata(dir.join("a")).unwrap().permissions().mode() & 0o7777, 0o400);
        let first = std::fs::read_link(dir.join("..data")).unwrap();

        write(dir, &payload(&[("a", "1", 0o400), ("d/x", "2", 0o644)]), None).unwrap();
        assert_eq!(
            std::fs::read_link(dir.join("..data")).unwrap(),
            first,
            "nothing changed, nothing is written"
        );

        write(dir, &payload(&[("a", "3", 0o400), ("b", "4", 0o644)]), None).unwrap();
        assert_eq!(names(dir), ["..data", "a", "b"]);
        assert_eq!(std::fs::read_to_string(dir.join("a")).unwrap(), "3");
        assert!(!dir.join(first).exists(), "the old version is gone");
    }

    #[test]
    fn failed_version_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), &payload(&[("a", "1", 0o644)]), None).unwrap();
        write(temp.path(), &payload(&[("a", "2", 0o644), ("a/b", "3", 0o644)]), None).unwrap_err();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 3, "..data, its target, a");
        assert_eq!(std::fs::read_to_string(temp.path().join("a")).unwrap(), "1");
    }

    #[test]
    fn fs_group_owns_and_reads() {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), &payload(&[("d/a", "1", 0o400)]), Some(4242)).unwrap();
        let file = std::fs::metadata(temp.path().join("d/a")).unwrap();
        assert_eq!((file.gid(), file.mode() & 0o777), (4242, 0o440));
        let parent = std::fs::metadata(temp.path().join("d")).unwrap();
        assert_eq!((parent.gid(), parent.mode() & 0o7777), (4242, 0o2755));
    }
}
