//! Control groups on v1, v2 and hybrid hosts.
//!
//! Every sandbox has a cgroup `/<cgroup_root>/<sandbox id>` and every container one below it, in each
//! hierarchy that matters:
//!
//! | host | limits | kill, freeze, CPU usage |
//! |---|---|---|
//! | v2 | `/sys/fs/cgroup` | the same |
//! | hybrid | v1 `cpu`, `memory`, `pids` mounts | the v2 mount at `/sys/fs/cgroup/unified` |
//! | v1 | v1 `cpu`, `memory`, `pids`, `cpuacct` mounts | process by process; `cpuacct` |
//!
//! Devices are refused by the v1 `devices` mount, and where there is none by a program in the v2 cgroup
//! ([`devices`]).
//!
//! [`Layout`] finds out which; [`plan`] says, as pure data, which directories to make and what to write
//! into them; [`apply`] does it. The shim makes and removes a container's cgroup; the agent those of the
//! sandbox and of the root.

mod apply;
mod devices;
mod layout;
pub mod plan;
mod stats;

pub use apply::{CgroupError, create, kill, processes, remove, rewrite};
pub use devices::{DeviceAccess, DeviceFilter, DeviceKind, DeviceRule};
pub use layout::{Controller, Layout};
pub use plan::{
    CgroupPlan, Write, container_limits, container_plan, root_plan, sandbox_limits, sandbox_plan,
};
pub use stats::{Usage, oom_kills, usage};
