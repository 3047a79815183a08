//! A clock that a test can set, for processes it starts: what they would see if an administrator, or
//! a time server, set the clock of the host.
//!
//! A small library that is loaded before libc (`LD_PRELOAD`, see ld.so(8)) adds an offset to the
//! time of day. The monotonic clock stays as it is, as it does on a real host. The offset is a number
//! in a file that both sides map, so that a change is seen at once and by all.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::cluster::succeed;
use crate::program;

const SOURCE: &str = include_str!("clock/preload.c");

/// A clock that can be set.
#[derive(Debug)]
pub struct Clock {
    folder: TempDir,
}

impl Clock {
    /// A clock that is right. Needs a C compiler, as the build of this workspace does.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wharf-clock-").tempdir()?;
        let source = folder.path().join("preload.c");
        std::fs::write(&source, SOURCE)?;
        let mut compiler = Command::new(program::find("cc")?);
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]);
        succeed(compiler.arg(folder.path().join("preload.so")).arg(&source))?;
        let clock = Self { folder };
        clock.set(0)?;
        Ok(clock)
    }

    /// What the environment of a process needs to see this clock.
    pub fn environment(&self) -> Vec<(String, PathBuf)> {
        let path = self.folder.path();
        vec![
            ("LD_PRELOAD".to_owned(), path.join("preload.so")),
            ("WHARF_CLOCK".to_owned(), self.file(path)),
        ]
    }

    /// Sets the clock so many seconds before (-) or after the right time.
    pub fn set(&self, seconds: i64) -> Result<()> {
        let path = self.file(self.folder.path());
        let file = std::fs::File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        file.write_all_at(&seconds.to_ne_bytes(), 0).context("set the clock")
    }

    fn file(&self, folder: &Path) -> PathBuf {
        folder.join("offset")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_the_clock_move() {
        let clock = Clock::new().expect("a clock");
        let seconds = || {
            let mut date = Command::new(program::find("date").expect("date"));
            let shown = succeed(date.arg("+%s").envs(clock.environment())).expect("the time");
            shown.trim().parse::<i64>().expect("a number")
        };
        let right = seconds();
        clock.set(1_000_000).expect("it can be set");
        let later = seconds();
        // A slow machine takes minutes for this, not days.
        assert!((900_000..1_100_000).contains(&(later - right)), "{right} {later}");
    }
}
