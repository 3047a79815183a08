//! One attempt of one container, in the shim: from clone to the record of its exit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitStatus};

use super::ending::{exit, late};
use super::output::Output;
use super::pid_namespace::Visit;
use super::proto::{Start, Update};
use super::record::{ContainerRecord, RECORD, write_json};
use super::tap::Tap;
use crate::cgroup;
use crate::launch::LaunchPlan;
use crate::launch::plan::Exec;
use crate::launch::report::{Report, Reporter};
use crate::log::writer::{LogWriter, Stream};
use crate::spec::{ContainerState, ContainerStatus, Exit, ExitReason, PidNamespace};
use crate::sys::{CloneFlags, Cloned};

/// What containerd gives a container that did not start.
pub(super) const NEVER_STARTED: i32 = 128;

/// A child whose program does not run by then will not run at all: it hangs in a mount of the host's or
/// in a file of the image's.
pub(super) const START: Duration = Duration::from_secs(120);

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

/// Whose processes a container is born among.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pids<'a> {
    /// Those that the sandbox says.
    Sandbox(PidNamespace),
    /// Those of the container whose first process this is.
    Of(BorrowedFd<'a>),
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
    /// The writing end of its standard input, while that is kept open.
    pub(super) stdin: Option<OwnedFd>,
    /// Where the master side of its terminal comes from.
    console: Option<UnixStream>,
    /// The master side of its terminal.
    pub(super) terminal: Option<OwnedFd>,
    /// Whoever is attached.
    pub(super) taps: Vec<Tap>,
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
    pub(super) fn start(start: Start, pids: Pids<'_>) -> Result<Self, CloneFailure> {
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
        let terminal = start.plan.terminal;
        let (in_read, stdin) =
            (start.spec.stdio.stdin && !terminal).then(pipe).transpose()?.unzip();
        let console = terminal.then(UnixStream::pair).transpose();
        let (console, console_write) = console.map_err(failed("make a socket"))?.unzip();
        let born_in = start.cgroup.born_in.as_ref().map(File::open).transpose();
        let born_in = born_in.map_err(failed("open the cgroup"))?;
        let namespaces = match (start.plan.isolated, pids) {
            (false, _) => CloneFlags::default(),
            (true, Pids::Sandbox(PidNamespace::Container)) => {
                CloneFlags::PID.and(CloneFlags::MOUNT)
            }
            // Born into the one that the shim's children belong to.
            (true, _) => CloneFlags::MOUNT,
        };
        let visit = match pids {
            Pids::Of(first) if start.plan.isolated => {
                Some(Visit::begin(first).map_err(failed("enter the pid namespace of the target"))?)
            }
            _ => None,
        };
        let started_at = Timestamp::now();
        let cloned = crate::sys::clone_process(namespaces, born_in.as_ref().map(AsFd::as_fd));
        let (pid, pidfd) = match cloned.map_err(failed("clone the container's process"))? {
            Cloned::Child => {
                let streams = [in_read, Some(out_write), Some(err_write)];
                let console = console_write.map(OwnedFd::from);
                become_container(&start.plan, streams, report_write, config, console)
            }
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop(visit);
        drop((in_read, out_write, err_write, report_write, console_write));
        rustix::io::ioctl_fionbio(&report_read, true).map_err(failed("set up the report"))?;
        let outputs = vec![
            Output::new(out_read, Stream::Stdout).map_err(failed("set up stdout"))?,
            Output::new(err_read, Stream::Stderr).map_err(failed("set up stderr"))?,
        ];
        let status = ContainerStatus {
            spec: start.spec,
            image_digest: start.image_digest,
            user: None,
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
            stdin,
            console,
            terminal: None,
            taps: Vec::new(),
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
            user: None,
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
                Ok(Report::Became(identity)) => self.record.status.user = Some(identity),
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
            self.take_terminal();
            save(&self.directory, &self.record);
            return true;
        }
        false
    }

    /// The child has sent its terminal before it became the program.
    fn take_terminal(&mut self) {
        let Some(console) = self.console.take() else { return };
        let mut handed = Vec::new();
        let received = console
            .set_nonblocking(true)
            .and_then(|()| crate::rights::receive(&console, &mut [0; 8], &mut handed));
        let (Ok(_), Some(master)) = (received, handed.pop()) else { return };
        // Two descriptors: one is read here, the other may be given to whoever attaches.
        let output = master.try_clone().and_then(|copy| Output::new(copy, Stream::Stdout));
        self.outputs.extend(output.ok());
        self.terminal = Some(master);
    }

    /// Forwards one read's worth of a stream; `false` at its end.
    pub(super) fn forward(&mut self, stream: usize) -> bool {
        match self.outputs[stream].forward(&mut self.log, &mut self.taps) {
            Ok(more) => more,
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Whether somebody who is attached to a stream has to catch up.
    pub(super) fn is_held(&self, stream: usize) -> bool {
        let stream = self.outputs[stream].stream();
        self.taps.iter().any(|tap| tap.stream() == stream && tap.waits())
    }

    /// The child was reaped: everything it left is gathered, and its exit recorded.
    pub(super) fn reaped(&mut self, status: WaitStatus) {
        self.kill();
        for output in &mut self.outputs {
            output.drain(&mut self.log, &mut self.taps);
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

    /// A descriptor of its first process.
    pub(super) fn first_process(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Gives its cgroup other limits, and the record what they are.
    pub(super) fn update(&mut self, update: Update) -> Result<(), cgroup::CgroupError> {
        cgroup::rewrite(&update.writes)?;
        let spec = &mut self.record.status.spec;
        spec.resources = update.resources;
        spec.labels.extend(update.labels);
        save(&self.directory, &self.record);
        Ok(())
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

fn memory_file(value: &serde_json::Value) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("wasm-host", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// In the child: standard streams, clean signals, then the plan. Never returns.
fn become_container(
    plan: &LaunchPlan,
    streams: [Option<OwnedFd>; 3],
    report: OwnedFd,
    config: Option<OwnedFd>,
    console: Option<OwnedFd>,
) -> ! {
    let mut keep = vec![report.as_fd()];
    keep.extend(config.iter().chain(&console).map(AsFd::as_fd));
    let streams = streams.each_ref().map(|stream| stream.as_ref().map(AsFd::as_fd));
    let taken = crate::launch::streams::take(streams, &keep);
    drop(keep);
    let console = console.as_ref().map(AsFd::as_fd);
    let Err(error) = taken.and_then(|()| crate::launch::run(plan, config, &report, console));
    let _ = Reporter::new(report).send(&error.report());
    crate::sys::exit_now(NEVER_STARTED)
}
