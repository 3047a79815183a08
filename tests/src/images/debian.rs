//! A small Debian root: real packages from the distribution, unpacked with `dpkg -x`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::program;

/// A shell, the usual programs, and the libraries they need.
const PACKAGES: &[&str] = &[
    "base-files",
    "base-passwd",
    "coreutils",
    "dash",
    "libacl1",
    "libattr1",
    "libc6",
    "libgmp10",
    "libpcre2-8-0",
    "libselinux1",
];

/// Fills the empty directory `root`. The packages are downloaded once and kept in the target folder.
pub fn rootfs(root: &Path) -> Result<()> {
    let cache = program::repository().join("target/debian-packages");
    fs::create_dir_all(&cache)?;
    for package in PACKAGES {
        let file = match cached(&cache, package)? {
            Some(file) => file,
            None => download(&cache, package)?,
        };
        let unpacked =
            Command::new(program::find("dpkg")?).arg("-x").arg(&file).arg(root).output()?;
        let words = String::from_utf8_lossy(&unpacked.stderr).into_owned();
        ensure!(unpacked.status.success(), "dpkg -x {}: {words}", file.display());
    }
    // What the package's installation script would do.
    fs::copy(root.join("usr/share/base-passwd/passwd.master"), root.join("etc/passwd"))?;
    fs::copy(root.join("usr/share/base-passwd/group.master"), root.join("etc/group"))?;
    Ok(())
}

fn cached(cache: &Path, package: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(cache)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&format!("{package}_")) && name.ends_with(".deb") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Into a folder of its own first: two test processes may want the same package.
fn download(cache: &Path, package: &str) -> Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("download-").tempdir_in(cache)?;
    let output = Command::new(program::find("apt-get")?)
        .args(["-qq", "-o", "APT::Sandbox::User=root", "download", package])
        .current_dir(folder.path())
        .output()?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "apt-get download {package}: {words}");
    let file = cached(folder.path(), package)?.context("apt-get downloaded nothing")?;
    let place = cache.join(file.file_name().context("a file name")?);
    fs::rename(&file, &place)?;
    Ok(place)
}
