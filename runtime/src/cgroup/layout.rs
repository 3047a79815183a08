//! Which hierarchies are mounted where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The controllers that Wharf uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// Shares or weight, and quota.
    Cpu,
    /// CPU time used; only where there is no v2 hierarchy to tell it.
    Cpuacct,
    /// Memory limit and use, out-of-memory kills.
    Memory,
    /// Number of tasks.
    Pids,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Cpuacct, Self::Memory, Self::Pids];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// Where this host's hierarchies are mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// v1 mounts by controller. Two controllers may share one (`cpu,cpuacct`).
    pub v1: BTreeMap<Controller, PathBuf>,
    /// The v2 mount.
    pub v2: Option<PathBuf>,
    /// Controllers that the v2 mount offers.
    pub v2_controllers: Vec<Controller>,
}

impl Layout {
    /// Reads this process's mount table.
    pub fn detect() -> Self {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::from_mountinfo(&table, |mount| {
            std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        })
    }

    /// The same from text; `controllers` reads `cgroup.controllers` of a v2 mount.
    fn from_mountinfo(table: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let mut layout = Self::default();
        for line in table.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut right = right.split(' ');
            let kind = right.next().unwrap_or_default();
            let options = right.nth(1).unwrap_or_default();
            match kind {
                "cgroup2" if layout.v2.is_none() => {
                    let offered = controllers(&mount);
                    layout.v2_controllers = Controller::ALL
                        .into_iter()
                        .filter(|c| offered.split_whitespace().any(|o| o == c.name()))
                        .collect();
                    layout.v2 = Some(mount);
                }
                "cgroup" => {
                    for controller in Controller::ALL {
                        if options.split(',').any(|option| option == controller.name()) {
                            layout.v1.entry(controller).or_insert_with(|| mount.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        layout
    }

    /// Whether a controller's limits can be set at all.
    pub fn has(&self, controller: Controller) -> bool {
        self.v1.contains_key(&controller) || self.v2_controllers.contains(&controller)
    }

    /// `v1`, `v2`, `hybrid` or `none`.
    pub fn name(&self) -> &'static str {
        match (self.v1.is_empty(), &self.v2) {
            (true, Some(_)) => "v2",
            (false, Some(_)) => "hybrid",
            (false, None) => "v1",
            (true, None) => "none",
        }
    }

    /// Every mount that a cgroup has to be made in, each once.
    pub(crate) fn hierarchies(&self) -> Vec<&PathBuf> {
        let mut mounts: Vec<&PathBuf> = self
            .v1
            .iter()
            // CPU time comes from v2's cpu.stat where there is one: one move less per start.
            .filter(|(controller, _)| **controller != Controller::Cpuacct || self.v2.is_none())
            .map(|(_, mount)| mount)
            .chain(&self.v2)
            .collect();
        mounts.sort();
        mounts.dedup();
        mounts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_of_host_are_told_apart() {
        let v1 = "30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                  31 29 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  32 29 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids";
        let layout = Layout::from_mountinfo(v1, |_| String::new());
        assert_eq!(layout.name(), "v1");
        assert_eq!(layout.hierarchies().len(), 3);
        assert!(layout.has(Controller::Memory) && layout.has(Controller::Cpuacct));

        let hybrid = format!("{v1}\n33 29 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw");
        let layout = Layout::from_mountinfo(&hybrid, |_| "hugetlb".into());
        assert_eq!(layout.name(), "hybrid");
        assert_eq!(layout.v2_controllers, []);
        assert_eq!(layout.hierarchies().len(), 4);

        let v2 = "30 29 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        let layout = Layout::from_mountinfo(v2, |_| "cpuset cpu io memory pids".into());
        assert_eq!(layout.name(), "v2");
        assert_eq!(layout.v2_controllers, [Controller::Cpu, Controller::Memory, Controller::Pids]);
        assert_eq!(Layout::from_mountinfo("", |_| String::new()).name(), "none");
    }
}
