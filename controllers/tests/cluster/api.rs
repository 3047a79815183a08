//! A real API server in this process, on a store in a temporary directory, with the controllers.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Server, User, pki};
use controllers::Config;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::Store;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PATIENCE: Duration = Duration::from_secs(30);

/// See the module. Ended with [`Cluster::stop`].
pub(crate) struct Cluster {
    pub(crate) client: Client,
    server: Server,
    store: Store,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Cluster {
    /// An API server and the controllers.
    pub(crate) async fn start(config: Config) -> Self {
        let cluster = Self::without_controllers().await;
        drop(cluster.controllers(config, &cluster.shutdown));
        cluster
    }

    /// An API server alone.
    pub(crate) async fn without_controllers() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = pki::Authority::open(&dir.path().join("pki")).unwrap();
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let store = Store::open(&url, store::Options::default()).await.unwrap();
        let config = apiserver::Config::new(store.clone(), Arc::new(authority));
        let server = Server::bind(config).await.unwrap();
        let admin = User::new("test", vec!["system:masters".to_owned()]);
        let client = Client::new(server.local(admin), "default");
        Self {
            client,
            server,
            store,
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            _dir: dir,
        }
    }

    /// Runs the controllers until `shutdown`, with their own identity. The handle ends with them.
    pub(crate) fn controllers(
        &self,
        config: Config,
        shutdown: &CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        let user = User::new("system:kube-controller-manager", Vec::new());
        let client = Client::new(self.server.local(user), "default");
        let shutdown = shutdown.clone();
        self.tracker.spawn(async move { controllers::run(config, client, shutdown).await.unwrap() })
    }

    /// A client of somebody else.
    pub(crate) fn client_of(&self, user: &str, groups: &[&str]) -> Client {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Client::new(self.server.local(User::new(user, groups)), "default")
    }

    /// Runs something beside the test, until the test ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Changes an object by a merge patch.
    pub(crate) async fn patch<K>(&self, namespace: &str, name: &str, patch: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        self.api(namespace).patch(name, &params, &patch).await.unwrap()
    }

    /// Waits until `holds` of the object; fails with the object's last state.
    pub(crate) async fn until<K>(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        holds: impl Fn(&K) -> bool,
    ) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        eventually(what, || async {
            let found = self.api::<K>(namespace).get(name).await.map_err(|e| format!("{e}"))?;
            if holds(&found) { Ok(found) } else { Err(format!("{found:#?}")) }
        })
        .await
    }

    /// Stops everything and waits for it.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.tracker.close();
        timeout(PATIENCE, self.tracker.wait()).await.expect("the controllers do not stop");
        drop(self.server);
        self.store.close().await;
    }

    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) async fn create<K>(&self, namespace: &str, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api(namespace).create(&PostParams::default(), &object).await.unwrap()
    }

    pub(crate) async fn namespace(&self, name: &str) {
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        api.create(&PostParams::default(), &namespace).await.unwrap();
    }
}

/// Asks until the answer is `Ok`; fails with the last answer that was not.
pub(crate) async fn eventually<T, E: Debug, Ask>(what: &str, ask: impl Fn() -> Ask) -> T
where
    Ask: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) if Instant::now() > deadline => panic!("{what}: not yet; last: {last:#?}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
