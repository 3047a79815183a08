//! Native containers: from specification, image and host to a launch plan. Pure.
//!
//! The result is what Docker and containerd give by default: the OCI default mounts, masked and
//! read-only paths, Docker's capabilities, the default seccomp profile.

mod defaults;
mod environment;
mod steps;

pub use environment::{argv, environment};
pub(crate) use steps::can_mount;
pub use steps::{Joining, join, plan};
