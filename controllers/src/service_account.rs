//! Every namespace has a ServiceAccount `default`.
//!
//! Pods that name none run as it, and are refused while it is missing. Of other accounts, [`tokens`]
//! fills the Secrets that ask for one.

pub(crate) mod tokens;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};

use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request};

/// Name in logs.
pub(crate) const NAME: &str = "serviceaccount-controller";
/// The account's name.
pub(crate) const DEFAULT: &str = "default";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct ServiceAccounts {
    client: Client,
    namespaces: Cache<Namespace>,
    accounts: Cache<ServiceAccount>,
    queue: Arc<WorkQueue<Key>>,
}

/// Whether things can still be created in the namespace.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_none()
}

impl ServiceAccounts {
    /// Hooks into the informers; the queue is to be served with [`ServiceAccounts::reconcile`].
    pub(crate) fn new(
        client: Client,
        namespaces: &mut Informer<Namespace>,
        accounts: &mut Informer<ServiceAccount>,
    ) -> Self {
        let this = Self {
            client,
            namespaces: namespaces.cache(),
            accounts: accounts.cache(),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        namespaces.on_change(move |_, now| {
            if let Some(namespace) = now {
                queue.add(Key::of(&**namespace));
            }
        });
        let queue = this.queue.clone();
        accounts.on_change(move |before, now| {
            if let (Some(gone), None) = (before, now) {
                let key = Key::of(&**gone);
                queue.add(Key::new("", key.namespace));
            }
        });
        this
    }

    /// The queue of namespaces to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Creates the account if the namespace lacks it.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let account = Key::new(&key.name, DEFAULT);
        let needed = self.namespaces.get(&key).is_some_and(|namespace| is_active(&namespace))
            && self.accounts.get(&account).is_none();
        if !needed {
            return Ok(Next::OnChange);
        }
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.name);
        let wanted = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(DEFAULT.to_owned()),
                namespace: Some(key.name.clone()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        let params = PostParams::default();
        let created = api.create(&params, &wanted);
        match request("create", format!("service account {account}"), created).await {
            // Someone was faster, or the namespace is going or gone.
            Err(error)
                if matches!(error.code(), Some(409 | 404))
                    || error.has_cause("NamespaceTerminating") =>
            {
                Ok(Next::OnChange)
            }
            other => other.map(|_| Next::OnChange),
        }
    }
}
