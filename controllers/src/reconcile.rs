//! How a controller's reconciles are run: workers take keys from a queue, one run per key at a time,
//! failures go back with back-off, and nothing else is shared between runs.

use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::queue::WorkQueue;

/// Every request to the API server ends after this.
const DEADLINE: Duration = Duration::from_secs(30);

/// A failure this often in a row is worth a warning; before that it is usually a conflict or a
/// cache that is a moment behind.
const WORTH_A_WARNING: Duration = Duration::from_secs(1);

/// Why a reconcile failed. It is always retried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The API server refused, or could not be reached.
    #[error("{operation} {subject} failed: {}", reason(source))]
    Request {
        operation: &'static str,
        subject: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{operation} {subject} got no answer in {DEADLINE:?}")]
    Timeout { operation: &'static str, subject: String },
    /// Something on this host failed.
    #[error("{operation} {path} failed: {source}")]
    Host {
        operation: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// What was read is no longer true.
    #[error("{subject} has changed meanwhile, it is looked at again")]
    Stale { subject: String },
}

/// What a Status says, without its debug form.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

impl ReconcileError {
    /// The answer's HTTP status, if there was one.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Timeout { .. } | Self::Host { .. } | Self::Stale { .. } => None,
        }
    }

    /// Whether the request may have been done all the same: there was no answer, or the server's was
    /// that it does not know.
    pub(crate) fn may_be_done(&self) -> bool {
        match self {
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => status.code >= 500,
                _ => true,
            },
            Self::Timeout { .. } => true,
            Self::Host { .. } | Self::Stale { .. } => false,
        }
    }

    /// The Status' own message, for conditions and events; the whole error if there is none.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            },
            other => other.to_string(),
        }
    }

    /// Whether a cause of this type is given, as in `NamespaceTerminating`.
    pub(crate) fn has_cause(&self, cause: &str) -> bool {
        let Self::Request { source, .. } = self else { return false };
        let kube::Error::Api(status) = source.as_ref() else { return false };
        status.details.as_ref().is_some_and(|d| d.causes.iter().any(|c| c.reason == cause))
    }
}

/// How loudly a failure is told to whoever reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Volume {
    /// Nothing is wrong yet, or somebody else is told.
    Quiet,
    Loud,
}

impl Volume {
    /// For a failure after which the next try is so far away. A quota that is used up is what its owner
    /// wanted, and an event (`FailedCreate`) says so to whoever wants more.
    fn of(error: &ReconcileError, retry_in: Duration) -> Self {
        let message = error.message();
        let by_quota = error.code() == Some(403)
            && [": exceeded quota: ", ": failed quota: "]
                .iter()
                .any(|words| message.contains(words));
        if by_quota || retry_in < WORTH_A_WARNING { Self::Quiet } else { Self::Loud }
    }
}

/// Makes a request with a deadline and names it in errors.
pub(crate) async fn request<T>(
    operation: &'static str,
    subject: impl Display,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ReconcileError> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(ReconcileError::Request {
            operation,
            subject: subject.to_string(),
            source: Box::new(source),
        }),
        Err(_) => Err(ReconcileError::Timeout { operation, subject: subject.to_string() }),
    }
}

/// Treats "not found" as done.
pub(crate) fn unless_gone<T>(
    result: Result<T, ReconcileError>,
) -> Result<Option<T>, ReconcileError> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// When a key wants to be looked at again although nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// When something changes.
    OnChange,
    /// After this long at the latest.
    After(Duration),
}

/// How workers are told to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Take no further key.
    pub(crate) asked: CancellationToken,
    /// Give up the current run as well.
    pub(crate) cut_off: CancellationToken,
}

/// Starts `workers` workers on `queue`. They end as `stop` says.
pub(crate) fn serve<K, F, Run>(
    controller: &'static str,
    queue: &Arc<WorkQueue<K>>,
    workers: usize,
    tracker: &TaskTracker,
    stop: &Stop,
    reconcile: F,
) where
    K: Clone + Display + Eq + Hash + Ord + Send + Sync + 'static,
    F: Fn(K) -> Run + Clone + Send + Sync + 'static,
    Run: Future<Output = Result<Next, ReconcileError>> + Send,
{
    for _ in 0..workers {
        let (queue, stop, reconcile) = (queue.clone(), stop.clone(), reconcile.clone());
        tracker.spawn(async move {
            loop {
                let key = tokio::select! {
                    biased;
                    () = stop.asked.cancelled() => return,
                    key = queue.next() => key,
                };
                let outcome = tokio::select! {
                    () = stop.cut_off.cancelled() => return,
                    outcome = reconcile(key.clone()) => outcome,
                };
                match outcome {
                    Ok(next) => {
                        queue.done(&key);
                        if let Next::After(delay) = next {
                            queue.add_after(key, delay);
                        }
                    }
                    Err(error) => {
                        let retry_in = queue.failed(&key);
                        match Volume::of(&error, retry_in) {
                            Volume::Quiet => {
                                debug!(controller, %key, %error, ?retry_in, "reconcile failed");
                            }
                            Volume::Loud => {
                                warn!(controller, %key, %error, ?retry_in, "reconcile keeps failing");
                            }
                        }
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_used_up_quota_is_no_warning() {
        let refused = |code, message: &str| ReconcileError::Request {
            operation: "create",
            subject: "pod of d/web".to_owned(),
            source: Box::new(kube::Error::Api(Box::new(
                Status::failure(message, "Forbidden").with_code(code),
            ))),
        };
        let over = "pods \"web-\" is forbidden: exceeded quota: q, requested: pods=1";
        for (code, message, seconds, want) in [
            (403, over, 60, Volume::Quiet),
            (
                403,
                "pods \"web-\" is forbidden: failed quota: q: must specify cpu",
                60,
                Volume::Quiet,
            ),
            (403, "pods is forbidden: User \"x\" cannot create resource", 60, Volume::Loud),
            (422, "Pod \"x\" is invalid: exceeded quota: ", 60, Volume::Loud),
            (403, "pods is forbidden: User \"x\" cannot create resource", 0, Volume::Quiet),
        ] {
            let volume = Volume::of(&refused(code, message), Duration::from_secs(seconds));
            assert_eq!(volume, want, "{code} {message}");
        }
    }
}
