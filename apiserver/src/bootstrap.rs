//! What every cluster has from its first second: four namespaces, the standing objects of [`set`]
//! (the roles and bindings of [`policy`], the schemas and levels of [`flow`], two priority classes,
//! an APIService per group, the range of Service addresses, what belongs to [`metrics`]), and the `kubernetes` Service through
//! which pods reach the API, with its endpoints.

pub(crate) mod api_services;
pub(crate) mod flow;
mod metrics;
mod policy;
mod set;

pub(crate) use set::create as create_as_is;

use std::net::{Ipv4Addr, SocketAddr};

use api::status::Status;
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use store::WriteError;

use crate::allocation::repair;
use crate::authz::rule::Rule;
use crate::cacher::{Cacher, FeedError};
use crate::context::{Context, now, uuid};
use crate::dispatch::Target;
use crate::handlers::create_object;
use crate::pki::MASTERS_GROUP;
use crate::request::options::{Query, WriteOptions};
use crate::user::User;
use crate::writing::{Draft, Part, Write};

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Name, value and description of the priority classes.
const PRIORITY_CLASSES: &[(&str, i64, &str)] = &[
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another \
         node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

/// Why the first objects could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// The caches could not be filled.
    #[error("cannot fill the watch cache")]
    Feed {
        /// Why.
        #[source]
        source: FeedError,
    },
    /// An object could not be made.
    #[error("cannot make {kind} {name}")]
    Object {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Status,
    },
    /// The claims on Service addresses could not be checked.
    #[error("cannot check the claims on Service addresses")]
    Claims {
        /// Why.
        #[source]
        source: Status,
    },
}

/// The rules of the role for all nodes, as every cluster has it.
pub(crate) fn node_rules() -> &'static [Rule] {
    policy::node_rules()
}

/// The address of the `kubernetes` Service: the first of the range.
pub(crate) fn first_service_address(cidr: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(cidr.network()).wrapping_add(1))
}

/// Makes what is missing. Safe to run again, and by several servers at a time.
pub(crate) async fn run(
    context: &Context,
    cidr: Ipv4Net,
    endpoint: SocketAddr,
) -> Result<(), BootstrapError> {
    repair::once(context).await.map_err(|source| BootstrapError::Claims { source })?;
    for name in NAMESPACES {
        let object = json!({"metadata": {"name": name}});
        ensure(context, context.core("namespaces"), "", object, "Namespace").await?;
    }
    // The namespaces must be visible before anything is admitted into them.
    let cause = |kind, name: &str| {
        let name = name.to_owned();
        move |source| BootstrapError::Object { kind, name, source }
    };
    context.freshness.consistent().await.map_err(cause("Namespace", "default"))?;
    set::keep(context, cidr).await?;
    let service = json!({
        "metadata": {"name": "kubernetes",
            "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": first_service_address(cidr).to_string(), "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP",
                       "targetPort": endpoint.port()}]},
    });
    ensure(context, context.core("services"), "default", service, "Service").await?;
    let family = if endpoint.is_ipv4() { "IPv4" } else { "IPv6" };
    let address = endpoint.ip().to_string();
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}],
            "ports": [{"name": "https", "port": endpoint.port(), "protocol": "TCP"}]}],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": endpoint.port(), "protocol": "TCP"}],
    });
    put(context, context.core("endpoints"), endpoints)
        .await
        .map_err(cause("Endpoints", "kubernetes"))?;
    if let Some(row) = api::resources::by_path("discovery.k8s.io", "v1", "endpointslices")
        && let Some(cache) = context.cache(row)
    {
        put(context, cache, slice).await.map_err(cause("EndpointSlice", "kubernetes"))?;
    }
    Ok(())
}

async fn ensure(
    context: &Context,
    cache: &std::sync::Arc<Cacher>,
    namespace: &str,
    mut object: Value,
    kind: &'static str,
) -> Result<(), BootstrapError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let target = Target {
        resource: cache.resource().clone(),
        cache: cache.clone(),
        namespace: namespace.to_owned(),
        name: name.clone(),
        query: Query::parse(""),
    };
    if cache.get(&target.key()).is_some() {
        return Ok(());
    }
    object["kind"] = kind.into();
    object["apiVersion"] = cache.resource().api_version().into();
    let options = WriteOptions::internal("kube-apiserver");
    let write = Write::new(Part::Main, &options);
    match create_object(context, &target, object, &own_user(), write).await {
        Ok(_) => Ok(()),
        // Another server was faster.
        Err(status) if status.code == 409 => Ok(()),
        Err(source) => Err(BootstrapError::Object { kind, name, source }),
    }
}

/// As whom the API server itself writes.
fn own_user() -> User {
    User::new("system:apiserver", vec![MASTERS_GROUP.to_owned()])
}

/// Writes an endpoints object past validation, which forbids loopback addresses to users: on a
/// single host the API server may well listen there, and the proxy of that host can reach it.
async fn put(
    context: &Context,
    cache: &std::sync::Arc<Cacher>,
    mut object: Value,
) -> Result<(), Status> {
    let resource = cache.resource();
    let key = format!("{}default/kubernetes", cache.prefix());
    let current = cache.get("default/kubernetes");
    resource.strategy.default(&mut object);
    let metadata = &mut object["metadata"];
    let had = current.as_ref().map(|object| object.encoded().parse());
    let kept = had.as_ref().map(|had| &had["metadata"]);
    metadata["uid"] = kept.map_or_else(|| uuid().into(), |kept| kept["uid"].clone());
    metadata["creationTimestamp"] = kept
        .map_or_else(|| api::meta::time(now()).into(), |kept| kept["creationTimestamp"].clone());
    if let Some(generation) = kept.and_then(|kept| kept.get("generation")) {
        metadata["generation"] = generation.clone();
    } else if resource.strategy.counts_generations() {
        metadata["generation"] = 1.into();
    }
    let same = had.is_some_and(|mut had| {
        api::meta::remove(&mut had["metadata"], "resourceVersion");
        had == object
    });
    if same {
        return Ok(());
    }
    let bytes = Draft::new(resource, &object).stored;
    let wrote = match current {
        Some(current) => context.store.update(&key, bytes, current.revision()).await,
        None => context.store.create(&key, bytes).await,
    };
    match wrote {
        Ok(_) | Err(WriteError::Exists { .. } | WriteError::Conflict { .. }) => Ok(()),
        Err(error) => Err(crate::response::store_write(&error)),
    }
}
