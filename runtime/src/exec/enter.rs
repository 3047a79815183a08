//! `<exe> exec`: finds the container's first process, clones the program's process, waits for it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitOptions};

use crate::launch::report::Reporter;
use crate::launch::{JoinPlan, LaunchError, streams};
use crate::rights;
use crate::sys::{CloneFlags as Namespaces, Cloned};

/// Longest plan: an environment may have some megabytes.
const MAX_PLAN: u32 = 64 << 20;

/// What containerd gives a process that did not start.
const NEVER_STARTED: i32 = 128;

/// Reads what to do from standard input, does it, and ends as the program does.
pub(crate) fn main() -> ExitCode {
    let Ok(control) = take_control() else { return ExitCode::from(64) };
    match start(&control) {
        Ok(child) => {
            // Its end says that the program runs.
            drop(control);
            wait(child)
        }
        Err(error) => {
            let _ = Reporter::new(control).send(&error.report());
            ExitCode::from(NEVER_STARTED.unsigned_abs() as u8)
        }
    }
}

/// The socket, out of the standard streams' way. This process is no part of the agent's session: what is
/// typed at the agent's terminal is not meant for it.
fn take_control() -> io::Result<OwnedFd> {
    crate::sys::close_all_from(3)?;
    let inherited = crate::sys::adopt_descriptor(0)?;
    let control = rustix::io::fcntl_dupfd_cloexec(&inherited, 3)?;
    drop(inherited);
    // The lowest free number: standard input.
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty())?;
    std::mem::forget(null);
    rustix::process::setsid()?;
    let _ = rustix::thread::set_name(c"wharf-exec");
    Ok(control)
}

fn failed<E: Into<io::Error>>(
    operation: &'static str,
    subject: &'static str,
) -> impl Fn(E) -> LaunchError {
    move |e| LaunchError::Step { operation, subject: subject.to_owned(), source: e.into() }
}

fn start(control: &OwnedFd) -> Result<Pid, LaunchError> {
    let (plan, handed) = receive(control).map_err(failed("read", "the plan"))?;
    let target = find(&plan).map_err(failed("find", "the container's first process"))?;
    let born_in = plan.born_in.as_ref().map(File::open).transpose();
    let born_in = born_in.map_err(failed("open", "the container's cgroup"))?;
    setns(&target, CloneFlags::CLONE_NEWPID)
        .map_err(failed("enter", "the container's pid namespace"))?;
    let cgroup = born_in.as_ref().map(AsFd::as_fd);
    match crate::sys::clone_process(Namespaces::default(), cgroup) {
        Ok(Cloned::Child) => become_program(&plan, &target, control, &handed),
        Ok(Cloned::Parent { pid, .. }) => Ok(pid),
        Err(e) => Err(failed("clone", "the program's process")(e)),
    }
}

/// A length, with the descriptors of the standard streams (none if there will be a terminal), and then so
/// many bytes of JSON.
fn receive(control: &OwnedFd) -> io::Result<(JoinPlan, Vec<OwnedFd>)> {
    let (mut length, mut handed) = ([0; 4], Vec::new());
    if rights::receive(control, &mut length, &mut handed)? != length.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = u32::from_be_bytes(length);
    if length > MAX_PLAN {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut text = vec![0; length as usize];
    File::from(control.try_clone()?).read_exact(&mut text)?;
    Ok((serde_json::from_slice(&text).map_err(io::Error::other)?, handed))
}

/// The process is looked at after the pidfd is open: from then on neither can come to mean another.
fn find(plan: &JoinPlan) -> io::Result<OwnedFd> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    let pid = i32::try_from(plan.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let target = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", plan.pid))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    if parent.and_then(|parent| parent.trim().parse().ok()) == Some(plan.shim) {
        Ok(target)
    } else {
        Err(gone())
    }
}

/// In the child. Never returns.
fn become_program(plan: &JoinPlan, target: &OwnedFd, control: &OwnedFd, handed: &[OwnedFd]) -> ! {
    let stream = |at: usize| handed.get(at).map(AsFd::as_fd);
    let keep: [BorrowedFd<'_>; 2] = [target.as_fd(), control.as_fd()];
    let taken = streams::take([stream(0), stream(1), stream(2)], &keep);
    let joined = taken.and_then(|()| crate::launch::join(plan, target.as_fd(), control.as_fd()));
    let Err(error) = joined;
    if let Ok(control) = control.try_clone() {
        let _ = Reporter::new(control).send(&error.report());
    }
    crate::sys::exit_now(NEVER_STARTED)
}

/// Waits for the program; its exit code, or 128 and the signal that ended it.
fn wait(child: Pid) -> ExitCode {
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                let code = status.exit_status().unwrap_or_else(|| {
                    status.terminating_signal().map_or(NEVER_STARTED, |signal| 128 + signal)
                });
                return ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX));
            }
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(_) => return ExitCode::from(u8::MAX),
        }
    }
}
