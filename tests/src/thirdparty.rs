//! Programs that nobody here wrote, fetched from public package registries.
//!
//! They are the proof that a stranger's program runs; the repository carries none of them. A package is
//! fetched once per target folder, by the registry's own client, which also verifies it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::program;

/// `@wasmer/wasi` 1.2.2 (MIT): small WASI preview 1 programs compiled from Rust, under `tests/`.
pub const WASMER_WASI: (&str, &str) = ("@wasmer/wasi", "1.2.2");

/// The path of `file` in version `version` of the npm package `name`, fetching the package if need be.
///
/// Safe to call from several tests and test processes at once.
pub fn npm((name, version): (&str, &str), file: &str) -> Result<PathBuf> {
    let folder = cache().join(format!("{}-{version}", name.replace(['@', '/'], "_")));
    let path = folder.join("package").join(file);
    if !path.is_file() {
        fetch(&format!("{name}@{version}"), &folder)?;
    }
    ensure!(path.is_file(), "npm package {name} {version} has no file {file}");
    Ok(path)
}

/// Where packages are kept: in the target folder that the test runs from, so that nothing else needs care.
pub(crate) fn cache() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map_or_else(std::env::temp_dir, Path::to_path_buf).join("thirdparty")
}

/// Fetches and unpacks beside `folder`, then moves into place: whoever comes second finds it there.
fn fetch(package: &str, folder: &Path) -> Result<()> {
    let parent = folder.parent().context("the cache has a parent folder")?;
    fs::create_dir_all(parent)?;
    let work = tempfile::tempdir_in(parent)?;
    let npm = Command::new(program::find("npm")?)
        .args(["pack", "--silent", package])
        .env("npm_config_cache", work.path().join("npm-cache"))
        .current_dir(work.path())
        .output()?;
    ensure!(
        npm.status.success(),
        "npm cannot fetch {package} (is the npm registry reachable?): {}",
        String::from_utf8_lossy(&npm.stderr)
    );
    let archive = String::from_utf8(npm.stdout)?.trim().to_owned();
    let unpacked = work.path().join("unpacked");
    fs::create_dir(&unpacked)?;
    let tar = Command::new(program::find("tar")?)
        .arg("xzf")
        .arg(work.path().join(&archive))
        .arg("-C")
        .arg(&unpacked)
        .status()?;
    ensure!(tar.success(), "cannot unpack {archive}");
    match fs::rename(&unpacked, folder) {
        Err(_) if folder.join("package").is_dir() => Ok(()),
        moved => moved.with_context(|| format!("cannot move {package} into {}", folder.display())),
    }
}
