//! What the host is: read once from the kernel's files.

use std::path::Path;

/// Facts of the host that the Node repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) cpu_millis: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) kernel_version: String,
    pub(crate) os_image: String,
    pub(crate) machine_id: String,
    pub(crate) boot_id: String,
    pub(crate) system_uuid: String,
}

impl Facts {
    /// Reads the host; `data_dir` tells which file system is meant by its disk. What cannot be read stays empty.
    pub(crate) fn read(data_dir: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let machine_id = read("/etc/machine-id");
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cpu_millis: u64::try_from(cpus).unwrap_or(1) * 1000,
            memory_bytes: total_memory(&read("/proc/meminfo")),
            disk_bytes: rustix::fs::statvfs(data_dir)
                .map_or(0, |stat| stat.f_blocks * stat.f_frsize),
            kernel_version: read("/proc/sys/kernel/osrelease"),
            os_image: pretty_name(&read("/etc/os-release")),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            system_uuid: Some(read("/sys/class/dmi/id/product_uuid"))
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| machine_id.clone()),
            machine_id,
        }
    }
}

/// `MemTotal` in bytes.
fn total_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    kib * 1024
}

fn pretty_name(os_release: &str) -> String {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map(|name| name.trim_matches('"').to_owned()).unwrap_or_else(|| "Linux".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        assert_eq!(total_memory("MemTotal:        2048 kB\nMemFree: 1 kB"), 2 << 20);
        assert_eq!(total_memory(""), 0);
        assert_eq!(
            pretty_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
    }

    #[test]
    fn this_host_has_something() {
        let facts = Facts::read(Path::new("/"));
        assert!(
            facts.cpu_millis >= 1000 && facts.memory_bytes > 1 << 20 && facts.disk_bytes > 0,
            "{facts:?}"
        );
        assert!(!facts.kernel_version.is_empty());
    }
}
