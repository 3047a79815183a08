//! Makes the registry what the definitions ask for, and tells them what became of them.
//!
//! A pass looks at all definitions in the watch cache, oldest first (who came first keeps a name),
//! and does nothing where nothing has changed. It runs once before the server answers, and then
//! whenever a definition changes. What fails for one definition holds up no other, and is tried
//! again with the next pass.

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
    /// What is not structural about each definition, and of which spec (uid and generation) that is
    /// true.
    checked: BTreeMap<String, ((Value, Value), Option<String>)>,
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
            checked: BTreeMap::new(),
            cleaned: BTreeMap::new(),
            cleanups: JoinSet::new(),
        };
        controller.pass().await;
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
                passed = self.pass() => !passed,
            };
        }
        self.cleanups.shutdown().await;
    }

    /// Passes over all definitions. One that fails is told of and does not hold up the others; true
    /// if none did.
    async fn pass(&mut self) -> bool {
        let mut all: Vec<Value> =
            self.definitions.now().objects.iter().map(|object| object.encoded().parse()).collect();
        all.sort_by_key(|definition| {
            let metadata = &definition["metadata"];
            (text(&metadata["creationTimestamp"]), text(&metadata["name"]))
        });
        let names: Vec<String> = all.iter().map(|d| text(&d["metadata"]["name"])).collect();
        let mut passed = true;
        for gone in
            self.served.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>()
        {
            let ended = self.serve(&gone, Vec::new()).await;
            if done(&gone, ended) {
                self.served.remove(&gone);
            } else {
                passed = false;
            }
        }
        self.cleaned.retain(|_, cleanup| !cleanup.is_finished());
        self.checked.retain(|name, _| names.contains(name));
        for (n, name) in names.iter().enumerate() {
            let outcome = self.one(&mut all, n).await;
            passed &= done(name, outcome);
        }
        passed
    }

    /// Serves the nth of all definitions as it asks for, and says so in its status. Later ones see
    /// the names that it has got.
    async fn one(&mut self, all: &mut [Value], n: usize) -> Result<(), Status> {
        let name = text(&all[n]["metadata"]["name"]);
        let violations = self.violations(&name, &all[n]);
        let others = all.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, other)| other);
        let accepted = custom::accept(&all[n], others, violations.as_deref(), now());
        let had = std::mem::take(&mut all[n]["status"]);
        all[n]["status"] = accepted.status;
        let deleting = all[n]["metadata"]["deletionTimestamp"].is_string();
        if accepted.served {
            self.serve_as_defined(&name, &all[n]).await?;
        }
        if deleting {
            all[n]["status"] = had.clone();
            all[n]["status"] = custom::terminating(&all[n], now());
        }
        if all[n]["status"] != had {
            self.write_status(&name, &all[n]["status"]).await?;
        }
        if deleting && !self.cleaned.contains_key(&name) {
            let (context, definitions) = (self.context.clone(), self.definitions.clone());
            let cleanup = cleanup::run(context, definitions, name.clone());
            self.cleaned.insert(name, self.cleanups.spawn(cleanup));
        }
        Ok(())
    }

    /// What is not structural about a definition; looked for once per spec.
    fn violations(&mut self, name: &str, definition: &Value) -> Option<String> {
        let metadata = &definition["metadata"];
        let spec = (metadata["uid"].clone(), metadata["generation"].clone());
        if self.checked.get(name).is_none_or(|(checked, _)| *checked != spec) {
            let found = custom::violations(definition);
            self.checked.insert(name.to_owned(), (spec, found));
        }
        self.checked.get(name).and_then(|(_, found)| found.clone())
    }

    /// Makes the registry serve a definition, if it does not serve exactly that already.
    async fn serve_as_defined(&mut self, name: &str, definition: &Value) -> Result<(), Status> {
        let metadata = &definition["metadata"];
        let deleting = metadata["deletionTimestamp"].is_string();
        let wanted = json!({
            "uid": metadata["uid"], "spec": definition["spec"], "deleting": deleting,
            "names": definition["status"]["acceptedNames"],
        });
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

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Tells of what could not be done for a definition.
fn done(definition: &str, outcome: Result<(), Status>) -> bool {
    if let Err(error) = &outcome {
        tracing::warn!(definition, %error, "cannot serve a custom resource as defined yet, trying again");
    }
    outcome.is_ok()
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
