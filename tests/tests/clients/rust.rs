//! kube, the Rust client, with its runtime: the tools that operators are written with.

mod controller;
mod custom;
mod objects;
mod streams;
mod watches;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tests::cluster::{Cluster, PATIENCE};

/// A client that is the cluster's administrator. Its connections stay on this thread, and so in the
/// cluster's network.
async fn client(cluster: &Cluster) -> Client {
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// What the future gives; a test that waits for ever is broken.
async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

#[tokio::test]
async fn the_rust_client() {
    let cluster = crate::cluster();
    let client = client(&cluster).await;
    objects::live(&client).await;
    objects::come_in_pages(&client).await;
    objects::are_found_by_discovery(&client).await;
    objects::run_as_pods(&client).await;
    streams::lead_into_pods(&client).await;
    watches::go_on_when_they_are_ended(&client).await;
    watches::fill_a_store(&client, false).await;
    watches::fill_a_store(&client, true).await;
    controller::keeps_children(&client).await;
    controller::cleans_up_behind_finalizers(&client).await;
    custom::kinds_can_be_derived(&client).await;
}
