//! What this host permits, found out by trying.
//!
//! Each ability is tried for real, in a thread that is thrown away or in a child that exits at once, so
//! nothing of a probe stays behind. `wctl doctor` prints the result; the agent puts the sentences into
//! the status of pods that cannot run.

mod probe;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cgroup::{Controller, Layout};

/// One thing that a host may permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ability {
    /// Short name for a report's first column: `mount namespaces`.
    pub name: String,
    /// A sentence for people that says what the host refuses; `None` means that it works.
    pub why_not: Option<String>,
}

impl Ability {
    /// Whether it works.
    pub fn works(&self) -> bool {
        self.why_not.is_none()
    }
}

/// What this host permits, with reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// Running as uid 0 with the capabilities that sandboxes need.
    pub root: Ability,
    /// User namespaces.
    pub user_namespaces: Ability,
    /// Mount namespaces.
    pub mount_namespaces: Ability,
    /// Pid namespaces.
    pub pid_namespaces: Ability,
    /// Network namespaces.
    pub network_namespaces: Ability,
    /// Mounting an overlay whose upper directory is under the runtime's root.
    pub overlayfs: Ability,
    /// Making cgroups in every hierarchy that counts.
    pub cgroups: Ability,
    /// CPU limits.
    pub cpu_limits: Ability,
    /// Memory limits.
    pub memory_limits: Ability,
    /// Task limits.
    pub pids_limits: Ability,
    /// Keeping containers from the host's devices by their cgroup. Where that fails, mount options keep
    /// them off, and no container that could change those is started.
    pub device_access: Ability,
    /// Killing a whole cgroup at once.
    pub cgroup_kill: Ability,
    /// A bridge and veth pairs.
    pub bridge: Ability,
    /// Filtering system calls.
    pub seccomp: Ability,
    /// Where the cgroup hierarchies are.
    pub cgroup_layout: Layout,
}

impl HostFacts {
    /// Tries everything; takes a few milliseconds. `root` is where overlays will be, `cgroup_root` the
    /// name under which cgroups will be made. Blocking.
    pub fn probe(root: &Path, cgroup_root: &str) -> Self {
        probe::probe(root, cgroup_root)
    }

    /// Every ability, in the order of a report.
    pub fn abilities(&self) -> Vec<&Ability> {
        vec![
            &self.root,
            &self.user_namespaces,
            &self.mount_namespaces,
            &self.pid_namespaces,
            &self.network_namespaces,
            &self.overlayfs,
            &self.cgroups,
            &self.cpu_limits,
            &self.memory_limits,
            &self.pids_limits,
            &self.device_access,
            &self.cgroup_kill,
            &self.bridge,
            &self.seccomp,
        ]
    }

    /// Why native containers cannot run here, in a sentence; `None` means that they can.
    pub fn native_why_not(&self) -> Option<String> {
        first(&[
            &self.root,
            &self.mount_namespaces,
            &self.pid_namespaces,
            &self.overlayfs,
            &self.cgroups,
            &self.seccomp,
        ])
    }

    /// Why pods cannot have a network namespace behind a bridge, in a sentence; `None` means that they
    /// can. Where they cannot, sandboxes run in [loopback mode](crate::spec::Network::Loopback).
    pub fn pod_network_why_not(&self) -> Option<String> {
        first(&[&self.root, &self.network_namespaces, &self.bridge])
    }

    /// Whether sandboxes get namespaces and cgroups at all.
    pub fn isolates(&self) -> bool {
        self.native_why_not().is_none()
    }

    /// Whether a controller's limits can be enforced.
    pub fn has_controller(&self, controller: Controller) -> bool {
        self.cgroups.works() && self.cgroup_layout.has(controller)
    }
}

fn first(abilities: &[&Ability]) -> Option<String> {
    abilities.iter().find_map(|ability| ability.why_not.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_and_explains_what_it_finds() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("wharf-test-probe-{}", std::process::id());
        let facts = HostFacts::probe(folder.path(), &name);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        for mount in facts.cgroup_layout.hierarchies() {
            let left = std::fs::read_dir(mount).unwrap().flatten().map(|entry| entry.file_name());
            let left: Vec<_> = left.filter(|n| n.to_string_lossy().starts_with(&name)).collect();
            assert!(left.is_empty(), "{} {left:?}", mount.display());
        }
        for ability in facts.abilities() {
            let why_not = ability.why_not.as_deref();
            assert!(why_not.is_none_or(|text| text.ends_with('.')), "{ability:?}");
        }
        let root = rustix::process::geteuid().is_root();
        assert!(root || facts.native_why_not().is_some_and(|text| text.contains("uid")));
    }
}
