//! Makes the registry what the definitions ask for, and tells them what became of them.
//!
//! A pass looks at all definitions in the watch cache, oldest first (who came first keeps a name),
//! and does nothing where nothing has changed. It runs once before the server answers, and then
//! whenever a definition changes; a pass that fails is tried again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::custom;
use api::resources::{GroupResource, Resource, Text};
use api::status::Status;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cleanup;
use crate::cacher::{Cacher, FeedHandle, Filter, Subscription};
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::options::{Query, WriteOptions};
use crate::writing::{self, Part, Write};

/// How long a pass that failed waits for the next one.
const AGAIN: Duration = Duration::from_secs(1);

/// Under which name the server writes status.
const MANAGER: &str = "kube-apiserver";

/// Follows the definitions.
pub(crate) struct Controller {
    context: Arc<Context>,
    feed: FeedHandle,
    definitions: Arc<Cacher>,
    changes: Subscription,
    /// What each served definition looked like when it was put into the registry.
    served: BTreeMap<String, Value>,
    /// The definitions whose objects are being deleted.
    cleaned: BTreeMap<String, tokio::task::AbortHandle>,
    cleanups: JoinSet<()>,
}

impl Controller {
    /// Serves what the definitions in the cache ask for. What fails is tried again by
    /// [`Controller::run`].
    pub(crate) async fn start(context: Arc<Context>, feed: FeedHandle) -> Controller {
        let definitions =
            api::resources::by_path("apiextensions.k8s.io", "v1", "customresourcedefinitions")
                .and_then(|row| context.cache(row))
                .expect("definitions are a stored row of the built-in table")
                .clone();
        let changes = follow(&definitions);
        let mut controller = Controller {
            context,
            feed,
            definitions,
            changes,
            served: BTreeMap::new(),
            cleaned: BTreeMap::new(),
            cleanups: JoinSet::new(),
        };
        controller.pass_or_log().await;
        controller
    }

    /// Follows changes until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut failed = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                change = self.changes.queue.recv() => {
                    if change.is_none() {
                        // The cache has sent its watchers away.
                        tokio::time::sleep(AGAIN).await;
                        self.changes = follow(&self.definitions);
                    }
                    // One pass does for all that has come meanwhile.
                    while self.changes.queue.try_recv().is_ok() {}
                }
                () = tokio::time::sleep(AGAIN), if failed => {}
                Some(_) = self.cleanups.join_next() => {}
            }
            failed = tokio::select! {
                () = shutdown.cancelled() => break,
                passed = self.pass_or_log() => !passed,
            };
        }
        self.cleanups.shutdown().await;
    }

    async fn pass_or_log(&mut self) -> bool {
        match self.pass().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "cannot serve all custom resources yet, trying again");
                false
            }
        }
    }

    async fn pass(&mut self) -> Result<(), Status> {
        let mut all: Vec<Value> =
            self.definitions.now().objects.iter().map(|object| object.encoded().parse()).collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.sort_by_key(|definition| {
            let metadata = &definition["metadata"];
            (text(&metadata["creationTimestamp"]), text(&metadata["name"]))
        });
        let names: Vec<String> = all.iter().map(|d| text(&d["metadata"]["name"])).collect();
        for gone in
            self.served.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>()
        {
            self.serve(&gone, Vec::new()).await?;
            self.served.remove(&gone);
        }
        self.cleaned.retain(|_, cleanup| !cleanup.is_finished());
        for (n, name) in names.iter().enumerate() {
            let definition = &all[n];
            let others = all.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, other)| other);
            let accepted = custom::accept(definition, others, now());
            let deleting = definition["metadata"]["deletionTimestamp"].is_string();
            if accepted.served {
                self.serve_as_defined(name, definition).await?;
            }
            let status =
                if deleting { custom::terminating(definition, now()) } else { accepted.status };
            if status != definition["status"] {
                all[n]["status"] = status.clone();
                self.write_status(name, &status).await?;
            }
            if deleting && !self.cleaned.contains_key(name) {
                let (context, definitions) = (self.context.clone(), self.definitions.clone());
                let cleanup = cleanup::run(context, definitions, name.clone());
                self.cleaned.insert(name.clone(), self.cleanups.spawn(cleanup));
            }
        }
        Ok(())
    }

    /// Makes the registry serve a definition, if it does not serve exactly that already.
    async fn serve_as_defined(&mut self, name: &str, definition: &Value) -> Result<(), Status> {
        let metadata = &definition["metadata"];
        let deleting = metadata["deletionTimestamp"].is_string();
        let wanted =
            json!({"uid": metadata["uid"], "spec": definition["spec"], "deleting": deleting});
        if self.served.get(name) == Some(&wanted) {
            return Ok(());
        }
        let mut rows = custom::rows(definition);
        // A path of a built-in resource stays what it is.
        rows.retain(|row| api::resources::by_path(&row.group, &row.version, &row.plural).is_none());
        for row in &mut rows {
            row.storage_version_hash = Text::Owned(storage_version_hash(row));
        }
        self.serve(name, rows).await?;
        self.served.insert(name.to_owned(), wanted);
        Ok(())
    }

    async fn serve(&mut self, name: &str, rows: Vec<Resource>) -> Result<(), Status> {
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        let resource = GroupResource::new(group.to_owned(), plural.to_owned());
        let rows = rows.into_iter().map(Arc::new).collect();
        let (context, definition) = (self.context.clone(), name.to_owned());
        let publish = move |caches| context.custom.put(&definition, caches);
        if self.feed.exchange(&resource, rows, publish).await {
            return Ok(());
        }
        let message = format!("the watch cache of {resource} cannot be filled");
        Err(Status::service_unavailable(message))
    }

    async fn write_status(&self, name: &str, status: &Value) -> Result<(), Status> {
        let target = definition(&self.definitions, name);
        let options = WriteOptions::internal(MANAGER);
        let write = Write::new(Part::Status, &options);
        let written = writing::change(&self.context, &target, write, |current| {
            let mut new = current.clone();
            new["status"] = status.clone();
            // These only the definition's own updates change.
            new["status"]["storedVersions"] = current["status"]["storedVersions"].clone();
            Ok(new)
        });
        match written.await {
            // Gone meanwhile: the next pass will see.
            Err(status) if status.code == 404 => Ok(()),
            written => written.map(drop),
        }
    }
}

/// A definition, to be written.
pub(super) fn definition(definitions: &Arc<Cacher>, name: &str) -> Target {
    Target {
        resource: definitions.resource().clone(),
        cache: definitions.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        query: Query::parse(""),
    }
}

fn follow(definitions: &Cacher) -> Subscription {
    definitions.watch_from_now("", &Filter::default(), false, false)
}

/// What discovery shows for the stored version (k8s.io/apiserver's discovery.StorageVersionHash).
fn storage_version_hash(row: &Resource) -> String {
    let stored = format!("{}/{}/{}", row.group, row.stored_version, row.kind);
    let digest = ring::digest::digest(&ring::digest::SHA256, stored.as_bytes());
    STANDARD.encode(&digest.as_ref()[..8])
}

#[cfg(test)]
mod tests {
    #[test]
    fn hashes_are_those_of_a_real_server() {
        // Built-in rows have recorded ones.
        let row = api::resources::by_path("", "v1", "pods").unwrap();
        assert_eq!(super::storage_version_hash(row), row.storage_version_hash);
    }
}
