//! Becoming a further process of a container that runs: into its namespaces, then the steps that the
//! container's own first process went through, as far as they are about the process alone.

use std::convert::Infallible;
use std::os::fd::BorrowedFd;

use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags};
use rustix::process::DumpableBehavior;

use super::execute::{Progress, execute};
use super::plan::JoinPlan;
use super::rootfs::Root;
use super::{LaunchError, console, exec};

/// Executes the plan in this process, which becomes the program; returns only on failure.
///
/// `target` is a pidfd of the container's first process, `control` the socket that a terminal's master side
/// is sent over.
pub(crate) fn join(
    plan: &JoinPlan,
    target: BorrowedFd<'_>,
    control: BorrowedFd<'_>,
) -> Result<Infallible, LaunchError> {
    let mut progress = Progress::default();
    plan.outside.iter().try_for_each(|step| execute(step, &mut progress))?;
    // Until it is the container's program, the container's other processes must not reach into this one:
    // it still has descriptors of the host's.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| LaunchError::step("hide", "the process from the container", e))?;
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    nix::sched::setns(target, namespaces)
        .map_err(|e| LaunchError::step("enter", "the container's namespaces", e))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty())
        .map_err(|e| LaunchError::step("open", "the container's root", e))?;
    progress.root = Some(Root::new(root));
    plan.inside.iter().try_for_each(|step| execute(step, &mut progress))?;
    if plan.terminal {
        console::take(control, plan.size)?;
    }
    exec::program(&plan.argv, &plan.env, progress.home.as_deref())
}
