//! Reading: lines of an attempt's log files as the user sees them.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use jiff::Timestamp;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

use super::cursor::Cursor;
use super::line::{Line, LineStream};

/// Which lines, and how.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Only the last so many lines of the file; `None` for all.
    pub tail: Option<u64>,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Only what was written to this stream; `None` for both. [`LogOptions::tail`] counts lines of both.
    pub stream: Option<LineStream>,
    /// Begin each line with its time (RFC 3339, nanoseconds) and a space.
    pub timestamps: bool,
    /// End after so many bytes of output.
    pub limit_bytes: Option<u64>,
    /// Go on at the end of the file until this is cancelled (because the container has exited, or the
    /// reader has gone), and then end when everything that is there has been read. `None` ends there at once.
    pub follow: Option<CancellationToken>,
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file could not be read.
    #[error("cannot read log {path}", path = path.display())]
    Read {
        /// The newest file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Its directory could not be watched.
    #[error("cannot watch log {path}", path = path.display())]
    Watch {
        /// The newest file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The log of one attempt, `path` being its newest file (`ContainerStatus::log_path`).
///
/// Chunks of whole lines, each line as the program wrote it. A file that does not exist is an empty log.
/// Following waits for the kernel's word (inotify) and never polls.
pub fn read(
    path: PathBuf,
    options: LogOptions,
) -> impl Stream<Item = Result<Bytes, LogError>> + Send + 'static {
    let start = Reading::Start { path, options };
    try_unfold(start, |state| async move {
        let mut state = match state {
            Reading::Start { path, options } => Box::new(State::open(path, options).await?),
            Reading::On(state) => state,
        };
        Ok(state.next().await?.map(|bytes| (bytes, Reading::On(state))))
    })
}

enum Reading {
    Start { path: PathBuf, options: LogOptions },
    On(Box<State>),
}

struct State {
    path: PathBuf,
    options: LogOptions,
    since: Option<String>,
    cursor: Option<Cursor>,
    watch: Option<AsyncFd<std::os::fd::OwnedFd>>,
    left: Option<u64>,
    in_line: bool,
    unfinished: Vec<u8>,
}

impl State {
    async fn open(path: PathBuf, options: LogOptions) -> Result<Self, LogError> {
        // Watching begins before reading, so that nothing written in between is missed.
        let watch = match options.follow {
            Some(_) => Some(watch(&path)?),
            None => None,
        };
        let (file, tail) = (path.clone(), options.tail);
        let cursor = blocking(&path, move || Cursor::open(&file, tail)).await?;
        Ok(Self {
            since: options.since.map(|since| format!("{since:.9}")),
            left: options.limit_bytes,
            path,
            options,
            cursor: Some(cursor),
            watch,
            in_line: false,
            unfinished: Vec::new(),
        })
    }

    /// The next chunk; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, LogError> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            // Asked before reading: what was written before the end was announced is still read.
            let over = self.options.follow.as_ref().is_none_or(CancellationToken::is_cancelled);
            let Some(mut cursor) = self.cursor.take() else { return Ok(None) };
            let (cursor, chunk) = blocking(&self.path, move || {
                let chunk = cursor.read()?;
                Ok((cursor, chunk))
            })
            .await?;
            self.cursor = Some(cursor);
            if !chunk.is_empty() {
                let shown = self.show(&chunk);
                if !shown.is_empty() {
                    return Ok(Some(shown.into()));
                }
            } else if over {
                return Ok(None);
            } else {
                self.wait().await?;
            }
        }
    }

    /// Waits for a change in the directory or the end of following.
    async fn wait(&mut self) -> Result<(), LogError> {
        let (Some(watch), Some(end)) = (&self.watch, &self.options.follow) else { return Ok(()) };
        tokio::select! {
            () = end.cancelled() => Ok(()),
            ready = watch.readable() => {
                let failed = |source| LogError::Watch { path: self.path.clone(), source };
                let mut guard = ready.map_err(failed)?;
                let mut events = [0; 4096];
                // What happened does not matter: the files are looked at again.
                while rustix::io::read(watch, &mut events).is_ok_and(|length| length > 0) {}
                guard.clear_ready();
                Ok(())
            }
        }
    }

    /// Log lines to what the user sees.
    fn show(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.unfinished.extend_from_slice(chunk);
        let Some(end) = self.unfinished.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let lines: Vec<u8> = self.unfinished.drain(..=end).collect();
        let mut shown = Vec::with_capacity(lines.len());
        for line in lines.split(|byte| *byte == b'\n').filter_map(Line::parse) {
            if self.since.as_deref().is_some_and(|since| line.timestamp < since) {
                continue;
            }
            if self.options.stream.is_some_and(|wanted| line.stream != wanted) {
                continue;
            }
            if self.options.timestamps && !self.in_line {
                shown.extend_from_slice(line.timestamp.as_bytes());
                shown.push(b' ');
            }
            shown.extend_from_slice(line.text);
            if !line.partial {
                shown.push(b'\n');
            }
            self.in_line = line.partial;
        }
        if let Some(left) = &mut self.left {
            shown.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= shown.len() as u64;
        }
        shown
    }
}

fn watch(path: &Path) -> Result<AsyncFd<std::os::fd::OwnedFd>, LogError> {
    let failed = |source: io::Error| LogError::Watch { path: path.to_path_buf(), source };
    let directory = path.parent().unwrap_or(Path::new("/"));
    // A follower may be there before the container's first start.
    std::fs::create_dir_all(directory).map_err(failed)?;
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let events =
        inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    let watch = inotify::init(flags).map_err(|e| failed(e.into()))?;
    inotify::add_watch(&watch, directory, events).map_err(|e| failed(e.into()))?;
    crate::sys::watch_descriptor(watch).map_err(failed)
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, LogError> {
    let outcome = match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(e) => Err(io::Error::other(e)),
    };
    outcome.map_err(|source| LogError::Read { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests;
