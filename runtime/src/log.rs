//! Container logs in the CRI format, written by the shim and read by the agent.
//!
//! One file per attempt, `<log dir>/<container>/<attempt>.log`, one line per line of output:
//!
//! ```text
//! 2026-11-21T10:00:00.123456789Z stdout F a whole line
//! 2026-11-21T10:00:00.123456789Z stderr P the first 16 KiB of a long one
//! ```
//!
//! `F` ends a line, `P` does not. At 10 MiB the file becomes `<attempt>.log.1`, that one `.2`, and so on;
//! five files are kept, the kubelet's defaults. [`read()`] gives the lines of all of them, oldest first.

mod cursor;
mod line;
mod reader;
mod rotate;
pub(crate) mod writer;

pub use line::{Line, LineStream};
pub use reader::{LogError, LogOptions, read};
pub use rotate::remove_logs;
