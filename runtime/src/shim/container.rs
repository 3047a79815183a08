//! One attempt of one container, in the shim: from clone to the record of its exit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::SigSet;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitStatus};

use super::output::Output;
use super::proto::Start;
use super::record::{ContainerRecord, RECORD, write_json};
use crate::cgroup;
use crate::launch::plan::Exec;
use crate::launch::report::{Report, Reporter};
use crate::launch::{LaunchError, LaunchPlan};
use crate::log::writer::{LogWriter, Stream};
use crate::spec::{ContainerState, ContainerStatus, Exit, ExitReason, PidNamespace};
use crate::sys::{CloneFlags, Cloned};

/// What containerd gives a container that did not start.
const NEVER_STARTED: i32 = 128;

/// A child whose program does not run by then will not run at all: it hangs in a mount of the host's or
/// in a file of the image's.
const START: Duration = Duration::from_secs(120);

/// Bytes that a child may have to say; reports are a few kilobytes.
const MAX_REPORT: usize = 64 << 10;

/// Where an attempt is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Cloned; its program does not run yet.
    Starting,
    /// Its program runs.
    Running,
    /// Reaped.
    Exited,
}

/// Who waits for an answer: connection and request id.
pub(super) type Waiter = (u64, u64);

/// One attempt.
pub(super) struct Container {
    pub(super) record: ContainerRecord,
    pub(super) phase: Phase,
    pub(super) outputs: Vec<Output>,
    pub(super) report: Option<File>,
    pub(super) start_waiter: Option<Waiter>,
    pub(super) stop_waiters: Vec<Waiter>,
    pub(super) deadline: Option<Instant>,
    pub(super) pid: Pid,
    directory: PathBuf,
    pidfd: OwnedFd,
    log: LogWriter,
    reported: Vec<u8>,
    ended: Option<Report>,
    wasm: bool,
    stop_signal: i32,
    /// The stop signal has been sent.
    stopping: bool,
    /// It was killed because its program did not run in time.
    late: bool,
    started_at: Timestamp,
}

/// A container that could not even be cloned.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}: {cause}")]
pub(super) struct CloneFailure {
    operation: &'static str,
    cause: String,
}

fn failed<E: std::fmt::Display>(operation: &'static str) -> impl Fn(E) -> CloneFailure {
    move |cause| CloneFailure { operation, cause: cause.to_string() }
}

