//! Rotation: `0.log`, `0.log.1`, … `0.log.4`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file that has grown this large is put aside; the kubelet's `containerLogMaxSize`.
pub(crate) const MAX_SIZE: u64 = 10 << 20;

/// Files kept per attempt; the kubelet's `containerLogMaxFiles`.
pub(crate) const MAX_FILES: u32 = 5;

/// The file that holds what was written `age` rotations ago.
pub(crate) fn rotated(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

/// Puts the current file aside; the oldest is gone.
pub(crate) fn rotate(path: &Path) -> io::Result<()> {
    for age in (0..MAX_FILES - 1).rev() {
        match fs::rename(rotated(path, age), rotated(path, age + 1)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes an attempt's log files.
pub fn remove_logs(path: &Path) -> io::Result<()> {
    for age in 0..MAX_FILES {
        match fs::remove_file(rotated(path, age)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}
