//! What a cgroup has used.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::plan::CgroupPlan;

/// CPU and memory use, as the metrics API means them; `None` where this host does not count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since the cgroup was made.
    pub cpu: Option<Duration>,
    /// Memory in use without what the kernel can drop at once (inactive file pages), in bytes.
    pub memory_working_set: Option<u64>,
}

/// Reads the cgroup's use.
pub fn usage(plan: &CgroupPlan) -> Usage {
    let cpu = plan.cpu.as_deref().and_then(|directory| {
        let micros = field(&directory.join("cpu.stat"), "usage_usec").map(Duration::from_micros);
        micros.or_else(|| number(&directory.join("cpuacct.usage")).map(Duration::from_nanos))
    });
    let memory_working_set = plan.memory.as_deref().and_then(|directory| {
        let stat = directory.join("memory.stat");
        let used = number(&directory.join("memory.current"))
            .or_else(|| number(&directory.join("memory.usage_in_bytes")))?;
        let inactive = field(&stat, "total_inactive_file")
            .or_else(|| field(&stat, "inactive_file"))
            .unwrap_or(0);
        Some(used.saturating_sub(inactive))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_and_what_is_not_counted_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, files: &[(&str, &str)]| {
            let directory = folder.path().join(name);
            fs::create_dir(&directory).unwrap();
            for (file, text) in files {
                fs::write(directory.join(file), text).unwrap();
            }
            CgroupPlan {
                cpu: Some(directory.clone()),
                memory: Some(directory),
                ..CgroupPlan::default()
            }
        };
        let v1 = [
            ("cpuacct.usage", "1500000000\n"),
            ("cpu.stat", "nr_periods 0\nnr_throttled 0\n"),
            ("memory.usage_in_bytes", "5000\n"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n"),
        ];
        let v2 = [
            ("cpu.stat", "usage_usec 2000000\nuser_usec 1\n"),
            ("memory.current", "3000\n"),
            ("memory.stat", "anon 5\ninactive_file 4000\n"),
        ];
        let some = |seconds, bytes| Usage {
            cpu: Some(Duration::from_secs_f64(seconds)),
            memory_working_set: Some(bytes),
        };
        assert_eq!(usage(&make("v1", &v1)), some(1.5, 4000));
        assert_eq!(usage(&make("v2", &v2)), some(2.0, 0));
        assert_eq!(usage(&make("gone", &[])), Usage::default());
        assert_eq!(usage(&CgroupPlan::default()), Usage::default());
    }
}
