//! The shim's one thread: waits for something to happen, handles it, waits again.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{Timespec, epoll};
use rustix::process::WaitOptions;

use super::connection::Connection;
use super::container::{Container, Phase, Pids, Waiter};
use super::proto::{Message, Operation, Outcome, Request, Start, Update};
use super::record::{ContainerRecord, SandboxDir, SandboxRecord};
use super::tap::Tap;
use crate::spec::{ContainerStatus, PidNamespace};

/// What a readiness is about; the key is what epoll gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Listener,
    Signals,
    Client(u64),
    Report(u64),
    Output(u64, usize),
    /// Somebody attached to a container can take more.
    Tap(u64),
}

/// Everything a shim knows.
pub(super) struct Shim {
    directory: SandboxDir,
    record: SandboxRecord,
    listener: UnixListener,
    signals: SignalFd,
    pub(super) epoll: std::os::fd::OwnedFd,
    pub(super) sources: BTreeMap<u64, Source>,
    pub(super) next: u64,
    clients: BTreeMap<u64, Connection>,
    /// Those that live, by the order of their start.
    pub(super) containers: BTreeMap<u64, Container>,
    /// Those that have ended.
    ended: Vec<ContainerRecord>,
    /// What those who were attached to ended containers have not taken yet.
    pub(super) leftovers: Vec<Tap>,
    quitting: Option<Waiter>,
}

