//! `GET /containerLogs/…`: the log of an attempt, as `kubectl logs` asks for it.
//!
//! Which attempt is told by the runtime's records, or, once a finished pod's sandbox is gone, by the pod's
//! status; the files stay until the pod is deleted. Following ends when the attempt does.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use runtime::log::{self, LineStream, LogOptions};
use runtime::spec::ContainerState;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{Body, BodyError, query, text};
use crate::agent::Workers;
use crate::context::Context;
use crate::pod::containers;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail: Option<u64>,
    since: Option<Timestamp>,
    limit_bytes: Option<u64>,
    /// `None` for both.
    stream: Option<LineStream>,
}

/// Why there is no log.
#[derive(Debug, PartialEq, Eq)]
struct Refused(StatusCode, String);

fn bad(message: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, message.into())
}

impl Query {
    fn parse(query: &str, now: Timestamp) -> Result<Self, Refused> {
        let mut parsed = Self::default();
        for (name, value) in query::pairs(query) {
            let number =
                || value.parse::<u64>().map_err(|_| bad(format!("invalid {name}: {value:?}")));
            let truth = || !matches!(value.as_str(), "false" | "0");
            match name.as_str() {
                "follow" => parsed.follow = truth(),
                "previous" => parsed.previous = truth(),
                "timestamps" => parsed.timestamps = truth(),
                "tailLines" => parsed.tail = Some(number()?),
                "limitBytes" => parsed.limit_bytes = Some(number()?),
                "sinceSeconds" => {
                    let seconds =
                        i64::try_from(number()?).map_err(|_| bad("invalid sinceSeconds"))?;
                    parsed.since = now.checked_sub(SignedDuration::from_secs(seconds)).ok();
                }
                "sinceTime" => {
                    parsed.since = Some(
                        value.parse().map_err(|_| bad(format!("invalid sinceTime: {value:?}")))?,
                    )
                }
                "stream" => {
                    parsed.stream = match value.as_str() {
                        "All" => None,
                        "Stdout" => Some(LineStream::Stdout),
                        "Stderr" => Some(LineStream::Stderr),
                        _ => return Err(bad(format!("invalid stream: {value:?}"))),
                    }
                }
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// Answers a request for a log.
pub(super) async fn get(
    context: &Arc<Context>,
    workers: &Workers,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &str,
) -> Response<Body> {
    match open(context, workers, namespace, pod, container, query).await {
        Ok(response) => response,
        Err(Refused(status, message)) => text(status, message),
    }
}

/// The attempt whose log is meant.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    /// Sandbox and attempt, while it runs.
    running: Option<(String, u32)>,
}

async fn open(
    context: &Arc<Context>,
    workers: &Workers,
    namespace: &str,
    name: &str,
    container: &str,
    query: &str,
) -> Result<Response<Body>, Refused> {
    let query = Query::parse(query, Timestamp::now())?;
    let pod = find_pod(workers, namespace, name).ok_or_else(|| {
        Refused(StatusCode::NOT_FOUND, format!("pod {name:?} not found on this node"))
    })?;
    let found = find_attempt(context, &pod, container, query.previous).await?;
    let end = CancellationToken::new();
    let mut guard = None;
    if query.follow {
        match &found.running {
            Some((sandbox, attempt)) => {
                let gone = CancellationToken::new();
                let watch = end_with_attempt(
                    Arc::clone(context),
                    sandbox.clone(),
                    container.to_owned(),
                    *attempt,
                    end.clone(),
                    gone.clone(),
                );
                context.tracker.spawn(watch);
                guard = Some(gone.drop_guard());
            }
            None => end.cancel(),
        }
    }
    let options = LogOptions {
        tail: query.tail,
        since: query.since,
        stream: query.stream,
        timestamps: query.timestamps,
        limit_bytes: query.limit_bytes,
        follow: query.follow.then_some(end),
    };
    let frames = log::read(found.path, options).map(move |chunk| {
        // Held by the body: when the caller goes, the watcher of the attempt goes too.
        let _held = &guard;
        chunk.map(Frame::data).map_err(|error| Box::new(error) as BodyError)
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// The pod of that name; one that still exists before one that is on its way out.
pub(super) fn find_pod(workers: &Workers, namespace: &str, name: &str) -> Option<Arc<Pod>> {
    let workers = workers.lock();
    let mut matching: Vec<_> = workers
        .values()
        .map(|handle| handle.desired.borrow().clone())
        .filter(|desired| {
            let meta = &desired.pod.metadata;
            meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name)
        })
        .collect();
    matching.sort_by_key(|desired| desired.gone);
    matching.into_iter().next().map(|desired| desired.pod)
}

async fn find_attempt(
    context: &Context,
    pod: &Pod,
    container: &str,
    previous: bool,
) -> Result<Found, Refused> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let told = containers::statuses(pod).find(|told| told.name == container);
    let sandboxes = context.runtime.sandboxes().await;
    let records = sandboxes
        .iter()
        .find(|sandbox| sandbox.spec.id == uid)
        .map(|sandbox| sandbox.containers.as_slice());
    let latest = records
        .into_iter()
        .flatten()
        .filter(|record| record.spec.name == container)
        .max_by_key(|record| record.spec.attempt);
    let ever = told
        .filter(|told| told.container_id.is_some())
        .and_then(|told| u32::try_from(told.restart_count).ok());
    let Some(current) = latest.map(|record| record.spec.attempt).or(ever) else {
        let reason = told.map_or_else(|| "ContainerCreating".to_owned(), waiting_reason);
        return Err(bad(format!(
            "container {container:?} in pod {name:?} is waiting to start: {reason}"
        )));
    };
    let file = |attempt: u32| context.log_dir(pod).join(container).join(format!("{attempt}.log"));
    if previous {
        let missing = || {
            bad(format!("previous terminated container {container:?} in pod {name:?} not found"))
        };
        let before = current.checked_sub(1).ok_or_else(missing)?;
        return Ok(Found { path: file(before), running: None });
    }
    let runs = latest.filter(|record| matches!(record.state, ContainerState::Running { .. }));
    let path = latest.map_or_else(|| file(current), |record| record.log_path.clone());
    Ok(Found { path, running: runs.map(|record| (uid, record.spec.attempt)) })
}

/// The kubelet's words for a container that has not started.
fn waiting_reason(told: &ContainerStatus) -> String {
    let waiting = told.state.as_ref().and_then(|state| state.waiting.as_ref());
    match waiting.and_then(|waiting| waiting.reason.as_deref()) {
        Some("ErrImagePull" | "ImagePullBackOff") => "trying and failing to pull image".to_owned(),
        Some("ErrImageNeverPull") => {
            "image pull policy is Never and the image is not present".to_owned()
        }
        Some(reason) => reason.to_owned(),
        None => "ContainerCreating".to_owned(),
    }
}

/// Cancels `end` when the attempt does not run any more, or everybody has `gone`.
async fn end_with_attempt(
    context: Arc<Context>,
    sandbox: String,
    container: String,
    attempt: u32,
    end: CancellationToken,
    gone: CancellationToken,
) {
    let mut events = context.runtime.events();
    loop {
        let sandboxes = context.runtime.sandboxes().await;
        let records = sandboxes
            .iter()
            .find(|found| found.spec.id == sandbox)
            .map(|found| found.containers.as_slice());
        let record = records
            .into_iter()
            .flatten()
            .find(|record| record.spec.name == container && record.spec.attempt == attempt);
        if !record.is_some_and(|record| matches!(record.state, ContainerState::Running { .. })) {
            end.cancel();
            return;
        }
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = gone.cancelled() => return,
                () = context.shutdown.cancelled() => {
                    end.cancel();
                    return;
                }
            };
            match event {
                Ok(event) if event.sandbox != sandbox => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => {
                    end.cancel();
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let now = Timestamp::from_second(1000).unwrap();
        let parse = |query: &str| Query::parse(query, now);
        assert_eq!(parse("").unwrap(), Query::default());
        let all = parse("follow=true&previous=false&timestamps=1&tailLines=5&limitBytes=7&sinceSeconds=10&stream=Stderr").unwrap();
        let expected = Query {
            follow: true,
            previous: false,
            timestamps: true,
            tail: Some(5),
            since: Some(Timestamp::from_second(990).unwrap()),
            limit_bytes: Some(7),
            stream: Some(LineStream::Stderr),
        };
        assert_eq!(all, expected);
        let since = parse("sinceTime=1970-01-01T00%3A00%3A05Z").unwrap().since;
        assert_eq!(since, Some(Timestamp::from_second(5).unwrap()));
        assert_eq!(parse("stream=All").unwrap().stream, None);
        for wrong in
            ["stream=stdout", "tailLines=-1", "tailLines=x", "sinceTime=yesterday", "limitBytes="]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