impl Container {
    /// Makes the cgroup and the log, and clones the child.
    pub(super) fn start(start: Start, pids: PidNamespace) -> Result<Self, CloneFailure> {
        let log = LogWriter::open(&start.log_path).map_err(failed("open the log"))?;
        // A cgroup left from the last attempt would bring its counters along.
        cgroup::remove(&start.cgroup).map_err(failed("remove the last attempt's cgroup"))?;
        cgroup::create(&start.cgroup).map_err(failed("make the cgroup"))?;
        let wasm = matches!(start.plan.exec, Exec::WasmHost { .. });
        let config = match &start.plan.exec {
            Exec::Program { .. } => None,
            Exec::WasmHost { config } => {
                Some(memory_file(config).map_err(failed("hand the configuration over"))?)
            }
        };
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"));
        let ((out_read, out_write), (err_read, err_write), (report_read, report_write)) =
            (pipe()?, pipe()?, pipe()?);
        let born_in = start.cgroup.born_in.as_ref().map(File::open).transpose();
        let born_in = born_in.map_err(failed("open the cgroup"))?;
        let namespaces = match (start.plan.isolated, pids) {
            (false, _) => CloneFlags::default(),
            (true, PidNamespace::Container) => CloneFlags::PID.and(CloneFlags::MOUNT),
            // Born into the one that the shim's children belong to.
            (true, PidNamespace::Sandbox | PidNamespace::Host) => CloneFlags::MOUNT,
        };
        let started_at = Timestamp::now();
        let cloned = crate::sys::clone_process(namespaces, born_in.as_ref().map(AsFd::as_fd));
        let (pid, pidfd) = match cloned.map_err(failed("clone the container's process"))? {
            Cloned::Child => {
                become_container(&start.plan, out_write, err_write, report_write, config)
            }
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop((out_write, err_write, report_write));
        rustix::io::ioctl_fionbio(&report_read, true).map_err(failed("set up the report"))?;
        let outputs = vec![
            Output::new(out_read, Stream::Stdout).map_err(failed("set up stdout"))?,
            Output::new(err_read, Stream::Stderr).map_err(failed("set up stderr"))?,
        ];
        let status = ContainerStatus {
            spec: start.spec,
            image_digest: start.image_digest,
            id: start.id,
            state: ContainerState::Running { pid: raw(pid), started_at },
            log_path: start.log_path,
        };
        Ok(Self {
            record: ContainerRecord { status, cgroup: start.cgroup },
            phase: Phase::Starting,
            outputs,
            report: Some(File::from(report_read)),
            start_waiter: None,
            stop_waiters: Vec::new(),
            deadline: Some(Instant::now() + START),
            pid,
            directory: start.directory,
            pidfd,
            log,
            reported: Vec::new(),
            ended: None,
            wasm,
            stop_signal: start.stop_signal,
            stopping: false,
            late: false,
            started_at,
        })
    }

    /// The record of a container that could not be cloned, on disk like any other.
    pub(super) fn stillborn(start: Start, failure: &CloneFailure) -> ContainerRecord {
        let now = Timestamp::now();
        let exit = Exit {
            code: NEVER_STARTED,
            signal: None,
            reason: ExitReason::StartError,
            message: failure.to_string(),
            started_at: now,
            finished_at: now,
        };
        let status = ContainerStatus {
            spec: start.spec,
            image_digest: start.image_digest,
            id: start.id,
            state: ContainerState::Exited(exit),
            log_path: start.log_path,
        };
        let record = ContainerRecord { status, cgroup: start.cgroup };
        save(&start.directory, &record);
        record
    }

    pub(super) fn is(&self, name: &str, attempt: u32) -> bool {
        let spec = &self.record.status.spec;
        spec.name == name && spec.attempt == attempt
    }

    /// Reads what the child reports; `true` when that made the container run.
    pub(super) fn read_report(&mut self) -> bool {
        let Some(pipe) = &mut self.report else { return false };
        let mut chunk = [0; 4096];
        let ended = loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break true,
                // Whoever floods the pipe is no launcher of ours any more.
                Ok(_) if self.reported.len() > MAX_REPORT => break true,
                Ok(length) => self.reported.extend_from_slice(&chunk[..length]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break false,
            }
        };
        let mut ready = false;
        while let Some(end) = self.reported.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.reported.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Report::Ready) => ready = true,
                Ok(report) => self.ended = Some(report),
                Err(_) => {}
            }
        }
        if ended {
            self.report = None;
            // The exec closed the pipe: the program runs. A Wasm host says so itself.
            ready |= !self.wasm && self.ended.is_none();
        }
        if ready && self.phase == Phase::Starting {
            self.phase = Phase::Running;
            if !self.stopping {
                self.deadline = None;
            }
            save(&self.directory, &self.record);
            return true;
        }
        false
    }

    /// Forwards one read's worth of a stream; `false` at its end.
    pub(super) fn forward(&mut self, stream: usize) -> bool {
        match self.outputs[stream].forward(&mut self.log) {
            Ok(more) => more,
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// The child was reaped: everything it left is gathered, and its exit recorded.
    pub(super) fn reaped(&mut self, status: WaitStatus) {
        self.kill();
        for output in &mut self.outputs {
            output.drain(&mut self.log);
        }
        self.outputs.clear();
        self.report = None;
        let oom = cgroup::oom_kills(&self.record.cgroup) > 0;
        let wait = (status.exit_status(), status.terminating_signal());
        let exit = match self.late {
            true => late(self.started_at),
            false => exit(wait, self.ended.take(), oom, self.phase, self.started_at),
        };
        self.record.status.state = ContainerState::Exited(exit);
        self.phase = Phase::Exited;
        self.deadline = None;
        save(&self.directory, &self.record);
    }

    /// Asks for an end, and sets or shortens the deadline.
    pub(super) fn stop(&mut self, grace: Duration) {
        if !self.stopping {
            self.stopping = true;
            let _ = crate::sys::send_signal(self.pidfd.as_fd(), self.stop_signal);
        }
        let deadline = Instant::now() + grace;
        self.deadline = Some(self.deadline.map_or(deadline, |present| present.min(deadline)));
    }

    /// The deadline is over.
    pub(super) fn overdue(&mut self, now: Instant) {
        self.late |= self.phase == Phase::Starting && !self.stopping;
        self.kill();
        // Once more in a second if the kernel has not managed it by then.
        self.deadline = Some(now + Duration::from_secs(1));
    }

    /// Kills everything that belongs to the container.
    pub(super) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        if self.record.cgroup.directories.is_empty() {
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        } else {
            cgroup::kill(&self.record.cgroup);
        }
    }

    /// Removes the cgroup; what cannot be removed yet is removed with the sandbox.
    pub(super) fn remove_cgroup(&self) {
        let _ = cgroup::remove(&self.record.cgroup);
    }
}

