//! Watches: what has changed since a revision, a moment later, and not always whole.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use api::resources::Resource;
use api::status::Status;
use bytes::Bytes;
use futures_util::stream::unfold;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::verbs::Selected;
use super::{Call, Change, State};
use crate::link::{Body, Link};

/// How long a watch lives.
const LIFE: Duration = Duration::from_secs(240);

/// A watch under way.
struct Feed {
    link: Link,
    resource: &'static Arc<Resource>,
    selected: Selected,
    /// How many changes have been sent or passed over.
    sent: usize,
    changed: Arc<Notify>,
    /// What is to be sent; `None` breaks the connection.
    lines: VecDeque<Option<Bytes>>,
    ends: Instant,
    breaks: Option<Instant>,
    /// It never breaks.
    exempt: bool,
    /// All its events are late.
    behind: bool,
}

/// Opens a watch.
///
/// # Errors
/// 400 for selectors that make no sense, 410 when the link says that the revision is forgotten.
pub(crate) fn open(link: &Link, call: &Call) -> Result<Body, Status> {
    let (resource, selected) = (call.resource, Selected::of(call)?);
    let changed = link.world().changes(resource);
    let since: Option<u64> = match call.parameter("resourceVersion") {
        "" | "0" => None,
        version => Some(version.parse().map_err(|_| Status::bad_request("resourceVersion"))?),
    };
    if since.is_some() && !call.is_exempt() && link.forgets() {
        return Err(Status::expired("too old resource version"));
    }
    // Where nothing ever happens nothing can be missed either.
    let lively = link.world().read(|state| state.objects(resource).next().is_some());
    let mut feed = Feed {
        link: link.clone(),
        resource,
        selected,
        sent: 0,
        changed,
        lines: VecDeque::new(),
        ends: Instant::now() + LIFE,
        breaks: link
            .breaks_after()
            .filter(|_| lively && !call.is_exempt())
            .map(|after| Instant::now() + after),
        exempt: call.is_exempt(),
        behind: lively && !call.is_exempt() && link.is_behind(),
    };
    link.world().read(|state| match since {
        None => feed.list(state),
        Some(since) => {
            let changes = state.kinds.get(&resource.stored_as).map(|kind| &kind.changes);
            let old = |change: &Change| change.now.revision <= since;
            feed.sent = changes.map_or(0, |changes| changes.partition_point(old));
        }
    });
    let body = StreamBody::new(unfold(feed, Feed::next));
    Ok(body.boxed_unsync())
}

impl Feed {
    /// The initial events.
    fn list(&mut self, state: &State) {
        let Some(kind) = state.kinds.get(&self.resource.stored_as) else {
            return self.end_of_list(state);
        };
        self.sent = kind.changes.len();
        for object in kind.objects.values() {
            if self.selected.matches(self.resource, &object.value) {
                self.lines.push_back(Some(line("ADDED", &object.bytes)));
            }
        }
        self.end_of_list(state);
    }

    fn end_of_list(&mut self, state: &State) {
        let bookmark: Value = json!({
            "kind": self.resource.kind, "apiVersion": self.resource.api_version(),
            "metadata": {"resourceVersion": state.revision.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"}}});
        self.lines.push_back(Some(line("BOOKMARK", bookmark.to_string().as_bytes())));
    }

    /// The next part of the body.
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, crate::link::Error>, Self)> {
        loop {
            self.link.unless_cut().await;
            if let Some(line) = self.lines.pop_front() {
                let part = line.map(Frame::data).ok_or_else(|| "connection reset".into());
                return Some((part, self));
            }
            let changed = self.changed.clone();
            let mut changed = pin!(changed.notified());
            // From here on nothing is missed.
            changed.as_mut().enable();
            if self.sent < self.count() {
                let lag = self.link.lag(self.behind);
                self.link.wait(lag).await;
                self.link.sight(self.resource).await;
                self.take();
                continue;
            }
            let until = self.breaks.map_or(self.ends, |breaks| breaks.min(self.ends));
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(until) => {
                    if self.breaks == Some(until) && self.link.is_rough() {
                        self.lines.push_back(None);
                    } else if until == self.ends {
                        return None;
                    }
                    self.breaks = None;
                }
            }
        }
    }

    /// How many changes there are.
    fn count(&self) -> usize {
        let kind = |state: &State| Some(state.kinds.get(&self.resource.stored_as)?.changes.len());
        self.link.world().read(kind).unwrap_or(0)
    }

    /// Takes over what has changed.
    fn take(&mut self) {
        let (link, resource) = (self.link.clone(), self.resource);
        link.world().read(|state| {
            let Some(kind) = state.kinds.get(&resource.stored_as) else { return };
            for change in &kind.changes[self.sent..] {
                let Some(line) = shown(&self.selected, resource, change) else { continue };
                if !self.exempt && link.breaks() {
                    // Half a line, and nothing after it.
                    self.lines.push_back(Some(line.slice(..line.len() / 2)));
                    self.lines.push_back(None);
                    break;
                }
                let again = link.repeats().then(|| line.clone());
                self.lines.push_back(Some(line));
                self.lines.extend(again.map(Some));
            }
            self.sent = kind.changes.len();
        });
    }
}

fn shown(selected: &Selected, resource: &Resource, change: &Change) -> Option<Bytes> {
    let before = change.before.as_ref();
    let was = before.is_some_and(|object| selected.matches(resource, &object.value));
    let is = !change.gone && selected.matches(resource, &change.now.value);
    let event = match (was, is) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(line(event, &change.now.bytes))
}

fn line(event: &str, object: &[u8]) -> Bytes {
    let mut line = format!("{{\"type\":\"{event}\",\"object\":").into_bytes();
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}
