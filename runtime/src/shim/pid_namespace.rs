//! One pid namespace for all containers of a sandbox: `shareProcessNamespace`.
//!
//! A pid namespace ends with its first process, and no container is there from the first to the last
//! moment. So its first process is a copy of the shim that only waits; Kubernetes' pause container is
//! the same. It reaps what containers orphan, and dies with the shim.
//!
//! A single container may also be born into the namespace of another one ([`Visit`]): an ephemeral
//! container that looks into its target.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;

use crate::sys::{CloneFlags as Namespaces, Cloned};

/// Makes the namespace, and this single-threaded process's later children members of it. It stays in
/// its own.
pub(super) fn share() -> io::Result<()> {
    match crate::sys::clone_process(Namespaces::PID, None)? {
        Cloned::Child => {
            let Err(_) = hold();
            crate::sys::exit_now(1)
        }
        Cloned::Parent { pidfd, .. } => Ok(setns(pidfd, CloneFlags::CLONE_NEWPID)?),
    }
}

/// As long as this lives, this single-threaded process's children are born into another namespace.
///
/// Should coming back fail, no child can be cloned into a namespace of its own any more: the kernel
/// refuses that from elsewhere, so that no container ends up among strangers.
pub(super) struct Visit {
    own: File,
}

impl Visit {
    /// `first` is a pidfd of a process in the other namespace, which must be below this one.
    pub(super) fn begin(first: BorrowedFd<'_>) -> io::Result<Self> {
        let own = File::open("/proc/self/ns/pid_for_children")?;
        setns(first, CloneFlags::CLONE_NEWPID)?;
        Ok(Self { own })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let _ = setns(&self.own, CloneFlags::CLONE_NEWPID);
    }
}

/// In the child: lets go of everything and waits for ever. Signals from within do not reach the first
/// process of a pid namespace.
fn hold() -> io::Result<Infallible> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_name(c"wharf-pause")?;
    // The agent waits for the end of the shim's standard output.
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    crate::sys::close_all_but(&[])?;
    crate::sys::ignore_children();
    loop {
        nix::unistd::pause();
    }
}
