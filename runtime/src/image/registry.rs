//! A registry's HTTP API, as far as pulling and pushing images needs it.
//!
//! A [`Session`] speaks with one repository: it learns on the first 401 how the registry wants to
//! be asked ([`auth`]), tries again when that can help ([`retry`]), and resumes a blob where the
//! connection broke ([`download`]). Why not a ready-made client: those at hand keep a whole layer
//! in memory or do not resume, retry or hash, and bring a second HTTP stack.
//!
//! Source: OCI distribution-spec v1.1; Docker registry token authentication.

mod auth;
mod download;
mod http;
mod retry;
mod upload;

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Mutex;

use self::auth::Authorization;
pub(crate) use self::http::Http;
use super::digest::Digest;
use super::manifest;
use super::reference::Reference;

/// Registries must accept manifests of 4 MiB; larger ones are no manifests.
const LARGEST_MANIFEST: u64 = 4 * 1024 * 1024;

/// A user name and password, or token, for one registry.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password or token; never logged.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What went wrong between this node and a registry.
#[derive(Debug, Clone, Error)]
pub enum RegistryError {
    /// No connection: name not found, refused, TLS failed, reset.
    #[error("cannot reach registry {host}")]
    Unreachable {
        /// `host[:port]`.
        host: String,
        /// The connection's error.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// No answer in time.
    #[error("registry {host} did not answer within {} s", after.as_secs())]
    Timeout {
        /// `host[:port]`.
        host: String,
        /// How long was waited.
        after: Duration,
    },
    /// The host has no certificates to verify a registry with.
    #[error("no TLS root certificates on this host: install the package ca-certificates")]
    NoRoots {
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The registry answers, but has no such image or blob.
    #[error("registry {host} has no {what}")]
    NotFound {
        /// `host[:port]`.
        host: String,
        /// Manifest or blob.
        what: String,
    },
    /// Wrong or missing credentials, or a private or missing repository.
    #[error(
        "registry {host} denies access to {repository}: it does not exist or needs other \
         credentials ({status})"
    )]
    Denied {
        /// `host[:port]`.
        host: String,
        /// Repository.
        repository: String,
        /// 401 or 403.
        status: StatusCode,
    },
    /// Another answer than success.
    #[error("registry {host} answered {status} to the request for {what}{message}")]
    Status {
        /// `host[:port]`.
        host: String,
        /// What was asked for.
        what: String,
        /// The status.
        status: StatusCode,
        /// The registry's own words, after a colon; or nothing.
        message: String,
        /// The registry's wish before the next try.
        retry_after: Option<Duration>,
    },
    /// The connection broke in the middle of an answer.
    #[error("{what} ended early: got {received} of {expected} bytes")]
    Truncated {
        /// What was transferred.
        what: String,
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// More bytes than announced.
    #[error("{what} is larger than the {limit} bytes announced or allowed")]
    TooLarge {
        /// What was transferred.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// The bytes are not the ones asked for.
    #[error("{what} has the wrong digest: expected {expected}, got {actual}")]
    WrongDigest {
        /// What was transferred.
        what: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// An answer that breaks the protocol.
    #[error("registry {host} breaks the protocol: {reason}")]
    Protocol {
        /// `host[:port]`.
        host: String,
        /// How.
        reason: String,
    },
    /// The received bytes cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: Arc<io::Error>,
    },
}

impl RegistryError {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Truncated { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            _ => false,
        }
    }
}

/// One repository of one registry.
pub(crate) struct Session {
    http: Arc<Http>,
    reference: Reference,
    credentials: Option<Credentials>,
    actions: &'static str,
    authorization: Mutex<Option<Authorization>>,
}

impl Session {
    /// For reading.
    pub(crate) fn pull(
        http: Arc<Http>,
        reference: Reference,
        credentials: Option<Credentials>,
    ) -> Self {
        Self { http, reference, credentials, actions: "pull", authorization: Mutex::new(None) }
    }

    /// For writing.
    pub(crate) fn push(
        http: Arc<Http>,
        reference: Reference,
        credentials: Option<Credentials>,
    ) -> Self {
        Self { actions: "pull,push", ..Self::pull(http, reference, credentials) }
    }

    pub(crate) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The bytes of a manifest or index by tag or digest; verified when asked for by digest.
    pub(crate) async fn manifest(&self, wanted: &str) -> Result<Vec<u8>, RegistryError> {
        let path = format!("manifests/{wanted}");
        let digest = wanted.parse::<Digest>().ok();
        let joint = if digest.is_some() { '@' } else { ':' };
        let what = format!("manifest {}{joint}{wanted}", self.reference.repository());
        let bytes = retry::with(&what, || async {
            let request = self.request(Method::GET, &path).header("accept", manifest::ACCEPT);
            let response = self.send(request, &what).await?;
            http::collect(response, &what, LARGEST_MANIFEST, self.reference.host()).await
        })
        .await?;
        if let Some(expected) = digest {
            let actual = Digest::of(&bytes);
            if actual != expected {
                return Err(RegistryError::WrongDigest { what, expected, actual });
            }
        }
        Ok(bytes)
    }

    fn url(&self, path: &str) -> String {
        let scheme = if self.reference.is_loopback() { "http" } else { "https" };
        let (host, repository) = (self.reference.host(), self.reference.repository());
        format!("{scheme}://{host}/v2/{repository}/{path}")
    }

    fn request(&self, method: Method, path: &str) -> http::Ask {
        http::Ask::new(method, self.url(path))
    }

    /// Sends with authorization, obtaining it when the registry asks; any 2xx is a success.
    async fn send(&self, ask: http::Ask, what: &str) -> Result<http::Answer, RegistryError> {
        let mut granted = self.authorization.lock().await.clone();
        for may_authorize in [true, false] {
            // An upload may be sent to another host, which is no more trusted than a redirect's.
            let known = granted.as_ref().filter(|_| ask.is_for(self.reference.host()));
            let response = self.http.send(ask.clone().authorization(known)).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status == StatusCode::UNAUTHORIZED && may_authorize {
                granted = Some(self.authorize(&response, granted.as_ref()).await?);
                continue;
            }
            return Err(self.refusal(response, what).await);
        }
        unreachable!("the second round always returns")
    }

    /// One task asks for a token; others that met the same 401 take its result.
    async fn authorize(
        &self,
        response: &http::Answer,
        used: Option<&Authorization>,
    ) -> Result<Authorization, RegistryError> {
        let mut current = self.authorization.lock().await;
        if let Some(newer) = current.as_ref().filter(|newer| Some(*newer) != used) {
            return Ok(newer.clone());
        }
        let granted = auth::obtain(
            &self.http,
            response.headers(),
            &self.reference,
            self.actions,
            self.credentials.as_ref(),
        )
        .await?;
        *current = Some(granted.clone());
        Ok(granted)
    }

    async fn refusal(&self, response: http::Answer, what: &str) -> RegistryError {
        let host = self.reference.host().to_owned();
        let status = response.status();
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { host, what: what.to_owned() },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied {
                host,
                repository: self.reference.repository().to_owned(),
                status,
            },
            _ => RegistryError::Status {
                host,
                what: what.to_owned(),
                status,
                retry_after: retry::asked(response.headers()),
                message: http::error_message(response).await,
            },
        }
    }
}
