//! qemu and a kernel: from this host, or unpacked from Debian's packages into a folder of ours. Nothing
//! is installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{packages, step};

const QEMU: &str = "qemu-system-x86_64";
const QEMU_PACKAGE: &str = "qemu-system-x86";
/// Depends on the newest kernel of the distribution.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";

/// What boots a guest.
pub(super) struct Machine {
    qemu: PathBuf,
    /// Where qemu's libraries and firmware are, if it is not installed.
    unpacked: Option<PathBuf>,
    kernel: PathBuf,
    modules: PathBuf,
}

/// Finds or fetches everything; `folder` keeps it for the next time.
pub(super) fn get(folder: &Path) -> Result<Machine> {
    ensure!(cfg!(target_arch = "x86_64"), "cargo xtask hosts boots x86-64 kernels only");
    let root = folder.join("debian");
    let installed = packages::on_path(QEMU);
    if !root.exists() {
        fetch(&root, installed.is_none())?;
    }
    let unpacked = installed.is_none().then(|| root.clone());
    Ok(Machine {
        qemu: installed.unwrap_or_else(|| root.join("usr/bin").join(QEMU)),
        unpacked,
        kernel: only(&root.join("boot"), "vmlinuz-")?,
        modules: only(&root.join("lib/modules"), "")?,
    })
}

/// Downloads and unpacks; `root` exists when all of it is there.
fn fetch(root: &Path, with_qemu: bool) -> Result<()> {
    let partial = root.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("make {}", partial.display()))?;
    if packages::is_root()? {
        step::run("apt-get update", Command::new("apt-get").args(["-qq", "update"]))?;
    }
    let mut names = vec![kernel_package()?];
    if with_qemu {
        names.extend(missing_packages(QEMU_PACKAGE)?);
    }
    let mut download = Command::new("apt-get");
    // Without the sandbox user, who may not write into our folder.
    download.args(["-qq", "-o", "APT::Sandbox::User=root", "download"]).args(&names);
    step::run("download qemu and a kernel", download.current_dir(&partial))?;
    for entry in fs::read_dir(&partial)? {
        let package = entry?.path();
        let mut unpack = Command::new("dpkg");
        unpack.arg("-x").args([&package, &partial]);
        output(&mut unpack)?;
        fs::remove_file(&package)?;
    }
    fs::rename(&partial, root).with_context(|| format!("make {}", root.display()))
}

/// The package of the kernel that the distribution has now.
fn kernel_package() -> Result<String> {
    let text = output(Command::new("apt-cache").args(["depends", KERNEL_PACKAGE]))?;
    let mut words = text.split_whitespace();
    let concrete = words.find(|word| {
        let version = word.strip_prefix("linux-image-");
        version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    });
    concrete.map(str::to_owned).with_context(|| format!("{KERNEL_PACKAGE} needs no kernel"))
}

/// The package and those it needs that are not installed.
fn missing_packages(name: &str) -> Result<Vec<String>> {
    let mut list = Command::new("apt-get");
    list.args(["install", "-qq", "--print-uris", "--no-install-recommends", name]);
    let names = file_names(&output(&mut list)?);
    ensure!(!names.is_empty(), "{name} is installed, but {QEMU} is not on the PATH");
    Ok(names)
}

/// Package names from lines like `'http://…/a_1_all.deb' a_1_all.deb 1234 SHA256:…`.
fn file_names(uris: &str) -> Vec<String> {
    uris.lines()
        .filter_map(|line| line.split(' ').nth(1)?.split_once('_'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed ({}): {said}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} printed no UTF-8"))
}

/// The one entry of a folder whose name begins with `prefix`.
fn only(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut found = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path());
    let first = found.next().with_context(|| format!("no {prefix}* in {}", folder.display()))?;
    ensure!(found.next().is_none(), "several {prefix}* in {}", folder.display());
    Ok(first)
}

impl Machine {
    /// qemu, told where it lies.
    fn command(&self) -> Command {
        let mut qemu = Command::new(&self.qemu);
        let Some(root) = &self.unpacked else { return qemu };
        let libraries = ["usr/lib", "lib"]
            .map(|folder| root.join(folder).join("x86_64-linux-gnu").display().to_string());
        qemu.env("LD_LIBRARY_PATH", libraries.join(":"));
        for data in ["qemu", "seabios"] {
            qemu.arg("-L").arg(root.join("usr/share").join(data));
        }
        qemu
    }

    /// `/lib/modules/RELEASE` of the kernel.
    pub(super) fn modules(&self) -> &Path {
        &self.modules
    }

    /// Runs a guest until it powers off or `limit` is over; what it prints goes into the file `console`.
    ///
    /// Emulated, not accelerated: a `/dev/kvm` that opens may still not run a guest (nested virtual
    /// machines), and a verdict must not depend on it.
    pub(super) fn boot(
        &self,
        initramfs: &Path,
        parameter: &str,
        console: &Path,
        limit: Duration,
    ) -> Result<()> {
        let log = File::create(console).with_context(|| format!("make {}", console.display()))?;
        let mut qemu = self.command();
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536"]);
        qemu.args(["-nographic", "-no-reboot", "-nic", "none"]);
        qemu.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(initramfs);
        // The guest's lines stay whole: the kernel speaks only in an emergency, and then ends.
        let line = format!("console=ttyS0 loglevel=1 panic=-1 {parameter}");
        qemu.arg("-append").arg(line);
        qemu.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut guest = qemu.spawn().with_context(|| format!("cannot start {qemu:?}"))?;
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Some(status) = guest.try_wait()? {
                ensure!(status.success(), "qemu ended with {status}, see {}", console.display());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        guest.kill()?;
        guest.wait()?;
        bail!("the guest did not end within {limit:?}, see {}", console.display())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_packages() {
        let uris = "'http://h/p/libc_2%2b1_all.deb' libc_2%2b1_all.deb 5 SHA256:0\n\
                    'http://h/p/x-y_1%3a2_amd64.deb' x-y_1%3a2_amd64.deb 7 SHA256:1\n";
        assert_eq!(super::file_names(uris), ["libc", "x-y"]);
        assert!(super::file_names("").is_empty());
    }
}
