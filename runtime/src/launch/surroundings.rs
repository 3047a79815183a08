//! What a plan depends on besides the container's specification and its image.

use std::path::Path;

use crate::cgroup::{CgroupPlan, Layout};
use crate::spec::SandboxSpec;

/// The sandbox and host that a container is planned for.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The sandbox.
    pub sandbox: &'a SandboxSpec,
    /// Namespaces and cgroups; false on unprivileged hosts.
    pub isolated: bool,
    /// The sandbox's directory, with `hosts`, `hostname`, `resolv.conf`, `nsswitch.conf` and `shm`.
    pub directory: &'a Path,
    /// The attempt's directory, with empty `upper`, `work` and `root`.
    pub attempt: &'a Path,
    /// The container's cgroup.
    pub cgroup: &'a CgroupPlan,
    /// Where the host's cgroup hierarchies are.
    pub layout: &'a Layout,
}
