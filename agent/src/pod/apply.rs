//! The effects of a plan: each action becomes one future that the pod's worker drives.
//!
//! A future owns copies of what it needs and reports back with an [`Outcome`]; it never touches the
//! worker's state. Dropping it cancels it, which is how a deletion ends a slow pull.

mod claims;
mod config;
mod hooks;
mod object;
mod resize;
mod sandbox;
mod start;
mod stop;
mod termination;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::model::Waiting;

pub(crate) use object::{delete, report};
pub(crate) use resize::{Change, resize};
pub(crate) use sandbox::{clean_up, create, refresh_volumes, replace};
pub(crate) use start::start;
pub(crate) use stop::stop;
pub(crate) use termination::message as termination_message;

/// What became of an action.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The sandbox is there, or was removed, or all is cleaned; or the object deleted; or containers resized.
    Pod(PodStep, Result<(), StepFailed>),
    /// A start ended: the runtime knows the attempt, or the container waits.
    Started { container: String, result: Result<(), StartFailed> },
    /// A stop ended; `Err` says what the runtime refused.
    Stopped { container: String, result: Result<(), String> },
    /// A status write ended with the object as it now is, if it is there.
    Reported(Result<Option<Arc<Pod>>, ReportFailed>),
}

/// Which action on the pod as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PodStep {
    Create,
    Replace,
    CleanUp,
    Delete,
    Resize,
}

/// An action on the pod as a whole failed; it is tried again.
#[derive(Debug)]
pub(crate) struct StepFailed {
    /// For the log.
    pub(crate) message: String,
    /// It is the cluster's turn: nothing is wrong here, and it is tried again soon.
    pub(crate) waits: bool,
}

impl StepFailed {
    fn new(message: String) -> Self {
        Self { message, waits: false }
    }
}

/// A container could not be started.
#[derive(Debug)]
pub(crate) struct StartFailed {
    pub(crate) waiting: Waiting,
    /// What to wait for before the next try.
    pub(crate) retry: Retry,
}

/// When a failed start is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// After the image's back-off.
    Image,
    /// When a source changes, or at the slow resync.
    Configuration,
    /// After the usual back-off.
    Soon,
}

/// The status was not accepted.
#[derive(Debug)]
pub(crate) enum ReportFailed {
    /// Somebody changed the pod meanwhile; here it is.
    Conflict(Option<Arc<Pod>>),
    /// Trouble on the way.
    Other(String),
}
