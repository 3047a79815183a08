//! Which cgroups to make and what to write into them: pure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::devices::{self, DeviceAccess, DeviceFilter};
use super::layout::{Controller, Layout};
use crate::spec::Resources;

/// The CFS period in microseconds; Kubernetes' default.
const CPU_PERIOD: u64 = 100_000;
/// The kernel refuses a smaller quota.
const MIN_CPU_QUOTA: u64 = 1_000;
/// v1 shares: the kernel's minimum.
const MIN_CPU_SHARES: u64 = 2;
/// v1 shares: the kernel's maximum.
const MAX_CPU_SHARES: u64 = 262_144;

/// The file in which a v2 cgroup's controllers are handed on.
const SUBTREE_CONTROL: &str = "cgroup.subtree_control";

/// One cgroup across all hierarchies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CgroupPlan {
    /// Its directory in every hierarchy.
    pub directories: Vec<PathBuf>,
    /// Files to write, in order.
    pub writes: Vec<Write>,
    /// Directory that processes are cloned into (v2).
    pub born_in: Option<PathBuf>,
    /// `cgroup.procs` files that a process has to join (v1).
    pub join: Vec<PathBuf>,
    /// Where out-of-memory kills are counted.
    pub memory: Option<PathBuf>,
    /// Where CPU time is counted.
    pub cpu: Option<PathBuf>,
    /// What its processes may do with devices (v2); anything if `None`.
    pub device_filter: Option<DeviceFilter>,
}

/// One value for one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The file.
    pub file: PathBuf,
    /// The value.
    pub value: String,
    /// Whether to go on if the file does not exist (a kernel built without swap accounting, …).
    pub optional: bool,
}

/// The cgroup under which all sandboxes live.
pub fn root_plan(layout: &Layout, root: &str) -> CgroupPlan {
    let mut plan = plan(layout, Path::new(root), None, true);
    // A controller can only be handed on where the parent hands it on: systemd does so for those that some
    // unit needs, others nobody has asked for yet.
    if let (Some(mount), Some(names)) = (&layout.v2, delegated(layout)) {
        plan.writes.insert(0, write(mount.join(SUBTREE_CONTROL), names, false));
    }
    plan
}

/// A sandbox's cgroup.
pub fn sandbox_plan(
    layout: &Layout,
    root: &str,
    sandbox: &str,
    resources: &Resources,
) -> CgroupPlan {
    plan(layout, &Path::new(root).join(sandbox), Some(resources), true)
}

/// A container's cgroup.
pub fn container_plan(
    layout: &Layout,
    root: &str,
    sandbox: &str,
    container: &str,
    resources: &Resources,
    access: DeviceAccess,
) -> CgroupPlan {
    let path = Path::new(root).join(sandbox).join(container);
    let mut plan = plan(layout, &path, Some(resources), false);
    if access == DeviceAccess::Default {
        match layout.v1.get(&Controller::Devices) {
            Some(mount) => plan.writes.extend(devices::v1_writes(&mount.join(&path))),
            None => plan.device_filter = plan.born_in.as_deref().map(devices::v2_filter),
        }
    }
    if let (Some(directory), true) = (&plan.born_in, plan.memory == plan.born_in) {
        // Out of memory ends the container, not one of its processes: the kubelet's default on v2.
        plan.writes.push(write(directory.join("memory.oom.group"), 1, true));
    }
    plan
}

/// What to write where a container's cgroup exists and is to have other limits.
pub fn container_limits(
    layout: &Layout,
    root: &str,
    sandbox: &str,
    container: &str,
    resources: &Resources,
) -> Vec<Write> {
    limits(layout, &Path::new(root).join(sandbox).join(container), resources)
}

/// What to write where a sandbox's cgroup exists and is to have other limits.
pub fn sandbox_limits(
    layout: &Layout,
    root: &str,
    sandbox: &str,
    resources: &Resources,
) -> Vec<Write> {
    limits(layout, &Path::new(root).join(sandbox), resources)
}

/// What a v2 cgroup hands on to those below it, in the words of `cgroup.subtree_control`.
fn delegated(layout: &Layout) -> Option<String> {
    let names: Vec<String> = layout
        .v2_controllers
        .iter()
        .filter(|c| **c != Controller::Cpuacct && !layout.v1.contains_key(c))
        .map(|c| format!("+{}", c.name()))
        .collect();
    (!names.is_empty()).then(|| names.join(" "))
}