fn raw(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// A record that cannot be written (a full disk) is said on stderr, the shim's log; the container's life
/// goes on, and its state is still announced.
fn save(directory: &std::path::Path, record: &ContainerRecord) {
    let outcome = std::fs::create_dir_all(directory)
        .and_then(|()| write_json(&directory.join(RECORD), record));
    if let Err(e) = outcome {
        // Not `eprintln!`: it panics where stderr cannot be written, and the shim's log is on the same disk.
        let _ = writeln!(io::stderr(), "cannot write the record in {}: {e}", directory.display());
    }
}

/// What the record says about a child that never got to its program.
fn late(started_at: Timestamp) -> Exit {
    Exit {
        code: NEVER_STARTED,
        signal: None,
        reason: ExitReason::StartError,
        message: format!(
            "the container's process did not get to its program within {} s",
            START.as_secs()
        ),
        started_at,
        finished_at: Timestamp::now(),
    }
}

/// What the record says about an end; `status` and `signal` are the two halves of the wait status.
fn exit(
    (status, signal): (Option<i32>, Option<i32>),
    report: Option<Report>,
    oom: bool,
    phase: Phase,
    started_at: Timestamp,
) -> Exit {
    let code = signal.map_or(status.unwrap_or(-1), |signal| 128 + signal);
    let finished_at = Timestamp::now();
    let exit = |code, signal, reason, message: String| Exit {
        code,
        signal,
        reason,
        message,
        started_at,
        finished_at,
    };
    match report {
        Some(Report::Failed { reason, message, .. }) => exit(NEVER_STARTED, None, reason, message),
        Some(Report::Ended { code, reason, message }) => exit(code, None, reason, message),
        _ if oom && code != 0 => exit(code, signal, ExitReason::OOMKilled, String::new()),
        _ if phase == Phase::Starting => {
            let how = signal.map_or_else(
                || format!("it exited with code {code}"),
                |signal| format!("signal {signal} ended it"),
            );
            let message = format!("the container's process did not get to its program: {how}");
            exit(NEVER_STARTED, signal, ExitReason::StartError, message)
        }
        _ if code == 0 => exit(0, None, ExitReason::Completed, String::new()),
        _ => exit(code, signal, ExitReason::Error, String::new()),
    }
}

fn memory_file(value: &serde_json::Value) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("wasm-host", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// In the child: standard streams, clean signals, then the plan. Never returns.
fn become_container(
    plan: &LaunchPlan,
    stdout: OwnedFd,
    stderr: OwnedFd,
    report: OwnedFd,
    config: Option<OwnedFd>,
) -> ! {
    let prepared = prepare(&stdout, &stderr, &report, config.as_ref());
    let Err(error) = prepared.and_then(|()| crate::launch::run(plan, config, &report));
    let _ = Reporter::new(report).send(&error.report());
    crate::sys::exit_now(NEVER_STARTED)
}

fn prepare(
    stdout: &OwnedFd,
    stderr: &OwnedFd,
    report: &OwnedFd,
    config: Option<&OwnedFd>,
) -> Result<(), LaunchError> {
    let step = |operation, e: io::Error| LaunchError::Step {
        operation,
        subject: "the container's process".to_owned(),
        source: e,
    };
    rustix::process::setsid().map_err(|e| step("start a session for", e.into()))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| step("open /dev/null for", e.into()))?;
    nix::unistd::dup2_stdin(null)
        .and_then(|()| nix::unistd::dup2_stdout(stdout))
        .and_then(|()| nix::unistd::dup2_stderr(stderr))
        .map_err(|e| step("set the streams of", e.into()))?;
    // Close-on-exec is too late: the image names the program and its interpreter, and a path such as
    // /proc/self/fd/9/../../bin/sh would lead from an open directory of the host's to its files.
    let mut keep = vec![report.as_fd()];
    keep.extend(config.map(AsFd::as_fd));
    crate::sys::close_all_but(&keep).map_err(|e| step("close the shim's descriptors in", e))?;
    crate::sys::default_dispositions();
    SigSet::all().thread_unblock().map_err(|e| step("unblock the signals of", e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(
        wait: (Option<i32>, Option<i32>),
        report: Option<Report>,
        oom: bool,
        phase: Phase,
    ) -> (i32, Option<i32>, ExitReason) {
        let exit = exit(wait, report, oom, phase, Timestamp::now());
        (exit.code, exit.signal, exit.reason)
    }

    #[test]
    fn ends_are_told_apart() {
        let running = Phase::Running;
        assert_eq!(ended((Some(0), None), None, false, running), (0, None, ExitReason::Completed));
        assert_eq!(ended((Some(7), None), None, false, running), (7, None, ExitReason::Error));
        assert_eq!(
            ended((None, Some(15)), None, false, running),
            (143, Some(15), ExitReason::Error)
        );
        assert_eq!(
            ended((None, Some(9)), None, true, running),
            (137, Some(9), ExitReason::OOMKilled)
        );
        // A program that shrugs off the kill of a child and ends well has completed.
        assert_eq!(ended((Some(0), None), None, true, running), (0, None, ExitReason::Completed));
        assert_eq!(
            ended((None, Some(9)), None, false, Phase::Starting),
            (128, Some(9), ExitReason::StartError)
        );
        let trap = Report::Ended { code: 134, reason: ExitReason::WasmTrap, message: "x".into() };
        assert_eq!(
            ended((Some(134), None), Some(trap), false, running),
            (134, None, ExitReason::WasmTrap)
        );
    }
}
