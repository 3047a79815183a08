//! The standing objects: the ones of which every cluster has the same, brought up to date at every
//! start.
//!
//! Their contents are known in full, status included, so a missing one is written as it is, past
//! admission and validation; the tests of each part compare them with a real server's. One that is
//! there is changed as its part plans, through the same door as everybody's writes.
//!
//! Most starts find nothing to do. To know that without looking at each object, a digest of the
//! built-in texts and of the versions of all objects of these kinds is kept in the store: while it
//! is the same, nobody has touched any of them.

use std::sync::Arc;

use api::status::Status;
use futures_util::{StreamExt as _, TryStreamExt as _};
use ipnet::Ipv4Net;
use ring::digest;
use serde_json::{Value, json};
use store::WriteError;

use super::{BootstrapError, PRIORITY_CLASSES, api_services, flow, metrics, policy};
use crate::cacher::Cacher;
use crate::context::{Context, now, uuid};
use crate::dispatch::Target;
use crate::request::options::{Query, WriteOptions};
use crate::writing::{self, Draft, Part, Write};

/// Objects that are written at the same time: the store takes them in few transactions.
const AT_ONCE: usize = 64;
/// Where the digest is. Below no resource's prefix.
const DIGEST: &str = "bootstrap/digest";
/// The resources of which there are standing objects.
const RESOURCES: [(&str, &str); 9] = [
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("apiregistration.k8s.io", "apiservices"),
    ("networking.k8s.io", "servicecidrs"),
];

/// What one that is there must become; `None` for nothing else.
type Plan = fn(&Value, &Value) -> Option<Value>;

fn objects(cidr: Ipv4Net) -> Vec<(Value, Plan)> {
    let leave: Plan = |_, _| None;
    let planned = |objects: Vec<Value>, plan: Plan| {
        objects.into_iter().map(move |object| (object, plan)).collect::<Vec<_>>()
    };
    let classes = PRIORITY_CLASSES.iter().map(|(name, value, description)| {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": name}, "value": value, "description": description})
    });
    [
        planned(policy::objects(), policy::plan),
        planned(metrics::roles(), policy::plan),
        planned(flow::levels(), flow::plan),
        planned(flow::schemas(), flow::plan),
        planned(api_services::objects(), api_services::plan),
        planned(metrics::api_services(), api_services::plan),
        planned(classes.collect(), leave),
        planned(vec![service_cidr(cidr)], leave),
    ]
    .concat()
}

/// The range from which Services get their addresses.
fn service_cidr(cidr: Ipv4Net) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [cidr.to_string()]},
        "status": {"conditions": [{"type": "Ready", "status": "True",
            "lastTransitionTime": api::meta::time(now()), "reason": "",
            "message": "Kubernetes default Service CIDR is ready"}]},
    })
}

/// Makes what is missing and mends what is not as it should be.
pub(super) async fn keep(context: &Context, cidr: Ipv4Net) -> Result<(), BootstrapError> {
    let cause = |source| BootstrapError::Object { kind: "digest", name: DIGEST.to_owned(), source };
    let stored = context.store.get(DIGEST).await;
    let stored = stored.map_err(|error| cause(crate::response::store_read(&error)))?;
    let had = stored.as_ref().map(|item| item.value.clone());
    if had.is_some_and(|had| had == digest_of(context, cidr).as_bytes()) {
        return Ok(());
    }
    let all = futures_util::stream::iter(objects(cidr));
    all.map(Ok).try_for_each_concurrent(AT_ONCE, |(want, plan)| bring(context, want, plan)).await?;
    // The caches must show what has just been written.
    context.freshness.consistent().await.map_err(cause)?;
    let bytes = digest_of(context, cidr).into_bytes();
    let wrote = match stored {
        Some(item) => context.store.update(DIGEST, bytes.into(), item.mod_revision).await,
        None => context.store.create(DIGEST, bytes.into()).await,
    };
    match wrote {
        Ok(_) | Err(WriteError::Exists { .. } | WriteError::Conflict { .. }) => Ok(()),
        Err(error) => Err(cause(crate::response::store_write(&error))),
    }
}

/// A digest of what should be there, and of the versions of what is.
fn digest_of(context: &Context, cidr: Ipv4Net) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for text in [policy::TEXT, flow::TEXT, api_services::TEXT, metrics::TEXT, &cidr.to_string()] {
        hash.update(text.as_bytes());
    }
    for (group, plural) in RESOURCES {
        let row = api::resources::by_path(group, "v1", plural);
        let Some(cache) = row.and_then(|row| context.cache(row)) else { continue };
        for object in cache.now().objects.iter() {
            hash.update(object.key().as_bytes());
            hash.update(&object.revision().0.to_le_bytes());
        }
    }
    hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn bring(context: &Context, want: Value, plan: Plan) -> Result<(), BootstrapError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = api::resources::by_kind(&text(&want["apiVersion"]), &text(&want["kind"]));
    let Some((row, cache)) = row.and_then(|row| Some((row, context.cache(row)?))) else {
        return Ok(());
    };
    let (name, namespace) = (text(&want["metadata"]["name"]), text(&want["metadata"]["namespace"]));
    let target = Target {
        resource: row.clone(),
        cache: cache.clone(),
        namespace,
        name: name.clone(),
        query: Query::parse(""),
    };
    let wrote = match cache.get(&target.key()) {
        None => create(context, cache, want).await,
        Some(have) if plan(&want, &have.encoded().parse()).is_none() => Ok(()),
        Some(_) => {
            let options = WriteOptions::internal("kube-apiserver");
            let write = Write::new(Part::Main, &options);
            let change =
                |current: &Value| Ok(plan(&want, current).unwrap_or_else(|| current.clone()));
            writing::change(context, &target, write, change).await.map(drop)
        }
    };
    match wrote {
        Ok(()) => Ok(()),
        // Another server was faster.
        Err(status) if status.code == 409 => Ok(()),
        Err(source) => Err(BootstrapError::Object { kind: "standing object", name, source }),
    }
}

/// Writes a new object as it is, with the status that it says; one that is there stays.
///
/// # Errors
/// The store's.
pub(crate) async fn create(
    context: &Context,
    cache: &Arc<Cacher>,
    mut object: Value,
) -> Result<(), Status> {
    let resource = cache.resource();
    let text = |field: &str| object["metadata"][field].as_str().filter(|text| !text.is_empty());
    let name = text("name").unwrap_or_default();
    let key = text("namespace").map_or_else(|| name.to_owned(), |of| format!("{of}/{name}"));
    let key = format!("{}{key}", cache.prefix());
    let status = object["status"].take();
    api::meta::remove(&mut object, "status");
    resource.strategy.default(&mut object);
    let options = WriteOptions::internal("kube-apiserver");
    Write::new(Part::Main, &options).track(resource, &Value::Null, &mut object);
    let metadata = &mut object["metadata"];
    metadata["uid"] = uuid().into();
    metadata["creationTimestamp"] = api::meta::time(now()).into();
    if resource.strategy.counts_generations() {
        metadata["generation"] = 1.into();
    }
    if !status.is_null() {
        object["status"] = status;
    }
    let bytes = Draft::new(resource, &object).stored;
    match context.store.create(&key, bytes).await {
        Ok(_) | Err(WriteError::Exists { .. }) => Ok(()),
        Err(error) => Err(crate::response::store_write(&error)),
    }
}
