//! The IPAddress of every address that a Service has. Who has an address is decided by the claims
//! of [`allocation`](crate::allocation); these objects show it. Those that somebody has made by hand are
//! left alone, and their addresses are given to no Service.
//! Source: k8s.io/kubernetes/pkg/registry/core/service/ipallocator.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use api::status::Status;
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::{Revision, WriteError};

use crate::bootstrap;
use crate::cacher::{Cacher, Object};
use crate::context::Context;
use crate::response;

const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
/// Who keeps the object, in Kubernetes' words.
const ALLOCATOR: &str = "ipallocator.k8s.io";

/// Which versions of objects are known to be of which Service (`namespace/name`), by address: a pass
/// parses only what is new.
pub(super) type Known = Mutex<HashMap<String, (Revision, String)>>;

/// Makes what is missing and removes what no Service has any more.
pub(super) async fn pass(
    context: &Context,
    services: &Arc<Cacher>,
    addresses: &Arc<Cacher>,
    known: &Known,
) -> Result<(), Status> {
    let fields = &services.resource().selectable_fields;
    let Some(field) = fields.iter().position(|field| field.name == "spec.clusterIP") else {
        return Ok(());
    };
    let all = services.now().objects;
    let owned: BTreeMap<&str, &str> = all
        .iter()
        .map(|service| (service.field(field), service.key()))
        .filter(|(address, _)| address.parse::<IpAddr>().is_ok())
        .collect();
    let there = addresses.now().objects;
    known.lock().retain(|address, _| owned.contains_key(address.as_str()));
    for (address, service) in &owned {
        let of_it = |have: &Arc<Object>| {
            let seen = (have.revision(), (*service).to_owned());
            if known.lock().get(*address) == Some(&seen) {
                return true;
            }
            let is = is_of(&have.encoded().parse(), service);
            if is {
                known.lock().insert((*address).to_owned(), seen);
            }
            is
        };
        match there.get(address) {
            None => bootstrap::create_as_is(context, addresses, object(address, service)).await?,
            Some(have) if of_it(have) => {}
            Some(have) => {
                let key = format!("{}{}", addresses.prefix(), have.key());
                remove(context, &key, have.revision()).await?;
                bootstrap::create_as_is(context, addresses, object(address, service)).await?;
            }
        }
    }
    for have in there.iter().filter(|have| have.label(MANAGED_BY) == Some(ALLOCATOR)) {
        if !owned.contains_key(have.name()) {
            let key = format!("{}{}", addresses.prefix(), have.key());
            remove(context, &key, have.revision()).await?;
        }
    }
    Ok(())
}

async fn remove(context: &Context, key: &str, revision: Revision) -> Result<(), Status> {
    match context.store.delete(key, revision).await {
        Ok(_) | Err(WriteError::Conflict { .. }) => Ok(()),
        Err(error) => Err(response::store_write(&error)),
    }
}

/// The object of an address of a Service (`namespace/name`).
fn object(address: &str, service: &str) -> Value {
    let (namespace, name) = service.split_once('/').unwrap_or_default();
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {"name": address, "labels": {FAMILY: family, MANAGED_BY: ALLOCATOR}},
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
    })
}

/// Whether an object follows from a Service, and is not somebody's own.
pub(crate) fn is_kept(have: &Value) -> bool {
    have["metadata"]["labels"][MANAGED_BY] == ALLOCATOR
}

/// Whether an object is of this Service, or somebody's own, which is left alone.
fn is_of(have: &Value, service: &str) -> bool {
    let parent = &have["spec"]["parentRef"];
    let text = |field: &str| parent[field].as_str().unwrap_or_default();
    !is_kept(have) || format!("{}/{}", text("namespace"), text("name")) == service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_that_of_a_real_server() {
        let mut records = include_str!("../../../fixtures/wire/bootstrap.jsonl")
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let record = records.find(|record| record["name"] == "ipaddresses").expect("a record");
        let recorded = &record["response"]["items"][0];
        let ours = object("10.96.0.1", "default/kubernetes");
        assert_eq!(ours["spec"], recorded["spec"]);
        assert_eq!(ours["metadata"]["labels"], recorded["metadata"]["labels"]);
        assert!(is_of(&ours, "default/kubernetes") && !is_of(&ours, "default/other"));
        assert!(is_of(&json!({"spec": {}}), "default/other"), "somebody's own");
    }
}
