//! The node's Lease in `kube-node-lease`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Api, PostParams};

/// How long others believe that the node lives.
const DURATION_SECONDS: i32 = 40;
/// How often it says so.
const RENEW: Duration = Duration::from_secs(10);
/// Pause after a failure; doubles up to `RENEW`.
const RETRY: Duration = Duration::from_millis(200);
/// Namespace of all node leases.
const NAMESPACE: &str = "kube-node-lease";

/// Renews for ever; failures are tried again and logged.
pub(super) async fn renew(client: &kube::Client, name: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let mut held: Option<Lease> = None;
    let mut retry = RETRY;
    loop {
        let outcome = tokio::time::timeout(RENEW, once(&leases, &nodes, name, held.take())).await;
        let pause = match outcome {
            Ok(Ok(lease)) => {
                held = Some(lease);
                retry = RETRY;
                RENEW
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, node = name, "renewing the node's lease failed; trying again");
                retry = (retry * 2).min(RENEW);
                retry
            }
            Err(_) => {
                tracing::warn!(
                    node = name,
                    "renewing the node's lease took too long; trying again"
                );
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Updates the lease as we last saw it, which costs one request; reads it again after a conflict.
async fn once(
    leases: &Api<Lease>,
    nodes: &Api<Node>,
    name: &str,
    held: Option<Lease>,
) -> Result<Lease, kube::Error> {
    let current = match held {
        Some(lease) => Some(lease),
        None => leases.get_opt(name).await?,
    };
    let Some(mut lease) = current else {
        // The Node of now: one that was deleted and registered again has another uid, and a Lease of
        // an owner that is gone would be collected as garbage, again and again.
        let node = nodes.get(name).await?;
        return leases.create(&PostParams::default(), &fresh(name, &node)).await;
    };
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(name.to_owned());
    spec.lease_duration_seconds = Some(DURATION_SECONDS);
    spec.renew_time = Some(MicroTime(Timestamp::now()));
    leases.replace(name, &PostParams::default(), &lease).await
}

fn fresh(name: &str, node: &Node) -> Lease {
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: name.to_owned(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    };
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(NAMESPACE.into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.to_owned()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    }
}
