//! Programs of the host that tests drive.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where Debian keeps programs that are not on every PATH.
const EXTRA_FOLDERS: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The path of `name`, or an error that says how to get it.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(EXTRA_FOLDERS.iter().map(PathBuf::from));
    for folder in folders {
        let candidate = folder.join(name);
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!(
        "{name} is not installed: run `cargo xtask test` as root once, it installs what tests need"
    )
}

/// An example of the workspace, as cargo built it beside this test.
pub fn example(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("a test outside of target/")?;
    let example = folder.join("examples").join(name);
    if !example.is_file() {
        bail!(
            "{} is missing: run `cargo build --workspace --examples` or `cargo xtask test`",
            example.display()
        );
    }
    Ok(example)
}

/// The newest PostgreSQL's program folder (`initdb` is never on the PATH in Debian).
pub fn postgres_folder() -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    versions.sort();
    match versions.pop() {
        Some((version, bin)) if version >= 15 => Ok(bin),
        Some((version, _)) => bail!("PostgreSQL {version} is too old: 15 or newer is needed"),
        None => bail!("PostgreSQL is not installed: run `cargo xtask test` as root once"),
    }
}

/// The repository's root folder.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}