impl Shim {
    pub(super) fn new(
        directory: SandboxDir,
        record: SandboxRecord,
        listener: UnixListener,
    ) -> io::Result<Self> {
        let mut watched = SigSet::empty();
        watched.add(Signal::SIGCHLD);
        let signals =
            SignalFd::with_flags(&watched, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let mut shim = Self {
            directory,
            record,
            listener,
            signals,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            sources: BTreeMap::new(),
            next: 0,
            clients: BTreeMap::new(),
            containers: BTreeMap::new(),
            ended: Vec::new(),
            leftovers: Vec::new(),
            quitting: None,
        };
        let listener = shim.watch(Source::Listener);
        epoll::add(&shim.epoll, &shim.listener, epoll::EventData::new_u64(listener), READ)?;
        let signals = shim.watch(Source::Signals);
        epoll::add(&shim.epoll, &shim.signals, epoll::EventData::new_u64(signals), READ)?;
        Ok(shim)
    }

    fn watch(&mut self, source: Source) -> u64 {
        self.next += 1;
        self.sources.insert(self.next, source);
        self.next
    }

    /// Serves until told to end.
    pub(super) fn serve(mut self) -> ExitCode {
        let mut events = Vec::with_capacity(64);
        loop {
            let timeout = self.timeout();
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return ExitCode::FAILURE,
            }
            let mut children = false;
            for event in &events {
                let key = event.data.u64();
                match self.sources.get(&key).copied() {
                    // Ends are handled last: what a child said before is read first.
                    Some(Source::Signals) => children = true,
                    Some(source) => self.handle(key, source),
                    None => {}
                }
            }
            if children {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                self.reap();
            }
            self.enforce_deadlines();
            if self.quitting.is_some() && self.containers.is_empty() {
                return self.quit();
            }
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        let deadline = self.containers.values().filter_map(|c| c.deadline).min()?;
        let left = deadline.saturating_duration_since(Instant::now());
        Timespec::try_from(left).ok()
    }

    fn handle(&mut self, key: u64, source: Source) {
        match source {
            Source::Listener => self.accept(),
            Source::Client(client) => self.serve_client(client),
            Source::Report(container) => {
                let Some(entry) = self.containers.get_mut(&container) else { return };
                let runs = entry.read_report();
                if entry.report.is_none() {
                    // Closing the descriptor took it out of the epoll set.
                    self.sources.remove(&key);
                }
                if runs {
                    self.started(container);
                }
            }
            Source::Output(container, stream) => {
                let Some(entry) = self.containers.get_mut(&container) else { return };
                if !entry.forward(stream) {
                    let _ = epoll::delete(&self.epoll, &entry.outputs[stream]);
                    self.sources.remove(&key);
                } else if entry.is_held(stream) {
                    self.hold(container, stream);
                }
            }
            Source::Tap(container) => self.release(container),
            Source::Signals => {}
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let Ok(connection) = Connection::new(stream) else { continue };
            let key = self.next + 1;
            let data = epoll::EventData::new_u64(key);
            if epoll::add(&self.epoll, &connection, data, READ).is_err() {
                continue;
            }
            self.watch(Source::Client(key));
            self.clients.insert(key, connection);
            let containers = self
                .ended
                .iter()
                .cloned()
                .chain(
                    self.containers
                        .values()
                        .filter(|c| c.phase != Phase::Starting)
                        .map(|c| c.record.clone()),
                )
                .collect();
            self.send(key, &Message::Hello { pid: std::process::id(), containers });
        }
    }

    fn serve_client(&mut self, client: u64) {
        let Some(connection) = self.clients.get_mut(&client) else { return };
        let requests = connection.flush().and_then(|()| connection.read());
        match requests {
            Ok(requests) => {
                for request in requests {
                    self.request(client, request);
                }
                self.rearm(client);
            }
            Err(_) => self.hang_up(client),
        }
    }

    fn hang_up(&mut self, client: u64) {
        self.clients.remove(&client);
        self.sources.remove(&client);
    }

    /// Asks epoll about writing only while something waits to be written.
    fn rearm(&mut self, client: u64) {
        let Some(connection) = self.clients.get(&client) else { return };
        let flags = if connection.waits() { READ | epoll::EventFlags::OUT } else { READ };
        let _ = epoll::modify(&self.epoll, connection, epoll::EventData::new_u64(client), flags);
    }

    fn send(&mut self, client: u64, message: &Message) {
        let Some(connection) = self.clients.get_mut(&client) else { return };
        match connection.send(message) {
            Ok(()) => self.rearm(client),
            Err(_) => self.hang_up(client),
        }
    }

    pub(super) fn send_with(
        &mut self,
        client: u64,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) {
        let Some(connection) = self.clients.get_mut(&client) else { return };
        if connection.send_with(message, descriptors).is_err() {
            self.hang_up(client);
        }
    }

    fn reply(&mut self, (client, id): Waiter, outcome: Outcome) {
        self.send(client, &Message::Reply { id, outcome });
    }

    fn announce(&mut self, record: &ContainerRecord) {
        let clients: Vec<u64> = self.clients.keys().copied().collect();
        for client in clients {
            self.send(client, &Message::Changed { record: Box::new(record.clone()) });
        }
    }

    fn request(&mut self, client: u64, request: Request) {
        let waiter = (client, request.id);
        match request.operation {
            Operation::Start(start) => self.start(waiter, *start),
            Operation::Stop { name, grace_millis } => {
                let running =
                    self.containers.values_mut().find(|c| c.record.status.spec.name == name);
                match running {
                    Some(container) => {
                        container.stop(Duration::from_millis(grace_millis));
                        container.stop_waiters.push(waiter);
                    }
                    None => self.reply(waiter, Outcome::Done),
                }
            }
            Operation::Update(update) => self.update(waiter, *update),
            Operation::Attach { name, streams } => self.attach(waiter, &name, streams),
            Operation::Quit => {
                self.quitting = Some(waiter);
                self.containers.values().for_each(Container::kill);
            }
        }
    }

    fn start(&mut self, waiter: Waiter, start: Start) {
        let (name, attempt) = (start.spec.name.clone(), start.spec.attempt);
        if let Some(known) = self.known(&name, attempt) {
            return self.reply(waiter, Outcome::Container { status: Box::new(known) });
        }
        if self.quitting.is_some() {
            let message = "the sandbox is being removed".to_owned();
            return self.reply(waiter, Outcome::Refused { message });
        }
        if let Some(other) = self.containers.values().find(|c| c.record.status.spec.name == name) {
            let attempt = other.record.status.spec.attempt;
            let message = format!("attempt {attempt} of container {name} still runs");
            return self.reply(waiter, Outcome::Refused { message });
        }
        // Its history ends with the attempt before this one, as the agent's does: a container that restarts
        // for a year must not make the shim and its greeting grow.
        self.ended.retain(|record| {
            let spec = &record.status.spec;
            spec.name != name || spec.attempt.saturating_add(1) >= attempt
        });
        let pids = match self.pids(&start) {
            Ok(pids) => pids,
            Err(message) => return self.reply(waiter, Outcome::Refused { message }),
        };
        match Container::start(start.clone(), pids) {
            Ok(mut container) => {
                container.start_waiter = Some(waiter);
                self.adopt(container);
            }
            Err(failure) => {
                let record = Container::stillborn(start, &failure);
                self.announce(&record);
                let status = Box::new(record.status.clone());
                self.ended.push(record);
                self.reply(waiter, Outcome::Container { status });
            }
        }
    }

    /// Whose processes a container is to be born among; a target is only looked for where containers do
    /// not see each other's anyway.
    fn pids(&self, start: &Start) -> Result<Pids<'_>, String> {
        let shared = self.record.spec.namespaces.pid;
        match &start.spec.pid_of {
            Some(target) if shared == PidNamespace::Container => {
                let runs = |c: &&Container| c.record.status.spec.name == *target;
                let target = self
                    .containers
                    .values()
                    .find(runs)
                    .ok_or_else(|| format!("target container {target} does not run"))?;
                Ok(Pids::Of(target.first_process()))
            }
            _ => Ok(Pids::Sandbox(shared)),
        }
    }

