//! A peer that speaks the shim's protocol, and loses connections when it is told to.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::shim::proto::{Message, Request, frame};
use crate::spec::{ContainerSpec, Network, SandboxSpec, UserSpec};

/// No assertion about speed, only against hanging.
const LIMIT: Duration = Duration::from_secs(60);

fn record() -> SandboxRecord {
    SandboxRecord {
        spec: SandboxSpec {
            id: "s".into(),
            labels: Default::default(),
            hostname: "h".into(),
            network: Network::Host,
            namespaces: Default::default(),
            sysctls: Default::default(),
            hosts: String::new(),
            resolv_conf: String::new(),
            resources: Default::default(),
            log_dir: "/nonexistent".into(),
        },
        created_at: Timestamp::now(),
        isolated: false,
        cgroup: Default::default(),
    }
}

fn running(name: &str) -> ContainerRecord {
    let spec = ContainerSpec {
        name: name.into(),
        attempt: 0,
        image: "x".into(),
        command: vec![],
        args: vec![],
        env: vec![],
        working_dir: None,
        user: UserSpec::default(),
        mounts: vec![],
        resources: Default::default(),
        security: Default::default(),
        http_port: None,
        stdio: Default::default(),
        pid_of: None,
        labels: Default::default(),
    };
    let status = ContainerStatus {
        spec,
        image_digest: String::new(),
        user: None,
        id: format!("s-{name}-0"),
        state: ContainerState::Running { pid: 1, started_at: Timestamp::now() },
        log_path: "/nonexistent".into(),
    };
    ContainerRecord { status, cgroup: Default::default() }
}

/// The peer: a socket, and the process that it says it is.
struct Peer {
    folder: TempDir,
    listener: UnixListener,
    process: Child,
}

impl Peer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("shim.sock")).unwrap();
        let process = Command::new("sleep").arg("3600").spawn().unwrap();
        Self { folder, listener, process }
    }

    /// A sandbox that is connected to it, whoever hears its events, and the peer's end.
    async fn connected(
        self,
        containers: Vec<ContainerRecord>,
    ) -> (Arc<Sandbox>, broadcast::Receiver<ContainerEvent>, Self, UnixStream) {
        let (events, heard) = broadcast::channel(8);
        let directory = SandboxDir::new(self.folder.path().to_path_buf());
        let sandbox = Sandbox::new(record(), directory, events);
        let tracker = TaskTracker::new();
        let greeting = thread::spawn(move || (self.greet(containers), self));
        let connect = Client::connect(&sandbox.directory, &tracker, sandbox.observer(&tracker));
        let (shim, containers) = connect.await.unwrap();
        sandbox.set_shim(shim, containers);
        let (connection, peer) = greeting.join().unwrap();
        (sandbox, heard, peer, connection)
    }

    fn greet(&self, containers: Vec<ContainerRecord>) -> UnixStream {
        let (mut client, _) = self.listener.accept().unwrap();
        let hello = Message::Hello { pid: self.process.id(), containers };
        client.write_all(&frame(&hello).unwrap()).unwrap();
        client
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn asked(connection: &mut UnixStream) -> Request {
    let mut length = [0; 4];
    connection.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    connection.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn stop() -> Operation {
    Operation::Stop { name: "c".into(), grace_millis: 7 }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("the test hangs")
}

#[tokio::test]
async fn a_lost_connection_is_no_lost_shim() {
    let (sandbox, mut heard, peer, connection) = Peer::new().connected(Vec::new()).await;

    // Cut off, and there again.
    drop(connection);
    let greeted = tokio::task::spawn_blocking(move || (peer.greet(Vec::new()), peer));
    let (connection, mut peer) = in_time(greeted).await.unwrap();
    assert!(
        sandbox.status().alive && heard.try_recv().is_err(),
        "nobody was told that the sandbox died"
    );

    // Cut off for good: nobody listens any more.
    std::fs::remove_file(peer.folder.path().join("shim.sock")).unwrap();
    drop(connection);
    assert_eq!(in_time(heard.recv()).await.unwrap().container, "");
    assert!(!sandbox.status().alive);
    assert_eq!(peer.process.wait().unwrap().signal(), Some(9), "it cannot hold anything any more");
}

#[tokio::test]
async fn a_question_is_asked_again_when_the_connection_broke_before_the_answer() {
    let (sandbox, _heard, peer, mut connection) = Peer::new().connected(vec![running("c")]).await;
    let peer = thread::spawn(move || {
        let first = asked(&mut connection);
        drop(connection);
        let mut connection = peer.greet(vec![running("c")]);
        let second = asked(&mut connection);
        let outcome = Outcome::Done;
        let reply = Message::Reply { id: second.id, outcome };
        connection.write_all(&frame(&reply).unwrap()).unwrap();
        (first.operation, second.operation, connection, peer)
    });
    let outcome = in_time(sandbox.ask(stop())).await;
    assert!(matches!(outcome, Some(Outcome::Done)), "{outcome:?}");
    assert!(sandbox.status().alive);
    let (first, second, ..) = peer.join().unwrap();
    for asked in [first, second] {
        assert!(matches!(&asked, Operation::Stop { name, grace_millis: 7 } if name == "c"));
    }
}

#[tokio::test]
async fn when_the_shim_is_gone_its_containers_are_known_to_have_ended() {
    let (sandbox, _heard, peer, mut connection) = Peer::new().connected(vec![running("c")]).await;
    let attempt = sandbox.directory.attempt("c", 0);
    std::fs::create_dir_all(&attempt).unwrap();
    let peer = thread::spawn(move || {
        asked(&mut connection);
        std::fs::remove_file(peer.folder.path().join("shim.sock")).unwrap();
        peer
    });
    let outcome = in_time(sandbox.ask(stop())).await;
    assert!(outcome.is_none(), "{outcome:?}");
    in_time(sandbox.until_ended("c")).await;
    let ended = sandbox.container("c", 0).expect("the container").state;
    let ContainerState::Exited(exit) = ended else { panic!("{ended:?}") };
    assert_eq!(exit.reason, ExitReason::ContainerStatusUnknown);
    let mut peer = peer.join().unwrap();
    assert_eq!(peer.process.wait().unwrap().signal(), Some(9));
    in_time(sandbox.until_ended("c")).await;
}
