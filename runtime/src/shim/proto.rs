//! What agent and shim say to each other: a 32-bit big-endian length, then that many bytes of JSON.
//!
//! The shim greets with [`Message::Hello`], answers every request with one [`Message::Reply`] of the same
//! id (in any order: a stop is answered when the container has exited), and pushes
//! [`Message::Changed`] to every client at every change of state.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cgroup::{CgroupPlan, Write};
use crate::launch::LaunchPlan;
use crate::spec::{ContainerSpec, ContainerStatus, Resources};
use crate::streams::Wanted;

use super::record::ContainerRecord;

/// Largest frame either side accepts; a state with a thousand attempts is well below.
pub(crate) const MAX_FRAME: usize = 16 << 20;

/// A client's request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Chosen by the client, echoed in the reply.
    pub(crate) id: u64,
    /// What to do.
    pub(crate) operation: Operation,
}

/// What a shim can be asked to do. Each may be asked again by whoever lost the connection before the
/// answer: a start of the same attempt gives its status, a second stop can only shorten the grace.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(crate) enum Operation {
    /// Start a container; answered when it runs or has failed to.
    Start(Box<Start>),
    /// Stop a container: its stop signal, SIGKILL after `grace_millis`; answered when it has exited.
    Stop { name: String, grace_millis: u64 },
    /// Change the limits of a container that runs.
    Update(Box<Update>),
    /// Connect with the streams of a container's first process. The answer comes with descriptors.
    Attach { name: String, streams: Wanted },
    /// Kill everything, and when it is gone answer and end.
    Quit,
}

/// A container to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) spec: ContainerSpec,
    pub(crate) image_digest: String,
    pub(crate) id: String,
    /// The log file of this attempt.
    pub(crate) log_path: PathBuf,
    /// The attempt's directory, for its record.
    pub(crate) directory: PathBuf,
    pub(crate) plan: LaunchPlan,
    pub(crate) cgroup: CgroupPlan,
    /// Asks for an end.
    pub(crate) stop_signal: i32,
}

/// Other limits for a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) name: String,
    pub(crate) attempt: u32,
    /// What the record says from then on.
    pub(crate) resources: Resources,
    /// Added to those of the record.
    pub(crate) labels: BTreeMap<String, String>,
    /// What that is in the container's cgroup.
    pub(crate) writes: Vec<Write>,
}

/// What a shim says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(crate) enum Message {
    /// First on every connection.
    Hello { pid: u32, containers: Vec<ContainerRecord> },
    /// The answer to a request.
    Reply { id: u64, outcome: Outcome },
    /// A container's state changed.
    Changed { record: Box<ContainerRecord> },
}

/// How a request ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(crate) enum Outcome {
    Done,
    Container {
        status: Box<ContainerStatus>,
    },
    Refused {
        message: String,
    },
    /// Which descriptors come along, in this order.
    Attached {
        terminal: bool,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    },
}

/// A message as a frame.
pub(crate) fn frame(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// The first whole frame of `buffer`: how long it is with its length, and where its JSON is.
///
/// `Err` is a frame that is too long: the connection cannot be understood any more.
pub(crate) fn split(buffer: &[u8]) -> Result<Option<&[u8]>, usize> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > MAX_FRAME {
        return Err(length);
    }
    Ok(buffer.get(4..4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_as_they_were_made() {
        let request =
            Request { id: 7, operation: Operation::Stop { name: "a".into(), grace_millis: 5 } };
        let bytes = frame(&request).unwrap();
        assert_eq!(split(&bytes[..3]), Ok(None));
        assert_eq!(split(&bytes[..bytes.len() - 1]), Ok(None));
        let body = split(&bytes).unwrap().expect("whole");
        assert_eq!(body.len() + 4, bytes.len());
        let again: Request = serde_json::from_slice(body).unwrap();
        assert!(matches!(again.operation, Operation::Stop { grace_millis: 5, .. }));
        assert!(split(&[0xff; 8]).is_err());
    }
}
