//! Connecting with a container's first process: in the shim, and from the agent.
//!
//! The agent makes a connection of its own, because the answer carries descriptors: the writing end of the
//! standard input (or the terminal's master side), and the reading ends of the [`Tap`]s. From then on the
//! agent and the container talk without the shim in between, but for the copying.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::epoll;

use super::client::ClientError;
use super::container::{Container, Phase, Waiter};
use super::event_loop::{READ, Shim, Source};
use super::proto::{MAX_FRAME, Message, Operation, Outcome, Request, frame, split};
use super::record::SandboxDir;
use super::tap::Tap;
use crate::log::writer::Stream;
use crate::rights;
use crate::streams::Wanted;

/// A shim that has not answered by then does not work.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an attached container gives, in this order.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// The master side of the terminal, if it has one; else the writing end of the standard input, if that
    /// was asked for and is open.
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

impl Container {
    /// Taps its streams; which descriptors there are is said by the outcome.
    fn attach(&mut self, wanted: Wanted) -> io::Result<(Outcome, Vec<OwnedFd>)> {
        self.taps.retain(|tap| !tap.is_gone());
        let mut given = Vec::new();
        let terminal = self.terminal.as_ref().map(OwnedFd::try_clone).transpose()?;
        let has_terminal = terminal.is_some();
        given.extend(terminal);
        let stdin = match &self.stdin {
            Some(stdin) if wanted.stdin => Some(stdin.try_clone()?),
            _ => None,
        };
        let has_stdin = stdin.is_some();
        given.extend(stdin);
        let stderr = wanted.stderr && !has_terminal;
        let wants = [(wanted.stdout, Stream::Stdout), (stderr, Stream::Stderr)];
        let mut taps = Vec::new();
        for (_, stream) in wants.into_iter().filter(|(wanted, _)| *wanted) {
            let (tap, read) = Tap::new(stream)?;
            taps.push(tap);
            given.push(read);
        }
        self.taps.extend(taps);
        if has_stdin && self.record.status.spec.stdio.stdin_once {
            // Theirs is now the only one: the input ends with it.
            self.stdin = None;
        }
        let outcome = Outcome::Attached {
            terminal: has_terminal,
            stdin: has_stdin,
            stdout: wanted.stdout,
            stderr,
        };
        Ok((outcome, given))
    }
}

impl Shim {
    pub(super) fn attach(&mut self, (client, id): Waiter, name: &str, wanted: Wanted) {
        let container = self.containers.values_mut().find(|container| {
            container.record.status.spec.name == name && container.phase == Phase::Running
        });
        let attached = match container {
            Some(container) => container.attach(wanted).map_err(|e| e.to_string()),
            None => Err(format!("container {name} does not run")),
        };
        let (outcome, given) = match attached {
            Ok(attached) => attached,
            Err(message) => (Outcome::Refused { message }, Vec::new()),
        };
        let given: Vec<_> = given.iter().map(AsFd::as_fd).collect();
        self.send_with(client, &Message::Reply { id, outcome }, &given);
    }

