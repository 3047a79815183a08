//! `cargo xtask hosts`: Wharf on the cgroup layouts that this host does not have.
//!
//! A kernel and qemu come as Debian packages ([`machine`]); an initramfs with this `wctl`, busybox and a
//! few images is packed around hosts/guest.sh ([`initramfs`]); one virtual machine per layout boots it.
//! The guest mounts its cgroups as the kernel command line says, runs pods with limits as root and a Wasm
//! pod as nobody, and prints what it saw. The verdict comes from nothing else than what it printed.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::step;

mod initramfs;
mod machine;

/// How long a guest may take. Emulated, it is some twenty times slower than this host.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Arguments of `cargo xtask hosts`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Layouts to boot [default: all]
    layouts: Vec<Layout>,
}

/// How a guest mounts its cgroups.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Layout {
    /// Every controller in v1 hierarchies, no v2
    V1,
    /// One v2 hierarchy
    V2,
    /// Every controller in v1 hierarchies, and a v2 one without any
    Hybrid,
    /// Hybrid, with memory and pids on the v2 side
    Split,
}

impl Layout {
    const ALL: [Self; 4] = [Self::V1, Self::V2, Self::Hybrid, Self::Split];

    /// The name that guest.sh knows.
    fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
            Self::Split => "split",
        }
    }
}

/// Boots a guest per layout; fails when one of them did.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let wctl = step::build_wctl()?;
    let folder = step::target_folder()?.join("hosts");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let machine = machine::get(&folder)?;
    let initramfs = folder.join("initramfs");
    initramfs::pack(&initramfs, &wctl, machine.modules())?;

    let wanted = match arguments.layouts.as_slice() {
        [] => &Layout::ALL,
        some => some,
    };
    let mut failed = Vec::new();
    for layout in wanted {
        let name = layout.name();
        let console = folder.join(format!("console-{name}.log"));
        let begin = Instant::now();
        let ended = machine.boot(&initramfs, &format!("wharf.layout={name}"), &console, LIMIT);
        let took = begin.elapsed().as_secs();
        let outcome = match ended.and_then(|()| read(&console)) {
            Ok(text) => verdict(&text, name),
            Err(error) => Err(vec![format!("{error:#}")]),
        };
        match outcome {
            Ok(checks) => println!("hosts: {name:<6} PASS  {checks} checks, {took} s"),
            Err(reasons) => {
                println!("hosts: {name:<6} FAIL  {took} s, {}", console.display());
                reasons.iter().for_each(|reason| println!("    {reason}"));
                failed.push(name);
            }
        }
    }
    ensure!(failed.is_empty(), "failed on {}", failed.join(", "));
    Ok(())
}

/// A console may hold any bytes.
fn read(console: &Path) -> Result<String> {
    let bytes = std::fs::read(console).with_context(|| format!("read {}", console.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How many checks passed, or what the guest says that failed. Silence is failure.
fn verdict(console: &str, layout: &str) -> Result<usize, Vec<String>> {
    let lines: Vec<&str> = console.lines().map(str::trim_end).collect();
    let checks = lines.iter().filter(|line| line.starts_with("ok ")).count();
    let passed = lines.contains(&format!("PASS {layout}").as_str());
    let mut reasons: Vec<String> =
        lines.iter().filter(|l| l.starts_with("FAIL ")).map(|&l| l.to_owned()).collect();
    if passed && checks > 0 && reasons.is_empty() {
        return Ok(checks);
    }
    if reasons.is_empty() {
        reasons.push("the guest ended without a verdict; its last lines:".to_owned());
        let last = &lines[lines.len().saturating_sub(10)..];
        reasons.extend(last.iter().map(|&line| line.to_owned()));
    }
    Err(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guest_that_says_so_has_passed() {
        assert_eq!(verdict("SeaBIOS\r\nok   one\r\nok   two\r\nPASS v2\r\n", "v2"), Ok(2));
        for (console, layout, reason) in [
            ("", "v2", "without a verdict"),
            ("ok   one\nKernel panic", "v2", "without a verdict"),
            ("PASS v2", "v2", "without a verdict"),
            ("ok   one\nPASS v1", "v2", "without a verdict"),
            ("ok   one\nhalf a line PASS v2", "v2", "without a verdict"),
            ("ok   one\nFAIL two: 1 instead of 2\nFAIL v2", "v2", "two: 1 instead of 2"),
            ("ok   one\nFAIL two\nPASS v2", "v2", "FAIL two"),
        ] {
            let reasons = verdict(console, layout).unwrap_err();
            assert!(reasons[0].contains(reason), "{console:?}: {reasons:?}");
        }
    }

    #[test]
    fn the_guest_knows_every_layout() {
        for layout in Layout::ALL {
            let case = format!("\n        {}) ", layout.name());
            assert!(initramfs::GUEST.contains(&case), "{layout:?}");
        }
    }
}
