//! The agent's side: pipes, the process that waits, and what it is told.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::pipe::PipeFlags;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

use super::{Exec, ExecError, ExecSpec};
use crate::image::ImageConfig;
use crate::launch::JoinPlan;
use crate::launch::report::Report;
use crate::native;
use crate::rights;
use crate::shim::read_only;
use crate::shim::record::ContainerRecord;
use crate::streams::{Streams, Terminal, Wanted, input, output};

/// A program that does not run by then hangs in a file of the image's or of a mount's.
const START: Duration = Duration::from_secs(120);

/// Bytes that the other side may have to say; a report is a few kilobytes.
const MAX_REPORT: usize = 64 << 10;

/// Everything about the container.
pub(crate) struct Request {
    pub(crate) record: ContainerRecord,
    pub(crate) pid: u32,
    pub(crate) shim: u32,
    pub(crate) image: ImageConfig,
    pub(crate) hostname: String,
    pub(crate) spec: ExecSpec,
}

impl Request {
    fn plan(&self) -> Result<JoinPlan, ExecError> {
        let container = &self.record.status.spec;
        let terminal = self.spec.terminal;
        let cgroup = &self.record.cgroup;
        let joining = native::join(container, &self.image, cgroup, &self.hostname, terminal)
            .map_err(|message| ExecError::Config { message })?;
        Ok(JoinPlan {
            pid: self.pid,
            shim: self.shim,
            born_in: cgroup.born_in.clone(),
            outside: joining.outside,
            inside: joining.inside,
            argv: self.spec.command.clone(),
            env: joining.env,
            terminal,
            size: self.spec.size.map(|size| (size.columns, size.rows)),
        })
    }
}

/// Runs a program; returns when it runs.
pub(crate) async fn run(executable: &Path, request: Request) -> Result<Exec, ExecError> {
    let plan = request.plan()?;
    let failed = |operation| move |source| ExecError::Start { operation, source };
    let plan = serde_json::to_vec(&plan)
        .map_err(|e| failed("write the plan of a process")(io::Error::other(e)))?;
    let (here, there) = Blocking::pair().map_err(failed("make a socket"))?;
    let mut waiting = spawn(executable, there).map_err(failed("start a process"))?;
    let mut streams = Streams::default();
    let told = async {
        here.set_nonblocking(true)?;
        let mut here = UnixStream::from_std(here)?;
        if request.spec.terminal {
            tell(&mut here, &plan, &[]).await?;
        } else {
            let (mine, theirs) = pipes(request.spec.streams)?;
            streams = mine;
            let theirs = theirs.each_ref().map(AsFd::as_fd);
            tell(&mut here, &plan, &theirs).await?;
        }
        answer(&here).await
    };
    let told = tokio::time::timeout(START, told).await;
    let told = told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let (said, mut terminals) = match told {
        Ok(told) => told,
        Err(source) => {
            let _ = waiting.start_kill();
            return Err(failed("enter the container")(source));
        }
    };
    let lines =
        said.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    for report in lines {
        if let Report::Failed { message, .. } = report {
            let _ = waiting.wait().await;
            return Err(ExecError::Failed { message });
        }
    }
    if let Some(master) = terminals.pop() {
        let terminal = Terminal::new(master).map_err(failed("use the terminal"))?;
        let Wanted { stdin, stdout, .. } = request.spec.streams;
        streams.stdin = stdin.then(|| Box::new(terminal.clone()) as _);
        streams.stdout = stdout.then(|| Box::new(terminal.clone()) as _);
        streams.terminal = Some(terminal);
    }
    Ok(Exec { streams, waiting })
}

/// The socket is the process's standard input.
fn spawn(executable: &Path, control: Blocking) -> io::Result<tokio::process::Child> {
    let sealed = read_only(executable);
    let executable = match &sealed {
        // In the child this is the same descriptor, and still open when it is executed.
        Some(tree) => PathBuf::from(format!("/proc/self/fd/{}", tree.as_raw_fd())),
        None => executable.to_path_buf(),
    };
    tokio::process::Command::new(executable)
        .arg("exec")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(control)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// Both ends of three streams; `/dev/null` where nobody wants one.
fn pipes(wanted: Wanted) -> io::Result<(Streams, [OwnedFd; 3])> {
    let null = || OpenOptions::new().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from);
    let mut streams = Streams::default();
    let stdin = match wanted.stdin {
        true => {
            let (read, write) = pipe()?;
            streams.stdin = Some(input(write)?);
            read
        }
        false => null()?,
    };
    let read_from = |wanted: bool| {
        if !wanted {
            return Ok((None, null()?));
        }
        let (read, write) = pipe()?;
        Ok::<_, io::Error>((Some(output(read)?), write))
    };
    let (stdout, stderr);
    (streams.stdout, stdout) = read_from(wanted.stdout)?;
    (streams.stderr, stderr) = read_from(wanted.stderr)?;
    Ok((streams, [stdin, stdout, stderr]))
}

/// A length, with the descriptors, and then the plan.
async fn tell(
    socket: &mut UnixStream,
    plan: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let length = u32::try_from(plan.len()).map_err(io::Error::other)?;
    rights::send(&*socket, &length.to_be_bytes(), descriptors)?;
    socket.write_all(plan).await
}

/// What is said and handed over until the program runs or has failed to.
async fn answer(socket: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut said, mut descriptors) = (Vec::new(), Vec::new());
    let mut chunk = [0; 4096];
    loop {
        socket.readable().await?;
        let received = socket
            .try_io(Interest::READABLE, || rights::receive(socket, &mut chunk, &mut descriptors));
        match received {
            Ok(0) => return Ok((said, descriptors)),
            Ok(length) => said.extend_from_slice(&chunk[..length]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if said.len() > MAX_REPORT {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}
