//! What a child tells its shim: one line of JSON per report, over a pipe.
//!
//! A native child sends [`Report::Became`] and perhaps [`Report::Failed`]: its end closes at exec, and end
//! of file without a failure means that the program runs. A Wasm host keeps the pipe over its exec, sends [`Report::Ready`]
//! when the guest is about to run (or the server listens), and may send [`Report::Ended`] to explain the
//! exit that follows.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::spec::{ExitReason, Identity};

/// The descriptor on which a Wasm host finds its configuration (JSON, read to the end).
pub const CONFIG_FD: RawFd = 3;

/// The descriptor on which a Wasm host reports.
pub const REPORT_FD: RawFd = 4;

/// Longest message that is passed on; a trap's text with its backtrace fits.
const MAX_MESSAGE: usize = 4096;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "report")]
pub enum Report {
    /// The container did not start.
    Failed {
        /// The step or operation that failed.
        step: String,
        /// The error number, 0 if there is none.
        errno: i32,
        /// For people; complete without the two above.
        message: String,
        /// `StartError`, or `WasmLinkError` for a missing import.
        reason: ExitReason,
    },
    /// The process has become the container's user.
    Became(Identity),
    /// The container runs.
    Ready,
    /// The container is about to exit with this code, for this reason.
    Ended {
        /// Its exit code.
        code: i32,
        /// In the words of pod status.
        reason: ExitReason,
        /// For people.
        message: String,
    },
}

/// The child's end.
#[derive(Debug)]
pub struct Reporter(File);

impl Reporter {
    /// Reports through this pipe.
    pub fn new(pipe: OwnedFd) -> Self {
        Self(File::from(pipe))
    }

    /// Takes the pipe that came by exec under [`REPORT_FD`], or under another number.
    pub fn inherited(number: RawFd) -> io::Result<Self> {
        crate::sys::adopt_descriptor(number).map(Self::new)
    }

    /// Sends one report; long messages are cut.
    pub fn send(&mut self, report: &Report) -> io::Result<()> {
        let mut report = report.clone();
        if let Report::Failed { message, .. } | Report::Ended { message, .. } = &mut report {
            let mut end = message.len().min(MAX_MESSAGE);
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        let mut line = serde_json::to_vec(&report).map_err(io::Error::other)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }
}
