//! The agent's side of a shim's socket.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio_util::task::TaskTracker;

use super::proto::{MAX_FRAME, Message, Operation, Outcome, Request};
use super::record::{ContainerRecord, SandboxDir};

/// Requests that may wait for the connection's task; each caller waits for its own answer.
const QUEUE: usize = 64;

/// Why a shim did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody serves the socket.
    #[error("cannot connect to the shim")]
    Connect(#[source] io::Error),
    /// It serves the socket but does not speak as expected.
    #[error("the shim does not speak the protocol")]
    Protocol,
    /// The connection ended before the answer came.
    #[error("the shim is gone")]
    Gone,
}

/// What a connection's task tells the sandbox it belongs to.
pub(crate) trait Observer: Send + 'static {
    /// A container's state changed.
    fn changed(&self, record: ContainerRecord);
    /// The shim is gone.
    fn gone(&self);
}

type Call = (Operation, oneshot::Sender<Outcome>);

/// A handle on a shim; a cheap clone. The connection ends with its last handle.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pid: u32,
    /// `None` if the process was gone when its greeting was read.
    process: Option<Arc<OwnedFd>>,
    calls: mpsc::Sender<Call>,
}

impl Client {
    /// Connects to a sandbox's shim. Gives its containers as they are now; `observer` hears of every
    /// later change.
    pub(crate) async fn connect(
        directory: &SandboxDir,
        tracker: &TaskTracker,
        observer: impl Observer,
    ) -> Result<(Self, Vec<ContainerRecord>), ClientError> {
        // Through the directory's descriptor: a socket's path may only have 107 bytes.
        let handle = std::fs::File::open(directory.path()).map_err(ClientError::Connect)?;
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/shim.sock", handle.as_raw_fd()))
            .await
            .map_err(ClientError::Connect)?;
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_codec();
        let mut framed = Framed::new(stream, codec);
        let first = framed.next().await.ok_or(ClientError::Gone)?;
        let first = first.map_err(|_| ClientError::Protocol)?;
        let Ok(Message::Hello { pid, containers }) = serde_json::from_slice(&first) else {
            return Err(ClientError::Protocol);
        };
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = process
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok())
            .map(Arc::new);
        let (calls, queue) = mpsc::channel(QUEUE);
        tracker.spawn(converse(framed, queue, observer));
        Ok((Self { pid, process, calls }, containers))
    }

    /// The shim's process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the connection has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.calls.is_closed()
    }

    /// A descriptor of its process, which cannot come to mean another one; `None` if that was gone when
    /// this connection was made.
    pub(crate) fn process(&self) -> Option<&Arc<OwnedFd>> {
        self.process.as_ref()
    }

    /// Kills the process and waits until it is gone; `false` if it is not by then. Blocking.
    pub(crate) fn kill(&self, patience: Timespec) -> bool {
        let Some(process) = &self.process else { return true };
        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
        // Readable once the process is gone.
        let mut waited = [PollFd::new(process, PollFlags::IN)];
        rustix::event::poll(&mut waited, Some(&patience)).is_ok_and(|ready| ready > 0)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&self, operation: Operation) -> Result<Outcome, ClientError> {
        let (answer, answered) = oneshot::channel();
        self.calls.send((operation, answer)).await.map_err(|_| ClientError::Gone)?;
        answered.await.map_err(|_| ClientError::Gone)
    }
}

/// The connection's task: ends when the shim or the last handle is gone.
async fn converse(
    mut framed: Framed<UnixStream, LengthDelimitedCodec>,
    mut queue: mpsc::Receiver<Call>,
    observer: impl Observer,
) {
    let mut waiting: HashMap<u64, oneshot::Sender<Outcome>> = HashMap::new();
    let mut next = 0;
    loop {
        tokio::select! {
            call = queue.recv() => {
                let Some((operation, answer)) = call else { return };
                next += 1;
                let Ok(bytes) = serde_json::to_vec(&Request { id: next, operation }) else { continue };
                waiting.insert(next, answer);
                if framed.send(Bytes::from(bytes)).await.is_err() {
                    break;
                }
            }
            frame = framed.next() => {
                let Some(Ok(frame)) = frame else { break };
                match serde_json::from_slice(&frame) {
                    Ok(Message::Reply { id, outcome }) => {
                        if let Some(answer) = waiting.remove(&id) {
                            let _ = answer.send(outcome);
                        }
                    }
                    Ok(Message::Changed { record }) => observer.changed(*record),
                    Ok(Message::Hello { .. }) => {}
                    Err(_) => break,
                }
            }
        }
    }
    // Calls fail from here on, so that nobody takes this connection for one that works.
    drop(queue);
    observer.gone();
}
