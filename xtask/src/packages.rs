//! What the tests need of the host, and how to get it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::step;

/// A file that proves that a Debian package is there.
struct Package {
    name: &'static str,
    proof: &'static str,
}

const POSTGRES: Package = Package { name: "postgresql", proof: "/usr/lib/postgresql" };
const ETCD: Package = Package { name: "etcd-server", proof: "/usr/bin/etcd" };

const PACKAGES: &[Package] = &[
    POSTGRES,
    Package { name: "docker-registry", proof: "/usr/bin/docker-registry" },
    Package { name: "skopeo", proof: "/usr/bin/skopeo" },
    Package { name: "umoci", proof: "/usr/bin/umoci" },
    Package { name: "busybox-static", proof: "/bin/busybox" },
    Package { name: "zstd", proof: "/usr/bin/zstd" },
    Package { name: "libcap2-bin", proof: "/sbin/setcap" },
    Package { name: "attr", proof: "/usr/bin/setfattr" },
    Package { name: "iproute2", proof: "/sbin/ip" },
    Package { name: "socat", proof: "/usr/bin/socat" },
    Package { name: "npm", proof: "/usr/bin/npm" },
    Package { name: "python3-pip", proof: "/usr/bin/pip3" },
];

/// Installs what the tests need and the host lacks; without root it names the command instead.
pub(crate) fn ensure() -> Result<()> {
    install(PACKAGES)
}

/// The same for `cargo xtask bench api`: its second engine and its peer.
pub(crate) fn ensure_for_api_bench() -> Result<()> {
    install(&[POSTGRES, ETCD])
}

fn install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> =
        packages.iter().filter(|package| !present(package)).map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root()? {
        bail!("missing packages; run as root: apt-get install {}", missing.join(" "));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    step::run("apt-get update", apt().arg("update"))?;
    let install = format!("apt-get install {}", missing.join(" "));
    step::run(&install, apt().args(["install", "-y", "--no-install-recommends"]).args(&missing))
}

fn present(package: &Package) -> bool {
    if Path::new(package.proof).exists() {
        return true;
    }
    // A program may come from elsewhere than the Debian package.
    let name = Path::new(package.proof).file_name().unwrap_or_default();
    on_path(name).is_some()
}

/// Where the PATH has a program of that name.
pub(crate) fn on_path(name: impl AsRef<Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file())
}

/// Whether this process is root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(Command::new("id").arg("-u").output()?.stdout.starts_with(b"0\n"))
}
