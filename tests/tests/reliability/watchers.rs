//! Watchers: each follows everything, is cut off often, and goes on from the last revision it has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tests::cluster::PATIENCE;
use tests::history::{Event, Kind, Listing, Step, Watched};
use tokio::time::timeout;

use super::Dice;
use super::client::{Answer, Door, MAPS, is_ours, revision};
use super::journal::content;
use super::load::Shared;

/// How long to wait before asking a server again that did not answer.
const PAUSE: Duration = Duration::from_millis(20);

/// One watcher. Every time it has to ask again it goes through the next door.
pub(crate) struct Watcher {
    pub(crate) name: String,
    pub(crate) doors: Vec<Door>,
    pub(crate) door: usize,
    pub(crate) dice: Dice,
    pub(crate) shared: Arc<Shared>,
}

/// How a watch came to its end.
enum Ended {
    /// The server, or the connection, had enough.
    Cut,
    /// The revision asked from is too old.
    TooOld,
    /// The last event of the test has been seen.
    AllSeen,
}

impl Watcher {
    /// Watches until everything has been seen.
    pub(crate) async fn run(mut self) -> Watched {
        let mut watched = Watched { name: self.name.clone(), steps: Vec::new() };
        let mut seen = None;
        loop {
            self.door = (self.door + 1) % self.doors.len();
            let Some(from) = seen else {
                match self.list().await {
                    Some(listing) => {
                        seen = Some(listing.revision);
                        watched.steps.push(Step::Listed(listing));
                    }
                    None => tokio::time::sleep(PAUSE).await,
                }
                continue;
            };
            let (ended, reached) = self.follow(from, &mut watched.steps).await;
            match ended {
                Ended::AllSeen => return watched,
                Ended::TooOld => seen = None,
                Ended::Cut => {
                    seen = Some(reached);
                    if reached == from {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    async fn list(&self) -> Option<Listing> {
        listing(&self.doors[self.door].get(MAPS).await.ok()?)
    }

    /// Watches once, for a few seconds at most; how far that brought it.
    async fn follow(&mut self, from: i64, steps: &mut Vec<Step>) -> (Ended, i64) {
        let seconds = 1 + self.dice.below(4);
        let path = format!(
            "{MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={from}"
        );
        let opening = timeout(PATIENCE, self.doors[self.door].open(Method::GET, &path, None));
        let Ok(Ok(response)) = opening.await else { return (Ended::Cut, from) };
        if response.status() == 410 {
            return (Ended::TooOld, from);
        }
        if response.status() != 200 {
            return (Ended::Cut, from);
        }
        let mut reached = from;
        let (mut body, mut buffer) = (response.into_body(), Vec::new());
        // A body that stays silent for longer than the watch may last is a broken promise.
        while let Some(Ok(frame)) =
            timeout(PATIENCE, body.frame()).await.expect("a watch ends when its time is over")
        {
            buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line: Value = serde_json::from_slice(&line).expect("an event in a line");
                if line["type"] == "ERROR" {
                    assert_eq!(line["object"]["code"], 410, "{line}");
                    return (Ended::TooOld, reached);
                }
                reached = revision(&line["object"]);
                if let Some(event) = event(&line) {
                    steps.push(Step::Event(event));
                }
                if self.shared.is_last(reached) {
                    return (Ended::AllSeen, reached);
                }
            }
        }
        (Ended::Cut, reached)
    }
}

fn event(line: &Value) -> Option<Event> {
    let object = &line["object"];
    let kind = match line["type"].as_str() {
        Some("ADDED") => Kind::Added,
        Some("MODIFIED") => Kind::Modified,
        Some("DELETED") => Kind::Deleted,
        Some("BOOKMARK") => return None,
        _ => panic!("an event of no known type: {line}"),
    };
    is_ours(object).then(|| Event {
        revision: revision(object),
        kind,
        key: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        content: content(object),
    })
}

/// What a list shows, if it is one.
pub(crate) fn listing(answer: &Answer) -> Option<Listing> {
    match answer.code {
        200 => {}
        429 | 503 | 504 => return None,
        code => panic!("a list was answered with {code}: {}", answer.body),
    }
    let items = answer.body["items"].as_array().into_iter().flatten();
    let items: BTreeMap<String, i64> = items
        .filter(|object| is_ours(object))
        .map(|object| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            (name.to_owned(), revision(object))
        })
        .collect();
    Some(Listing { revision: revision(&answer.body), items })
}
