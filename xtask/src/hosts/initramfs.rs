//! The guest's whole file system: busybox, `wctl` with its libraries, kernel modules, images, a script.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::demo::image;
use crate::step;

/// The guest's first program.
const INIT: &str = include_str!("init.sh");
/// What it runs.
pub(super) const GUEST: &str = include_str!("guest.sh");
const PODS: &str = include_str!("pods.yaml");
const WEB: &str = include_str!("web.yaml");

const BUSYBOX: &str = "/bin/busybox";
/// Kernel modules that pods need, in the order in which they can be loaded.
const MODULES: [&str; 5] = ["llc", "stp", "bridge", "veth", "overlay"];
/// Wasm programs that the guest's pods run.
const PROGRAMS: [&str; 2] = ["http-c.wasm", "spin.wasm"];

/// Writes the archive `file` in the kernel's cpio format.
pub(super) fn pack(file: &Path, wctl: &Path, modules: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("wharf-hosts-").tempdir()?;
    let root = folder.path();
    fill(root, wctl, modules)?;
    let mut pack = Command::new("sh");
    let script = r#"find . | "$1" cpio -o -H newc -R 0:0 >"$2""#;
    pack.args(["-e", "-c", script, "pack", BUSYBOX]).arg(file).current_dir(root);
    let output = pack.output().context("run sh")?;
    ensure!(output.status.success(), "cpio: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn fill(root: &Path, wctl: &Path, modules: &Path) -> Result<()> {
    for folder in ["bin", "dev", "etc", "images", "modules", "proc", "root", "sys", "tmp", "var"] {
        fs::create_dir(root.join(folder)).with_context(|| format!("make {folder}"))?;
    }
    for (name, text) in [
        ("init", INIT),
        ("guest.sh", GUEST),
        ("pods.yaml", PODS),
        ("web.yaml", WEB),
        ("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n"),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ] {
        fs::write(root.join(name), text).with_context(|| format!("write {name}"))?;
    }
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let applets = applets()?;
    copy(Path::new(BUSYBOX), &root.join("bin/busybox"))?;
    for applet in &applets {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    install(root, wctl)?;
    for (number, name) in MODULES.iter().enumerate() {
        copy(&module(modules, name)?, &root.join(format!("modules/{number}-{name}.ko")))?;
    }
    for program in PROGRAMS {
        let source = step::root().join("fixtures/wasm").join(program);
        copy(&source, &root.join("images").join(program))?;
    }
    let process = json!({"Cmd": ["/bin/sh"]});
    let layer = busybox_layer(&applets)?;
    image::write_layout(&root.join("images/busybox"), &layer, &process, "hosts/busybox:v1")
}

/// Names of busybox's programs, without its own.
fn applets() -> Result<Vec<String>> {
    let list = Command::new(BUSYBOX).arg("--list").output();
    let list = list.with_context(|| format!("{BUSYBOX}: install busybox-static"))?;
    let names = String::from_utf8(list.stdout).context("busybox --list printed no UTF-8")?;
    Ok(names.lines().filter(|name| *name != "busybox").map(str::to_owned).collect())
}

fn busybox_layer(applets: &[String]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let program = fs::read(BUSYBOX).with_context(|| format!("read {BUSYBOX}"))?;
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    archive.append_data(&mut header, "bin/busybox", program.as_slice())?;
    for applet in applets {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    Ok(archive.into_inner()?)
}

/// `wctl` without its symbols, and the libraries that it loads at the places where it looks for them.
fn install(root: &Path, wctl: &Path) -> Result<()> {
    let strip = Command::new("strip").arg("-o").arg(root.join("bin/wctl")).arg(wctl).output();
    let strip = strip.context("run strip")?;
    ensure!(strip.status.success(), "strip: {}", String::from_utf8_lossy(&strip.stderr));
    let ldd = Command::new("ldd").arg(wctl).output().context("run ldd")?;
    ensure!(ldd.status.success(), "ldd: {}", String::from_utf8_lossy(&ldd.stderr));
    let text = String::from_utf8(ldd.stdout).context("ldd printed no UTF-8")?;
    for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        let folder = target.parent().with_context(|| format!("{library} is in no folder"))?;
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        copy(Path::new(library), &target)?;
    }
    Ok(())
}

/// The file of a kernel module, anywhere below `folder`.
fn module(folder: &Path, name: &str) -> Result<PathBuf> {
    let find = Command::new("find").arg(folder).args(["-name", &format!("{name}.ko")]).output();
    let found = String::from_utf8(find.context("run find")?.stdout)?;
    let first = found.lines().next().map(PathBuf::from);
    first.with_context(|| format!("the kernel has no module {name} in {}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied.with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
