//! What a request asks for, read once and before anything is decided.

pub(crate) mod audit;
pub(crate) mod deadline;
pub(crate) mod info;
#[cfg(test)]
mod laws;
pub(crate) mod legacy_watch;
pub(crate) mod negotiate;
pub(crate) mod options;
pub(crate) mod payload;
pub(crate) mod yaml;

use std::net::IpAddr;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::Mutex;

use crate::user::User;

/// Any error of a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body of whichever transport it came by.
pub(crate) type Incoming = UnsyncBoxBody<Bytes, BoxError>;

/// A request whose sender is known.
pub(crate) struct Request {
    /// Method, URI and headers.
    pub(crate) parts: Parts,
    /// The body, not yet read. The lock is never waited for: it only lets handlers share the
    /// request between threads, which a body by itself cannot be.
    body: Mutex<Incoming>,
    /// Who asks.
    pub(crate) user: User,
    /// From where, if it came over the network.
    pub(crate) peer: Option<IpAddr>,
}

impl Request {
    /// A request of `user`.
    pub(crate) fn new(parts: Parts, body: Incoming, user: User) -> Request {
        Request { parts, body: Mutex::new(body), user, peer: None }
    }

    /// Takes the body out.
    pub(crate) fn take_body(&mut self) -> Incoming {
        std::mem::replace(self.body.get_mut(), payload::empty())
    }

    /// The text of a header, if present and readable.
    pub(crate) fn header(&self, name: http::header::HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The query string, "" if there is none.
    pub(crate) fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }
}
