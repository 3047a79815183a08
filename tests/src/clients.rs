//! The official Kubernetes clients of other languages, as they come from their package registries.
//!
//! They are installed once per target folder, at the versions that `tests/clients/` pins, by the
//! registry's own client. A machine may lack them, and a registry may be out of reach: then
//! [`absent`] says so, and `cargo xtask test` repeats it at its end.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, Result};

use crate::cluster::succeed;
use crate::images::sha256;
use crate::{program, thirdparty};

/// A folder for `PYTHONPATH` with the client of `tests/clients/python/requirements.txt`.
///
/// Needs a `python3` with pip, and the network the first time.
pub fn python() -> Result<PathBuf> {
    let python = program::find("python3")?;
    let requirements = scripts("python").join("requirements.txt");
    // Some of the packages are compiled for one version of Python.
    let version = succeed(Command::new(&python).arg("--version"))?;
    let pins = fs::read(&requirements).context("read requirements.txt")?;
    install("python", &[&pins, version.as_bytes()], |folder| {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.arg("--requirement").arg(&requirements).arg("--target").arg(folder);
        succeed(&mut pip)
    })
}

/// A folder for `NODE_PATH` with the client of `tests/clients/javascript/package-lock.json`.
///
/// Needs `node` and `npm`, and the network the first time.
pub fn javascript() -> Result<PathBuf> {
    program::find("node")?;
    let npm = program::find("npm")?;
    let lock = scripts("javascript").join("package-lock.json");
    let pins = fs::read(&lock).context("read package-lock.json")?;
    let folder = install("javascript", &[&pins], |folder| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(scripts("javascript").join(file), folder.join(file))?;
        }
        let mut npm = Command::new(&npm);
        npm.args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]);
        succeed(npm.current_dir(folder))
    })?;
    Ok(folder.join("node_modules"))
}

/// The repository's programs in the language `name`, which drive its client.
pub fn scripts(name: &str) -> PathBuf {
    program::repository().join("tests/clients").join(name)
}

/// Says that nothing was tested with `client` and why: in the test's output, and in the file that
/// `$WHARF_NOT_TESTED` names, where `cargo xtask test` looks.
pub fn absent(client: &str, why: &Error) {
    let words = format!("{client}: {why:#}").replace('\n', " ");
    eprintln!("not tested: {words}");
    let Some(file) = std::env::var_os("WHARF_NOT_TESTED") else { return };
    let file = OpenOptions::new().create(true).append(true).open(file);
    // One write: other test processes add their lines to the same file.
    file.and_then(|mut file| file.write_all(format!("{words}\n").as_bytes()))
        .expect("the suite's list of what was not tested can be written");
}

/// The folder that `fill` made for these `pins`, made now if need be.
///
/// It is filled beside its place and then moved there, so that a half-made one is never used.
fn install(
    name: &str,
    pins: &[&[u8]],
    fill: impl FnOnce(&Path) -> Result<String>,
) -> Result<PathBuf> {
    let key = sha256(&pins.concat())?;
    let key = key.trim_start_matches("sha256:").get(..16).context("a short digest")?;
    let folder = thirdparty::cache().join(format!("client-{name}-{key}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    let parent = folder.parent().context("the cache has a parent folder")?;
    fs::create_dir_all(parent)?;
    let work = tempfile::tempdir_in(parent)?;
    let filled = work.path().join("filled");
    fs::create_dir(&filled)?;
    fill(&filled).with_context(|| format!("install the {name} client"))?;
    match fs::rename(&filled, &folder) {
        Err(_) if folder.is_dir() => Ok(folder),
        moved => {
            moved.with_context(|| format!("move into {}", folder.display()))?;
            Ok(folder)
        }
    }
}