fn plan(layout: &Layout, path: &Path, resources: Option<&Resources>, inner: bool) -> CgroupPlan {
    let mut plan = CgroupPlan {
        directories: layout.hierarchies().into_iter().map(|mount| mount.join(path)).collect(),
        ..CgroupPlan::default()
    };
    let v2 = layout.v2.as_ref().map(|mount| mount.join(path));
    for mount in layout.hierarchies() {
        if layout.v2.as_ref() != Some(mount) {
            plan.join.push(mount.join(path).join("cgroup.procs"));
        }
    }
    let in_v1 = |controller| layout.v1.get(&controller).map(|mount| mount.join(path));
    let in_v2 = |controller| v2.clone().filter(|_| layout.v2_controllers.contains(&controller));
    plan.memory = in_v1(Controller::Memory).or_else(|| in_v2(Controller::Memory));
    plan.cpu = v2.clone().or_else(|| in_v1(Controller::Cpuacct));
    plan.writes = resources.map_or_else(Vec::new, |resources| limits(layout, path, resources));
    if let Some(directory) = v2 {
        if let Some(names) = delegated(layout).filter(|_| inner) {
            plan.writes.push(write(directory.join(SUBTREE_CONTROL), names, false));
        }
        plan.born_in = Some(directory);
    }
    plan
}

/// The limits of one cgroup, each in the hierarchy that its controller is in.
fn limits(layout: &Layout, path: &Path, resources: &Resources) -> Vec<Write> {
    let mut writes = Vec::new();
    for controller in [Controller::Cpu, Controller::Memory, Controller::Pids] {
        let v2 = layout.v2.as_ref().filter(|_| layout.v2_controllers.contains(&controller));
        if let Some(mount) = layout.v1.get(&controller) {
            writes.extend(v1_writes(controller, &mount.join(path), resources));
        } else if let Some(mount) = v2 {
            writes.extend(v2_writes(controller, &mount.join(path), resources));
        }
    }
    writes
}

fn write(file: PathBuf, value: impl ToString, optional: bool) -> Write {
    Write { file, value: value.to_string(), optional }
}

/// Thousandths of a core as CFS quota.
fn quota(millis: u64) -> u64 {
    (millis.saturating_mul(CPU_PERIOD) / 1000).max(MIN_CPU_QUOTA)
}

/// Thousandths of a core as v1 shares, as the kubelet does: 1024 a core.
fn shares(millis: u64) -> u64 {
    (millis.saturating_mul(1024) / 1000).clamp(MIN_CPU_SHARES, MAX_CPU_SHARES)
}

/// v1 shares as v2 weight, by the kubelet's formula: 2..262144 onto 1..10000.
fn weight(shares: u64) -> u64 {
    1 + (shares - MIN_CPU_SHARES) * 9999 / (MAX_CPU_SHARES - MIN_CPU_SHARES)
}

fn v1_writes(controller: Controller, directory: &Path, resources: &Resources) -> Vec<Write> {
    let mut writes = Vec::new();
    match controller {
        Controller::Cpu => {
            if let Some(millis) = resources.cpu_request_millis {
                writes.push(write(directory.join("cpu.shares"), shares(millis), false));
            }
            if let Some(millis) = resources.cpu_limit_millis {
                writes.push(write(directory.join("cpu.cfs_period_us"), CPU_PERIOD, false));
                writes.push(write(directory.join("cpu.cfs_quota_us"), quota(millis), false));
            }
        }
        Controller::Memory => {
            if let Some(bytes) = resources.memory_limit_bytes {
                writes.push(write(directory.join("memory.limit_in_bytes"), bytes, false));
                // Memory plus swap at the same value: no swap. Absent without swap accounting.
                writes.push(write(directory.join("memory.memsw.limit_in_bytes"), bytes, true));
            }
        }
        Controller::Pids => {
            if let Some(tasks) = resources.pids_limit {
                writes.push(write(directory.join("pids.max"), tasks, false));
            }
        }
        Controller::Cpuacct | Controller::Devices => {}
    }
    writes
}

