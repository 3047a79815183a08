//! A root file system made of Debian's static busybox: the smallest real one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::program;

/// Fills the empty directory `root`: `/bin` with every applet, `/etc/passwd` with root and `app` (1000).
pub fn rootfs(root: &Path) -> Result<()> {
    let busybox = program::find("busybox")?;
    for folder in ["bin", "etc", "tmp", "proc", "sys", "dev", "root", "home/app", "var/tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::copy(&busybox, root.join("bin/busybox")).context("copy busybox")?;
    let list = Command::new(&busybox).arg("--list").output().context("run busybox --list")?;
    ensure!(list.status.success(), "busybox --list failed");
    for applet in String::from_utf8(list.stdout)?.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\napp:x:1000:\nextra:x:2000:app\n")?;
    Ok(())
}
