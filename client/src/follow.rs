//! List, watch, resume, list anew.
//!
//! ```text
//!        list streamed            an initial-events-end bookmark
//! begin ───────────────▶ listing ────────────────────────────────▶ watching ◀─┐
//!   ▲                       │ broken                          410 │    │ ended │ from the last revision
//!   └───────────────────────┴──────────────────────────────────────┘    └──────┘
//! ```
//!
//! The list is a streaming list (`sendInitialEvents=true`): objects come one by one, as events do.
//! Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists>.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use kube::runtime::watcher::Config;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout};

use crate::lines::Lines;
use crate::raw::Raw;

/// How long the server is asked to keep a watch, in seconds: below the five minutes after which
/// many a proxy cuts a quiet connection.
const LIFE: u64 = 290;
/// A watch that says nothing for so long is dead, whatever its connection says.
const SILENCE: Duration = Duration::from_secs(LIFE + 15);
/// Waits after failures in a row; the last one stays.
const WAITS: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// Marks the bookmark after the initial events.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// These are all the objects there are.
    Listed(Vec<Raw>),
    /// An object is new or has changed.
    Applied(Raw),
    /// An object is gone; this is its last state.
    Deleted(Raw),
}

/// Why nothing came. The next call tries again, after a wait that grows with failures in a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The revision to go on from is forgotten; everything is listed anew, without a wait.
    #[error("the watch has expired: {0}")]
    Expired(String),
    /// The server refused.
    #[error("the server refused: {} ({})", .0.message, .0.code)]
    Refused(Box<Status>),
    /// The server could not be reached, or the connection broke.
    #[error("no connection: {0}")]
    Connection(#[from] Box<kube::Error>),
    /// The server sent something that is no watch event.
    #[error("not a watch event: {0}")]
    Protocol(serde_json::Error),
    /// The server ended the stream before the list was complete.
    #[error("the list ended early")]
    Ended,
}

impl Error {
    /// Whether the server does not know the kind (any more).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Refused(status) if status.code == 404)
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if expired(&status) => Error::Expired(status.message),
            kube::Error::Api(status) => Error::Refused(status),
            other => Error::Connection(Box::new(other)),
        }
    }
}

/// 410 Gone, or what a server behind says instead.
fn expired(status: &Status) -> bool {
    status.code == 410 || status.reason == "Expired"
}

/// Follows the objects of one kind.
pub struct Follower {
    client: Client,
    /// The collection, as in `/api/v1/pods`.
    path: String,
    config: Config,
    state: State,
    failures: usize,
    /// When to try again.
    due: Option<Instant>,
}

enum State {
    Begin,
    Listing { lines: Lines, list: Vec<Raw> },
    Watching { lines: Lines, last: Last },
    Resume { last: Last },
}

/// Where to go on from.
#[derive(Clone)]
enum Last {
    Revision(String),
    Object(Raw),
}

impl Last {
    fn revision(&self) -> String {
        match self {
            Last::Revision(revision) => revision.clone(),
            Last::Object(object) => object.revision().unwrap_or_default(),
        }
    }
}