    /// A stream that somebody cannot take is not read until they can.
    pub(super) fn hold(&mut self, key: u64, stream: usize) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let _ = epoll::delete(&self.epoll, &container.outputs[stream]);
        for tap in container.taps.iter_mut().filter(|tap| tap.waits() && tap.source.is_none()) {
            self.next += 1;
            self.sources.insert(self.next, Source::Tap(key));
            let data = epoll::EventData::new_u64(self.next);
            let _ = epoll::add(&self.epoll, &*tap, data, epoll::EventFlags::OUT);
            tap.source = Some(self.next);
        }
    }

    /// Somebody who held up a stream can take more, or is gone.
    pub(super) fn release(&mut self, key: u64) {
        let Some(container) = self.containers.get_mut(&key) else {
            return self.release_leftovers();
        };
        for tap in &mut container.taps {
            tap.flush();
            if let Some(source) = tap.source.filter(|_| !tap.waits()) {
                let _ = epoll::delete(&self.epoll, &*tap);
                self.sources.remove(&source);
                tap.source = None;
            }
        }
        container.taps.retain(|tap| tap.waits() || !tap.is_gone());
        let outputs = self.sources.iter().filter_map(|(source, about)| match about {
            Source::Output(container, stream) if *container == key => Some((*source, *stream)),
            _ => None,
        });
        for (source, stream) in outputs {
            if !container.is_held(stream) {
                let data = epoll::EventData::new_u64(source);
                // One that was not held is there already, which is no harm.
                let _ = epoll::add(&self.epoll, &container.outputs[stream], data, READ);
            }
        }
    }

    /// A container has ended while somebody has not taken all of its output yet.
    pub(super) fn keep_leftovers(&mut self, key: u64, taps: Vec<Tap>) {
        for mut tap in taps.into_iter().filter(Tap::waits) {
            if tap.source.is_none() {
                self.next += 1;
                self.sources.insert(self.next, Source::Tap(key));
                let data = epoll::EventData::new_u64(self.next);
                let _ = epoll::add(&self.epoll, &tap, data, epoll::EventFlags::OUT);
                tap.source = Some(self.next);
            }
            self.leftovers.push(tap);
        }
    }

    fn release_leftovers(&mut self) {
        let sources = &mut self.sources;
        self.leftovers.retain_mut(|tap| {
            tap.flush();
            if let Some(source) = tap.source.filter(|_| !tap.waits()) {
                // Dropping it takes it out of the epoll set.
                sources.remove(&source);
            }
            tap.waits()
        });
    }
}

/// Attaches to the container `name` of the sandbox in `directory`. Blocking.
///
/// `Ok(Err)` is the shim's refusal.
pub(crate) fn attach(
    directory: &SandboxDir,
    name: &str,
    wanted: Wanted,
) -> Result<Result<Attached, String>, ClientError> {
    // Through the directory's descriptor: a socket's path may only have 107 bytes.
    let handle = std::fs::File::open(directory.path()).map_err(ClientError::Connect)?;
    let path = format!("/proc/self/fd/{}/shim.sock", handle.as_raw_fd());
    let mut stream = UnixStream::connect(path).map_err(ClientError::Connect)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(ClientError::Connect)?;
    let operation = Operation::Attach { name: name.to_owned(), streams: wanted };
    let request = frame(&Request { id: 1, operation }).map_err(|_| ClientError::Protocol)?;
    stream.write_all(&request).map_err(|_| ClientError::Gone)?;
    let (mut buffer, mut given) = (Vec::new(), Vec::new());
    loop {
        while let Some(body) = split(&buffer).map_err(|_| ClientError::Protocol)? {
            let message = serde_json::from_slice(body).map_err(|_| ClientError::Protocol)?;
            let used = body.len() + 4;
            match message {
                Message::Reply { outcome: Outcome::Refused { message }, .. } => {
                    return Ok(Err(message));
                }
                Message::Reply { outcome, .. } => {
                    return attached(&outcome, given).ok_or(ClientError::Protocol).map(Ok);
                }
                Message::Hello { .. } | Message::Changed { .. } => drop(buffer.drain(..used)),
            }
        }
        let mut chunk = [0; 16 << 10];
        match rights::receive(&stream, &mut chunk, &mut given) {
            Ok(0) | Err(_) => return Err(ClientError::Gone),
            Ok(length) => buffer.extend_from_slice(&chunk[..length]),
        }
        if buffer.len() > MAX_FRAME + 4 {
            return Err(ClientError::Protocol);
        }
    }
}

/// The descriptors by their names.
fn attached(outcome: &Outcome, given: Vec<OwnedFd>) -> Option<Attached> {
    let Outcome::Attached { terminal, stdin, stdout, stderr } = outcome else { return None };
    let mut given = given.into_iter();
    let mut take = |is_there: &bool| if *is_there { given.next().map(Some) } else { Some(None) };
    Some(Attached {
        terminal: take(terminal)?,
        stdin: take(stdin)?,
        stdout: take(stdout)?,
        stderr: take(stderr)?,
    })
}
