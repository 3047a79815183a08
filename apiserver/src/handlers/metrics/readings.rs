//! Asks the agents of nodes what is used there, as often as somebody wants to know.
//!
//! Two answers are kept of every node that was asked lately; of two questions at a time, the second one
//! waits for the first one's answer. What nobody has asked about for a while is forgotten.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::history::{History, Next, Reading, STALE};
use super::scrape::{self, Scrape};
use crate::context::{Context, now};
use crate::handlers::kubelet;
use crate::request::payload;

/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Agents that are asked at the same time.
const AT_ONCE: usize = 64;
/// Longest answer that is read, in bytes: a few hundred for each container.
const LONGEST: usize = 4 * 1024 * 1024;

/// What agents have said lately. A cheap clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readings(Arc<Mutex<HashMap<String, Entry>>>);

/// Held while its agent is being asked.
type Entry = Arc<tokio::sync::Mutex<History>>;

impl Readings {
    /// What is used on these nodes. One that does not answer says nothing.
    pub(super) async fn of(
        &self,
        context: &Context,
        nodes: BTreeSet<String>,
    ) -> HashMap<String, Arc<Reading>> {
        let ask = |node: String| async move {
            let reading = self.one(context, &node).await;
            (node, reading)
        };
        stream::iter(nodes.into_iter().map(ask)).buffer_unordered(AT_ONCE).collect().await
    }

    async fn one(&self, context: &Context, node: &str) -> Arc<Reading> {
        let Some(uri) = address(context, node) else { return Arc::default() };
        let entry = self.entry(context, node);
        let mut history = entry.lock().await;
        loop {
            match history.next(Instant::now()) {
                Next::Serve => return history.reading(),
                Next::Wait(rest) => tokio::time::sleep(rest).await,
                Next::Ask => match ask(context, &uri).await {
                    Ok(scrape) => history.answered(scrape, Instant::now()),
                    Err(reason) if history.failed(Instant::now()) => {
                        tracing::info!(node, reason, "a node does not say what is used there");
                    }
                    Err(reason) => tracing::debug!(node, reason, "a node still does not say it"),
                },
            }
        }
    }

    fn entry(&self, context: &Context, node: &str) -> Entry {
        let mut known = self.0.lock();
        if known.is_empty() {
            let forgetting = self.clone().forget(context.stopping.clone());
            context.tracker.spawn(forgetting);
        }
        known.entry(node.to_owned()).or_default().clone()
    }

    /// Forgets what is too old to be told, until there is nothing left.
    async fn forget(self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(STALE) => {}
                () = stopping.cancelled() => return,
            }
            let mut known = self.0.lock();
            let now = Instant::now();
            // One that cannot be locked is in use.
            known
                .retain(|_, entry| entry.try_lock().map_or(true, |history| !history.is_stale(now)));
            if known.is_empty() {
                *known = HashMap::new();
                return;
            }
        }
    }
}

/// Where a node's agent says what is used; none while the node is not ready, or has no agent to ask (hollow
/// ones have none).
fn address(context: &Context, node: &str) -> Option<Uri> {
    let object = context.core("nodes").get(node)?.encoded().parse();
    let (address, port) = kubelet::endpoint(context, node).ok().filter(|_| is_ready(&object))?;
    format!("https://{}/metrics/resource", kubelet::join(&address, port)).parse().ok()
}

fn is_ready(node: &Value) -> bool {
    let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Asks one agent.
async fn ask(context: &Context, uri: &Uri) -> Result<Scrape, String> {
    let mut request = http::Request::new(payload::empty());
    *request.uri_mut() = uri.clone();
    let fetched = async {
        let response = context.kubelets.send(request, None).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("{uri} answers {}", response.status()));
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| format!("{uri}: {error}"))
    };
    let body = match tokio::time::timeout(PATIENCE, fetched).await {
        Ok(body) => body?,
        Err(_) => return Err(format!("{uri} does not answer within {PATIENCE:?}")),
    };
    Ok(scrape::read(&String::from_utf8_lossy(&body), now()))
}