    fn update(&mut self, waiter: Waiter, update: Update) {
        let (name, attempt) = (update.name.clone(), update.attempt);
        let Some(container) = self.containers.values_mut().find(|c| c.is(&name, attempt)) else {
            let message = format!("attempt {attempt} of container {name} does not run");
            return self.reply(waiter, Outcome::Refused { message });
        };
        let outcome = match container.update(update) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Refused { message: error.to_string() },
        };
        let record = container.record.clone();
        self.announce(&record);
        self.reply(waiter, outcome);
    }

    fn known(&self, name: &str, attempt: u32) -> Option<ContainerStatus> {
        let living = self.containers.values().find(|c| c.is(name, attempt)).map(|c| &c.record);
        let ended = self.ended.iter().find(|record| {
            record.status.spec.name == name && record.status.spec.attempt == attempt
        });
        living.or(ended).map(|record| record.status.clone())
    }

    /// Watches a new container's report and streams.
    fn adopt(&mut self, container: Container) {
        let key = self.next + 1;
        self.next = key;
        if let Some(report) = &container.report {
            let source = self.watch(Source::Report(key));
            let _ = epoll::add(&self.epoll, report, epoll::EventData::new_u64(source), READ);
        }
        self.containers.insert(key, container);
        self.watch_outputs(key, 0);
    }

    fn watch_outputs(&mut self, key: u64, first: usize) {
        let Some(container) = self.containers.get(&key) else { return };
        for (index, output) in container.outputs.iter().enumerate().skip(first) {
            self.next += 1;
            self.sources.insert(self.next, Source::Output(key, index));
            let data = epoll::EventData::new_u64(self.next);
            let _ = epoll::add(&self.epoll, output.as_fd(), data, READ);
        }
    }

    /// A container's program runs.
    fn started(&mut self, key: u64) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let waiter = container.start_waiter.take();
        let record = container.record.clone();
        // Its terminal has come with the news.
        self.watch_outputs(key, PIPES);
        self.announce(&record);
        if let Some(waiter) = waiter {
            let status = Box::new(record.status);
            self.reply(waiter, Outcome::Container { status });
        }
    }

    /// Reaps every child that has ended: containers, and orphans that have come to this subreaper.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let found = self.containers.iter().find(|(_, c)| c.pid == pid).map(|(key, _)| *key);
            let Some(key) = found else { continue };
            let Some(container) = self.containers.get_mut(&key) else { continue };
            // A program that ends at once may be reaped before its exec was noticed.
            if container.read_report() {
                self.started(key);
            }
            let Some(mut container) = self.containers.remove(&key) else { continue };
            container.reaped(status);
            self.sources.retain(|_, source| {
                !matches!(source, Source::Report(k) | Source::Output(k, _) if *k == key)
            });
            self.keep_leftovers(key, std::mem::take(&mut container.taps));
            self.ended.push(container.record.clone());
            self.announce(&container.record);
            let status = container.record.status.clone();
            if let Some(waiter) = container.start_waiter.take() {
                self.reply(waiter, Outcome::Container { status: Box::new(status) });
            }
            for waiter in std::mem::take(&mut container.stop_waiters) {
                self.reply(waiter, Outcome::Done);
            }
            container.remove_cgroup();
        }
    }

    fn enforce_deadlines(&mut self) {
        let now = Instant::now();
        for container in self.containers.values_mut() {
            if container.deadline.is_some_and(|deadline| deadline <= now) {
                container.overdue(now);
            }
        }
    }

    fn quit(mut self) -> ExitCode {
        if self.record.isolated {
            let _ =
                rustix::mount::unmount(self.directory.shm(), rustix::mount::UnmountFlags::DETACH);
        }
        if let Some(waiter) = self.quitting.take() {
            self.reply(waiter, Outcome::Done);
        }
        ExitCode::SUCCESS
    }
}

pub(super) const READ: epoll::EventFlags = epoll::EventFlags::IN;

/// A container's first outputs are the pipes; what follows is its terminal.
const PIPES: usize = 2;
