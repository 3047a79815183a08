//! Namespace deletion: empties a namespace that is being deleted, then lets it go.
//!
//! What is in a namespace is asked of the API server's own discovery, so that kinds added later (or
//! at run time) are emptied too. Pods go first, as in Kubernetes, because what else is there may be
//! what protects or serves them (OrderedNamespaceDeletion). Objects with finalizers and pods in
//! their grace period hold the namespace up: its conditions say which, and it is looked at again.
//!
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/> and the
//! condition types of `core/v1` Namespace.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use client::Clock;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{GroupVersion, GroupVersionKind};
use kube::{Client, ResourceExt};

use self::plan::{Found, Progress};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const NAME: &str = "namespace-controller";

/// How soon to look again while something is left. Nothing tells when the last object of any kind
/// has gone, so this is a slow poll of one namespace that is being deleted.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The first looks are quicker: usually everything is gone at once.
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(200);

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Namespaces {
    client: Client,
    clock: Clock,
    namespaces: Cache<Namespace>,
    queue: Arc<WorkQueue<Key>>,
}

impl Namespaces {
    /// Hooks into the informer; the queue is to be served with [`Namespaces::reconcile`].
    pub(crate) fn new(client: Client, clock: Clock, namespaces: &mut Informer<Namespace>) -> Self {
        let this = Self {
            client,
            clock,
            namespaces: namespaces.cache(),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        namespaces.on_change(move |_, now| {
            if let Some(namespace) = now.filter(|ns| ns.metadata.deletion_timestamp.is_some()) {
                queue.add(Key::of(&**namespace));
            }
        });
        this
    }

    /// The queue of namespaces to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Takes a namespace that is being deleted one step further.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(cached) = self.namespaces.get(&key) else { return Ok(Next::OnChange) };
        let api: Api<Namespace> = Api::all(self.client.clone());
        // The live object: finalizing a stale one would only conflict.
        let live = request("get", format!("namespace {key}"), api.get_opt(&key.name)).await?;
        let Some(namespace) = live.filter(|live| live.uid() == cached.uid()) else {
            return Ok(Next::OnChange);
        };
        if namespace.metadata.deletion_timestamp.is_none() || !plan::is_ours_to_finish(&namespace) {
            return Ok(Next::OnChange);
        }
        let mut progress = Progress::default();
        let resources = self.resources(&mut progress).await?;
        let (pods, others): (Vec<_>, Vec<_>) =
            resources.into_iter().partition(|r| r.group.is_empty() && r.plural == "pods");
        self.empty(&key.name, &pods, &mut progress).await?;
        if progress.is_empty() {
            self.empty(&key.name, &others, &mut progress).await?;
        }
        let namespace = self.write_conditions(&api, namespace, &progress).await?;
        if !progress.is_empty() {
            let going_for = namespace.metadata.deletion_timestamp.as_ref().map(|t| t.0);
            let fresh = going_for.is_some_and(|since| plan::is_fresh(since, self.clock.now()));
            return Ok(Next::After(if fresh { LOOK_AGAIN_SOON } else { LOOK_AGAIN }));
        }
        self.finalize(&namespace).await?;
        Ok(Next::OnChange)
    }

    /// The namespaced resources that can be listed and deleted.
    async fn resources(&self, progress: &mut Progress) -> Result<Vec<ApiResource>, ReconcileError> {
        let groups = request("list", "API groups", self.client.list_api_groups()).await?;
        let versions = groups
            .groups
            .into_iter()
            .filter_map(|group| group.preferred_version.or(group.versions.into_iter().next()))
            .map(|version| version.group_version);
        let mut resources = Vec::new();
        let core = self.client.list_core_api_resources("v1");
        let mut lists = vec![request("discover", "v1", core).await?];
        for version in versions {
            let list = self.client.list_api_group_resources(&version);
            match request("discover", &version, list).await {
                Ok(list) => lists.push(list),
                Err(error) => progress.discovery_failed(&version, &error.message()),
            }
        }
        for list in lists {
            let Ok(version) = list.group_version.parse::<GroupVersion>() else { continue };
            for resource in list.resources {
                let can = |verb: &str| resource.verbs.iter().any(|v| v == verb);
                if resource.namespaced
                    && !resource.name.contains('/')
                    && can("list")
                    && can("delete")
                {
                    let kind =
                        GroupVersionKind::gvk(&version.group, &version.version, &resource.kind);
                    resources.push(ApiResource::from_gvk_with_plural(&kind, &resource.name));
                }
            }
        }
        Ok(resources)
    }

    /// Deletes everything of these resources and notes what is still there afterwards.
    async fn empty(
        &self,
        namespace: &str,
        resources: &[ApiResource],
        progress: &mut Progress,
    ) -> Result<(), ReconcileError> {
        for resource in resources {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), namespace, resource);
            let subject = format!("{} in namespace {namespace}", resource.plural);
            let objects = self.list(&api, &subject).await?;
            for object in &objects {
                if object.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let name = object.name_any();
                let params = DeleteParams::background();
                let deleted = api.delete(&name, &params);
                match unless_gone(request("delete", &subject, deleted).await) {
                    Ok(_) => {}
                    Err(error) => progress.deletion_failed(&error.message()),
                }
            }
            let left = if objects.is_empty() { objects } else { self.list(&api, &subject).await? };
            progress.found(Found {
                resource: if resource.group.is_empty() {
                    format!("{}.", resource.plural)
                } else {
                    format!("{}.{}", resource.plural, resource.group)
                },
                count: left.len(),
                finalizers: left.iter().flat_map(|o| o.finalizers().iter().cloned()).collect(),
            });
        }
        Ok(())
    }

    async fn list(
        &self,
        api: &Api<DynamicObject>,
        subject: &str,
    ) -> Result<Vec<DynamicObject>, ReconcileError> {
        let mut all = Vec::new();
        let mut params = ListParams::default().limit(500);
        loop {
            let page = request("list", subject, api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    async fn write_conditions(
        &self,
        api: &Api<Namespace>,
        namespace: Namespace,
        progress: &Progress,
    ) -> Result<Namespace, ReconcileError> {
        let conditions = progress.conditions(&namespace, self.clock.now());
        let old = namespace.status.as_ref().and_then(|status| status.conditions.clone());
        if old.unwrap_or_default() == conditions {
            return Ok(namespace);
        }
        let mut updated = namespace;
        let name = updated.name_any();
        updated.status.get_or_insert_default().conditions = Some(conditions);
        let params = PostParams::default();
        let replaced = api.replace_status(&name, &params, &updated);
        request("update status of", format!("namespace {name}"), replaced).await
    }

    /// Takes the `kubernetes` finalizer off; with the last one the API server removes the object.
    async fn finalize(&self, namespace: &Namespace) -> Result<(), ReconcileError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = namespace.name_any();
        let finalized = plan::finalized(namespace);
        let params = PostParams::default();
        let replaced = api.replace_subresource("finalize", &name, &params, &finalized);
        unless_gone(request("finalize", format!("namespace {name}"), replaced).await).map(|_| ())
    }
}
