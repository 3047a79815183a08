//! What a cgroup has used.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::plan::CgroupPlan;

/// CPU and memory use, as the metrics API means them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since the container was started.
    pub cpu: Duration,
    /// Memory in use without what the kernel can drop at once (inactive file pages), in bytes.
    pub memory_working_set: u64,
}

/// Reads the cgroup's use; what this host does not count is zero.
pub fn usage(plan: &CgroupPlan) -> Usage {
    let cpu = plan.cpu.as_deref().map_or(Duration::ZERO, |directory| {
        if let Some(micros) = field(&directory.join("cpu.stat"), "usage_usec") {
            return Duration::from_micros(micros);
        }
        Duration::from_nanos(number(&directory.join("cpuacct.usage")).unwrap_or(0))
    });
    let memory_working_set = plan.memory.as_deref().map_or(0, |directory| {
        let stat = directory.join("memory.stat");
        let used = number(&directory.join("memory.current"))
            .or_else(|| number(&directory.join("memory.usage_in_bytes")))
            .unwrap_or(0);
        let inactive = field(&stat, "total_inactive_file")
            .or_else(|| field(&stat, "inactive_file"))
            .unwrap_or(0);
        used.saturating_sub(inactive)
    });
    Usage { cpu, memory_working_set }
}

/// How many processes of the cgroup the kernel has killed for memory.
pub fn oom_kills(plan: &CgroupPlan) -> u64 {
    plan.memory.as_deref().map_or(0, |directory| {
        field(&directory.join("memory.oom_control"), "oom_kill")
            .or_else(|| field(&directory.join("memory.events"), "oom_kill"))
            .unwrap_or(0)
    })
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The value of `name` in a file of `name value` lines.
fn field(path: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}
