//! Signal dispositions, which survive exec when set to "ignore".

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends any signal, real-time ones included, to the process of a pidfd.
///
/// `EINVAL` for a number that is none.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: without a siginfo the kernel fills it in itself; the descriptor is open.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Leaves this process's dead children to the kernel: none becomes a zombie.
pub(crate) fn ignore_children() {
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Gives every signal its default action, as a program started by init would find them.
///
/// Rust's start-up ignores SIGPIPE; a container must not inherit that.
pub(crate) fn default_dispositions() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no handler; signals that cannot be changed fail with EINVAL, which is fine.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
