//! Running one external command and saying so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// The repository's root: what cargo says now, and not where this program was built. Clones that share
/// a target folder share the program.
pub(crate) fn root() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let said = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        said.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into())
    });
    FOLDER.parent().expect("xtask/ lies in the repository")
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let output = cargo()
        .args(["metadata", "--format-version=1", "--no-deps"])
        .output()
        .context("run cargo metadata")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("parse cargo metadata")?;
    let folder =
        metadata["target_directory"].as_str().context("cargo metadata has no target_directory")?;
    Ok(PathBuf::from(folder))
}

/// Builds the release binary (quick when nothing changed) and gives its path; `$WHARF_WCTL` names one
/// that is built already.
pub(crate) fn build_wctl() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("WHARF_WCTL") {
        return Ok(PathBuf::from(path));
    }
    run("build wctl (release)", cargo().args(["build", "--release", "--package", "wctl"]))?;
    Ok(target_folder()?.join("release/wctl"))
}

/// Runs `command` with its output on this terminal; fails when it fails.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    println!("==> {what}");
    let begin = Instant::now();
    let status = command.status().with_context(|| format!("{what}: cannot start {command:?}"))?;
    ensure!(status.success(), "{what} failed ({status}): {command:?}");
    println!("    {what}: {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}
