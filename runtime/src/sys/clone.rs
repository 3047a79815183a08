//! `clone3(2)`: a child in new namespaces, with a pidfd, optionally born inside a cgroup.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;

/// Namespaces that a child is born into, as `CLONE_NEW*` bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CloneFlags(pub(crate) u64);

impl CloneFlags {
    pub(crate) const MOUNT: Self = Self(libc::CLONE_NEWNS as u64);
    pub(crate) const PID: Self = Self(libc::CLONE_NEWPID as u64);
    pub(crate) const NETWORK: Self = Self(libc::CLONE_NEWNET as u64);
    pub(crate) const UTS: Self = Self(libc::CLONE_NEWUTS as u64);
    pub(crate) const IPC: Self = Self(libc::CLONE_NEWIPC as u64);
    pub(crate) const USER: Self = Self(libc::CLONE_NEWUSER as u64);

    /// Both sets of bits.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The kernel's value; libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the clone one is on.
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The process that asked; it owns the child's pidfd.
    Parent {
        /// The child's pid in this process's pid namespace.
        pid: Pid,
        /// Becomes readable when the child exits.
        pidfd: OwnedFd,
    },
}

/// `struct clone_args` up to `cgroup` (kernel 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

fn raw_clone3(args: &mut CloneArgs) -> io::Result<libc::pid_t> {
    // SAFETY: `args` is a valid clone_args of the size passed; without CLONE_VM the child gets its own
    // copy of memory, so returning twice from here is what fork(2) does. Callers see to it that the
    // child of a multi-threaded process does nothing but _exit.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_mut(args), std::mem::size_of::<CloneArgs>())
    };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as libc::pid_t) }
}

/// Clones this single-threaded process.
///
/// The child may go on with ordinary Rust code because no other thread can have held a lock: that is
/// checked, and a process with more than one thread gets `EBUSY` instead of a child.
pub(crate) fn clone_process(
    namespaces: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Cloned> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: namespaces.0 | libc::CLONE_PIDFD as u64,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    match raw_clone3(&mut args)? {
        0 => Ok(Cloned::Child),
        pid => {
            // SAFETY: the kernel stored a fresh descriptor there that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            let pid = Pid::from_raw(pid).expect("clone3 returns a positive pid to the parent");
            Ok(Cloned::Parent { pid, pidfd })
        }
    }
}

/// Tries to make a child with these namespaces that exits at once: what the host permits.
pub(crate) fn clone_probe(namespaces: CloneFlags) -> io::Result<()> {
    let mut args = CloneArgs {
        flags: namespaces.0,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    match raw_clone3(&mut args)? {
        // SAFETY: _exit is async-signal-safe, hence allowed in the child of a threaded process.
        0 => unsafe { libc::_exit(0) },
        pid => {
            let pid = Pid::from_raw(pid).expect("clone3 returns a positive pid to the parent");
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
            Ok(())
        }
    }
}

/// Ends this process at once, running nothing that its parent registered to run at exit.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}