/// One line of a watch.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    event: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: BookmarkMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMeta {
    resource_version: String,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Follower {
    /// Follows the collection at `path` (`/apis/apps/v1/deployments`), as far as the selectors of
    /// `config` go.
    #[must_use]
    pub fn new(client: Client, path: impl Into<String>, config: Config) -> Self {
        Self { client, path: path.into(), config, state: State::Begin, failures: 0, due: None }
    }

    /// The next thing that happened. Cancel-safe.
    ///
    /// # Errors
    /// Why there is nothing; the next call tries again.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            match self.step().await {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(error) => {
                    self.fail(&error);
                    return Err(error);
                }
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        // What was listed or watched goes on from the last revision that is known.
        self.state = match std::mem::replace(&mut self.state, State::Begin) {
            State::Watching { last, .. } | State::Resume { last }
                if !matches!(error, Error::Expired(_)) =>
            {
                State::Resume { last }
            }
            _ => State::Begin,
        };
        if !matches!(error, Error::Expired(_)) {
            let wait = WAITS[self.failures.min(WAITS.len() - 1)];
            self.due = Some(Instant::now() + wait);
        }
        self.failures += 1;
    }

    async fn step(&mut self) -> Result<Option<Event>, Error> {
        if let Some(due) = self.due {
            sleep_until(due).await;
            self.due = None;
        }
        match &mut self.state {
            State::Begin => {
                let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
                let lines = self.open(query).await?;
                self.state = State::Listing { lines, list: Vec::new() };
                Ok(None)
            }
            State::Resume { last } => {
                let last = last.clone();
                let lines = self.open(&format!("resourceVersion={}", last.revision())).await?;
                self.state = State::Watching { lines, last };
                Ok(None)
            }
            State::Listing { .. } | State::Watching { .. } => self.listen().await,
        }
    }

    /// Sends a watch request. Not `async` itself: a body cannot be shared between threads, and so
    /// cannot whoever holds one.
    fn open(&self, query: &str) -> impl Future<Output = Result<Lines, Error>> + Send + use<> {
        let mut uri = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={LIFE}&{query}",
            self.path
        );
        for (name, selector) in [
            ("fieldSelector", &self.config.field_selector),
            ("labelSelector", &self.config.label_selector),
        ] {
            if let Some(selector) = selector {
                uri.push_str(&format!("&{name}={}", percent_encoded(selector)));
            }
        }
        open(self.client.clone(), uri)
    }

    async fn listen(&mut self) -> Result<Option<Event>, Error> {
        let (State::Listing { lines, .. } | State::Watching { lines, .. }) = &mut self.state else {
            return Ok(None);
        };
        // Silence is an end like any other.
        let line = timeout(SILENCE, lines.next()).await.unwrap_or(Ok(None))?;
        match line {
            Some(line) => self.take(&line),
            None => self.end(),
        }
    }

    /// The server has ended the stream.
    fn end(&mut self) -> Result<Option<Event>, Error> {
        match std::mem::replace(&mut self.state, State::Begin) {
            State::Watching { last, .. } => {
                self.state = State::Resume { last };
                Ok(None)
            }
            _ => Err(Error::Ended),
        }
    }

    fn take(&mut self, bytes: &Bytes) -> Result<Option<Event>, Error> {
        if let Some((event, object)) = split(bytes) {
            return Ok(self.hear(event, Raw::new(bytes.slice_ref(object))));
        }
        let line: Line<'_> = serde_json::from_slice(bytes).map_err(Error::Protocol)?;
        match line.event {
            "BOOKMARK" => {
                let bookmark: Bookmark =
                    serde_json::from_str(line.object.get()).map_err(Error::Protocol)?;
                return Ok(self.mark(bookmark.metadata));
            }
            "ERROR" => {
                let status: Status =
                    serde_json::from_str(line.object.get()).map_err(Error::Protocol)?;
                return Err(kube::Error::Api(Box::new(status)).into());
            }
            _ => {}
        }
        let object = Raw::new(bytes.slice_ref(line.object.get().as_bytes()));
        Ok(self.hear(line.event, object))
    }

    fn hear(&mut self, event: &str, object: Raw) -> Option<Event> {
        match &mut self.state {
            State::Listing { list, .. } => {
                list.push(object);
                None
            }
            State::Watching { last, .. } => {
                self.failures = 0;
                *last = Last::Object(object.clone());
                let deleted = event == "DELETED";
                Some(if deleted { Event::Deleted(object) } else { Event::Applied(object) })
            }
            State::Begin | State::Resume { .. } => None,
        }
    }

    fn mark(&mut self, bookmark: BookmarkMeta) -> Option<Event> {
        let last = Last::Revision(bookmark.resource_version);
        match std::mem::replace(&mut self.state, State::Begin) {
            State::Listing { lines, list } if bookmark.annotations.contains_key(INITIAL_END) => {
                self.failures = 0;
                self.state = State::Watching { lines, last };
                Some(Event::Listed(list))
            }
            State::Watching { lines, .. } => {
                self.state = State::Watching { lines, last };
                None
            }
            other => {
                self.state = other;
                None
            }
        }
    }
}

/// The event and the object of a line about an object, if it is written as API servers write it: these
/// two and nothing else, in this order. The object is not read; that is for whoever wants it.
fn split(line: &[u8]) -> Option<(&str, &[u8])> {
    let rest = line.strip_prefix(br#"{"type":""#)?;
    let (event, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
    let object = rest.strip_prefix(br#"","object":"#)?.strip_suffix(b"}")?;
    match event {
        b"ADDED" | b"MODIFIED" | b"DELETED" => Some((std::str::from_utf8(event).ok()?, object)),
        _ => None,
    }
}

async fn open(client: Client, uri: String) -> Result<Lines, Error> {
    let request = Request::get(uri).body(Body::empty()).map_err(kube::Error::HttpError)?;
    let response = client.send(request).await?;
    if response.status().is_success() {
        return Ok(Lines::new(response.into_body()));
    }
    let code = response.status().as_u16();
    let text = response.into_body().collect_bytes().await?;
    let status = serde_json::from_slice(&text)
        .unwrap_or_else(|_| Status::failure(&String::from_utf8_lossy(&text), "").with_code(code));
    Err(kube::Error::Api(Box::new(status)).into())
}

/// A text as a query value: everything but the unreserved characters is encoded (RFC 3986, section 2).
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