fn v2_writes(controller: Controller, directory: &Path, resources: &Resources) -> Vec<Write> {
    let mut writes = Vec::new();
    match controller {
        Controller::Cpu => {
            if let Some(millis) = resources.cpu_request_millis {
                writes.push(write(directory.join("cpu.weight"), weight(shares(millis)), false));
            }
            if let Some(millis) = resources.cpu_limit_millis {
                let value = format!("{} {CPU_PERIOD}", quota(millis));
                writes.push(write(directory.join("cpu.max"), value, false));
            }
        }
        Controller::Memory => {
            if let Some(bytes) = resources.memory_limit_bytes {
                writes.push(write(directory.join("memory.max"), bytes, false));
                writes.push(write(directory.join("memory.swap.max"), 0, true));
            }
        }
        Controller::Pids => {
            if let Some(tasks) = resources.pids_limit {
                writes.push(write(directory.join("pids.max"), tasks, false));
            }
        }
        Controller::Cpuacct | Controller::Devices => {}
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCES: Resources = Resources {
        cpu_request_millis: Some(250),
        cpu_limit_millis: Some(500),
        memory_limit_bytes: Some(64 << 20),
        pids_limit: Some(100),
        oom_score_adj: None,
    };

    fn text(plan: &CgroupPlan) -> Vec<String> {
        plan.writes.iter().map(|w| format!("{}={}", w.file.display(), w.value)).collect()
    }

    #[test]
    fn v2_limits() {
        let layout = Layout {
            v2: Some("/c".into()),
            v2_controllers: vec![Controller::Cpu, Controller::Memory, Controller::Pids],
            ..Layout::default()
        };
        let plan = container_plan(&layout, "wharf", "s", "app", &RESOURCES, DeviceAccess::All);
        assert_eq!(
            text(&plan),
            [
                "/c/wharf/s/app/cpu.weight=10",
                "/c/wharf/s/app/cpu.max=50000 100000",
                "/c/wharf/s/app/memory.max=67108864",
                "/c/wharf/s/app/memory.swap.max=0",
                "/c/wharf/s/app/pids.max=100",
                "/c/wharf/s/app/memory.oom.group=1",
            ]
        );
        assert_eq!(plan.born_in, Some("/c/wharf/s/app".into()));
        assert!(plan.join.is_empty());
        let root = root_plan(&layout, "wharf");
        let names = "+cpu +memory +pids";
        assert_eq!(
            text(&root),
            [
                format!("/c/cgroup.subtree_control={names}"),
                format!("/c/wharf/cgroup.subtree_control={names}"),
            ]
        );
    }

    #[test]
    fn other_limits_are_the_same_files() {
        let layout = Layout {
            v1: [(Controller::Memory, "/c/mem".into())].into(),
            v2: Some("/c/unified".into()),
            v2_controllers: vec![Controller::Cpu],
        };
        let text = |writes: Vec<Write>| -> Vec<String> {
            writes.iter().map(|w| format!("{}={}", w.file.display(), w.value)).collect()
        };
        let more = Resources { memory_limit_bytes: Some(1 << 20), ..Resources::default() };
        assert_eq!(
            text(container_limits(&layout, "w", "s", "app", &more)),
            [
                "/c/mem/w/s/app/memory.limit_in_bytes=1048576",
                "/c/mem/w/s/app/memory.memsw.limit_in_bytes=1048576",
            ]
        );
        let more = Resources { cpu_limit_millis: Some(250), ..Resources::default() };
        assert_eq!(
            text(sandbox_limits(&layout, "w", "s", &more)),
            ["/c/unified/w/s/cpu.max=25000 100000"]
        );
    }

    #[test]
    fn hybrid_limits_are_v1s_and_birth_is_v2s() {
        let layout = Layout {
            v1: [
                (Controller::Cpu, "/c/cpu"),
                (Controller::Cpuacct, "/c/acct"),
                (Controller::Memory, "/c/mem"),
            ]
            .into_iter()
            .map(|(controller, mount)| (controller, PathBuf::from(mount)))
            .collect(),
            v2: Some("/c/unified".into()),
            v2_controllers: vec![],
        };
        let plan = container_plan(&layout, "w", "s", "app", &RESOURCES, DeviceAccess::All);
        assert_eq!(
            text(&plan),
            [
                "/c/cpu/w/s/app/cpu.shares=256",
                "/c/cpu/w/s/app/cpu.cfs_period_us=100000",
                "/c/cpu/w/s/app/cpu.cfs_quota_us=50000",
                "/c/mem/w/s/app/memory.limit_in_bytes=67108864",
                "/c/mem/w/s/app/memory.memsw.limit_in_bytes=67108864",
            ]
        );
        assert_eq!(
            plan.join,
            [Path::new("/c/cpu/w/s/app/cgroup.procs"), Path::new("/c/mem/w/s/app/cgroup.procs")]
        );
        assert_eq!(plan.born_in, Some("/c/unified/w/s/app".into()));
        assert_eq!(plan.memory, Some("/c/mem/w/s/app".into()));
    }

    #[test]
    fn devices_are_refused_by_v1_where_it_can_and_else_by_v2() {
        let none = Resources::default();
        let both = Layout {
            v1: [(Controller::Devices, "/c/devices".into())].into(),
            v2: Some("/c/unified".into()),
            v2_controllers: vec![],
        };
        let plan = container_plan(&both, "w", "s", "app", &none, DeviceAccess::Default);
        assert_eq!(text(&plan)[0], "/c/devices/w/s/app/devices.deny=a");
        assert_eq!(plan.join, [Path::new("/c/devices/w/s/app/cgroup.procs")]);
        assert_eq!(plan.device_filter, None);

        let v2 = Layout { v1: Default::default(), ..both.clone() };
        let plan = container_plan(&v2, "w", "s", "app", &none, DeviceAccess::Default);
        assert_eq!(text(&plan), [] as [&str; 0]);
        let filter = plan.device_filter.expect("a filter");
        assert_eq!(filter.cgroup, Path::new("/c/unified/w/s/app"));

        for layout in [both, v2] {
            let plan = container_plan(&layout, "w", "s", "app", &none, DeviceAccess::All);
            assert_eq!((text(&plan), plan.device_filter), (vec![], None));
        }
    }

    #[test]
    fn tiny_and_huge_values_stay_in_the_kernels_range() {
        assert_eq!((shares(0), shares(1), shares(1_000_000_000)), (2, 2, 262_144));
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
        assert_eq!(quota(1), 1_000);
        assert_eq!((shares(u64::MAX), quota(u64::MAX)), (262_144, u64::MAX / 1000));
    }
}
