//! A cloned child's first deed: a session, streams and signals of its own, and nothing else inherited.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::SigSet;
use rustix::fs::{Mode, OFlags};

use super::LaunchError;

/// Starts a session, takes the standard streams (`None` is `/dev/null`), and closes every other
/// descriptor but those in `keep`. Signals get their default actions, and none stays blocked.
pub(crate) fn take(
    streams: [Option<BorrowedFd<'_>>; 3],
    keep: &[BorrowedFd<'_>],
) -> Result<(), LaunchError> {
    let step = |operation, e: io::Error| LaunchError::Step {
        operation,
        subject: "the container's process".to_owned(),
        source: e,
    };
    rustix::process::setsid().map_err(|e| step("start a session for", e.into()))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| step("open /dev/null for", e.into()))?;
    let [stdin, stdout, stderr] = streams.map(|stream| stream.unwrap_or(null.as_fd()));
    nix::unistd::dup2_stdin(stdin)
        .and_then(|()| nix::unistd::dup2_stdout(stdout))
        .and_then(|()| nix::unistd::dup2_stderr(stderr))
        .map_err(|e| step("set the streams of", e.into()))?;
    drop(null);
    // Close-on-exec is too late: the image names the program and its interpreter, and a path such as
    // /proc/self/fd/9/../../bin/sh would lead from an open directory of the host's to its files.
    crate::sys::close_all_but(keep).map_err(|e| step("close inherited descriptors in", e))?;
    crate::sys::default_dispositions();
    SigSet::all().thread_unblock().map_err(|e| step("unblock the signals of", e.into()))
}
