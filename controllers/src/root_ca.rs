//! Publishes the cluster's certificate authority as ConfigMap `kube-root-ca.crt` in every namespace,
//! so that pods can trust the API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};

use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request};
use crate::service_account::is_active;

/// Name in logs.
pub(crate) const NAME: &str = "root-ca-certificate-publisher-controller";
/// The ConfigMap's name.
pub(crate) const CONFIG_MAP: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when \
     using internal endpoints such as the internal service IP or kubernetes.default.svc. No other \
     usage is guaranteed across distributions of Kubernetes clusters.";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct RootCa {
    client: Client,
    namespaces: Cache<Namespace>,
    config_maps: Cache<ConfigMap>,
    data: BTreeMap<String, String>,
    queue: Arc<WorkQueue<Key>>,
}

impl RootCa {
    /// Hooks into the informers; the queue is to be served with [`RootCa::reconcile`].
    pub(crate) fn new(
        client: Client,
        pem: String,
        namespaces: &mut Informer<Namespace>,
        config_maps: &mut Informer<ConfigMap>,
    ) -> Self {
        let this = Self {
            client,
            namespaces: namespaces.cache(),
            config_maps: config_maps.cache(),
            data: BTreeMap::from([("ca.crt".to_owned(), pem)]),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        namespaces.on_change(move |_, now| {
            if let Some(namespace) = now {
                queue.add(Key::of(&**namespace));
            }
        });
        let queue = this.queue.clone();
        config_maps.on_key(move |map, _| queue.add(Key::new("", map.namespace)));
        this
    }

    /// The queue of namespaces to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Creates or restores the ConfigMap of a namespace.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        if !self.namespaces.get(&key).is_some_and(|namespace| is_active(&namespace)) {
            return Ok(Next::OnChange);
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.name);
        let subject = || format!("config map {}/{CONFIG_MAP}", key.name);
        let params = PostParams::default();
        let written = match self.config_maps.get(&Key::new(&key.name, CONFIG_MAP)) {
            None => request("create", subject(), api.create(&params, &self.wanted())).await,
            Some(current) if current.data.as_ref() == Some(&self.data) => {
                return Ok(Next::OnChange);
            }
            Some(current) => {
                let mut updated = (*current).clone();
                updated.data = Some(self.data.clone());
                let replaced = api.replace(CONFIG_MAP, &params, &updated);
                request("update", subject(), replaced).await
            }
        };
        match written {
            // Someone was faster (the watch will tell), or the namespace is going or gone.
            Err(error)
                if matches!(error.code(), Some(409 | 404))
                    || error.has_cause("NamespaceTerminating") =>
            {
                Ok(Next::OnChange)
            }
            other => other.map(|_| Next::OnChange),
        }
    }

    fn wanted(&self) -> ConfigMap {
        let annotation = ("kubernetes.io/description".to_owned(), DESCRIPTION.to_owned());
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(CONFIG_MAP.to_owned()),
                annotations: Some(BTreeMap::from([annotation])),
                ..ObjectMeta::default()
            },
            data: Some(self.data.clone()),
            ..ConfigMap::default()
        }
    }
}
