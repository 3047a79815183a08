//! The log as the datastore itself has it, read without any API server.

use serde_json::Value;
use store::{EventKind, Options, Revision, Store};
use tests::history::{Event, Kind};

/// Where the API server keeps the config maps of the namespace `default`.
const PREFIX: &str = "core/configmaps/default/";

/// The log, read piece by piece: what is old may be compacted meanwhile.
pub(crate) struct Journal {
    url: String,
    read: Revision,
    /// What has been read.
    pub(crate) log: Vec<Event>,
}

impl Journal {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), read: Revision(0), log: Vec::new() }
    }

    /// Reads what has been added. An SQLite file must not be in use by a server.
    pub(crate) async fn extend(&mut self) {
        let options = Options { retention: None, ..Options::default() };
        let store = Store::open(&self.url, options).await.unwrap();
        let end = store.revision().await.unwrap();
        assert!(end >= self.read, "the store went back from {} to {end}", self.read);
        let mut watch = store.watch(PREFIX, self.read).await.unwrap();
        while watch.progress() < end {
            let batch = watch.next().await.unwrap();
            self.log.extend(batch.iter().filter(|event| event.revision <= end).map(read));
        }
        self.log.retain(|event| event.key != "kube-root-ca.crt");
        self.read = end;
        store.close().await;
    }
}

fn read(event: &store::Event) -> Event {
    let object: Value = serde_json::from_slice(&event.value).unwrap();
    let kind = match event.kind {
        EventKind::Create => Kind::Added,
        EventKind::Update => Kind::Modified,
        EventKind::Delete => Kind::Deleted,
    };
    let key = event.key.trim_start_matches(PREFIX).to_owned();
    Event { revision: event.revision.0, kind, key, content: content(&object) }
}

/// What a config map of the tests holds.
pub(crate) fn content(object: &Value) -> String {
    object["data"]["a"].as_str().unwrap_or_default().to_owned()
}
