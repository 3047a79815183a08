//! The ConfigMaps and Secrets that a pod refers to, watched as long as its worker lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, pending, select_all};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use tokio::sync::watch;

use crate::context::Context;
use crate::pod::containers;
use crate::sources::{Seen, Source};
use crate::translate::env;
use crate::volume::payload;

/// Handles on the objects a pod refers to.
#[derive(Default)]
pub(super) struct Watched {
    config_maps: Handles<ConfigMap>,
    secrets: Handles<Secret>,
}

/// By name: the handle that keeps the watch up, and what tells of changes.
type Handles<K> = BTreeMap<String, (Arc<Source<K>>, watch::Receiver<Seen<K>>)>;

impl Watched {
    /// Watches exactly what the pod refers to.
    pub(super) fn watch(&mut self, context: &Context, pod: &Pod) {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let (mut config_maps, mut secrets) = payload::names(pod);
        for container in containers::all(pod) {
            let (more_maps, more_secrets) = env::names(&container);
            config_maps.extend(more_maps);
            secrets.extend(more_secrets);
        }
        secrets.extend(
            pod.spec
                .iter()
                .flat_map(|spec| spec.image_pull_secrets.iter().flatten())
                .map(|reference| reference.name.clone()),
        );
        self.config_maps.retain(|name, _| config_maps.contains(name));
        self.secrets.retain(|name, _| secrets.contains(name));
        for name in config_maps {
            self.config_maps.entry(name.clone()).or_insert_with(|| {
                let source = context.sources.of(namespace, &name);
                let receiver = source.subscribe();
                (source, receiver)
            });
        }
        for name in secrets {
            self.secrets.entry(name.clone()).or_insert_with(|| {
                let source = context.sources.of(namespace, &name);
                let receiver = source.subscribe();
                (source, receiver)
            });
        }
    }

    /// Waits for a change of any of them; for ever if there is none.
    pub(super) async fn changed(&mut self) {
        let mut changes: Vec<BoxFuture<'_, ()>> = Vec::new();
        for (_, receiver) in self.config_maps.values_mut() {
            changes.push(changed(receiver).boxed());
        }
        for (_, receiver) in self.secrets.values_mut() {
            changes.push(changed(receiver).boxed());
        }
        if changes.is_empty() {
            return pending().await;
        }
        select_all(changes).await;
    }
}

async fn changed<K>(receiver: &mut watch::Receiver<Seen<K>>) {
    // The sender lives as long as the handle beside the receiver, but for shutdown.
    if receiver.changed().await.is_err() {
        pending::<()>().await;
    }
}
