//! Every version of a group that a definition serves has an APIService, as the built-in ones have.
//! Source: k8s.io/kubernetes/pkg/controlplane/controller/crdregistration.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::status::Status;
use serde_json::Value;
use store::WriteError;

use crate::bootstrap::{self, api_services};
use crate::cacher::Cacher;
use crate::context::Context;
use crate::response;

/// The least priorities of the groups and versions of definitions: after all built-in ones.
const PRIORITIES: (i64, i64) = (1000, 100);
/// Who keeps an APIService: "true" is whoever follows definitions.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Makes what is missing and removes what nothing serves any more.
pub(super) async fn pass(
    context: &Context,
    definitions: &Arc<Cacher>,
    services: &Arc<Cacher>,
) -> Result<(), Status> {
    let wanted: BTreeSet<(String, String)> = definitions
        .now()
        .objects
        .iter()
        .flat_map(|definition| served(&definition.encoded().parse()))
        .collect();
    let there = services.now().objects;
    for (version, group) in &wanted {
        if there.get(&format!("{version}.{group}")).is_none() {
            let service = api_services::of(version, group, PRIORITIES, "true");
            bootstrap::create_as_is(context, services, service).await?;
        }
    }
    for service in there.iter().filter(|service| service.label(AUTOMANAGED) == Some("true")) {
        let (version, group) = service.name().split_once('.').unwrap_or_default();
        if wanted.contains(&(version.to_owned(), group.to_owned())) {
            continue;
        }
        let key = format!("{}{}", services.prefix(), service.key());
        match context.store.delete(&key, service.revision()).await {
            Ok(_) | Err(WriteError::Conflict { .. }) => {}
            Err(error) => return Err(response::store_write(&error)),
        }
    }
    Ok(())
}

/// What a definition serves: version and group.
fn served(definition: &Value) -> Vec<(String, String)> {
    let spec = &definition["spec"];
    let going = definition["metadata"]["deletionTimestamp"].is_string();
    let group = spec["group"].as_str().unwrap_or_default();
    let versions = spec["versions"].as_array().into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true && !going);
    let names = served.filter_map(|version| version["name"].as_str());
    names.map(|version| (version.to_owned(), group.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn served_versions_count() {
        let mut definition = json!({"metadata": {}, "spec": {"group": "example.com", "versions": [
            {"name": "v1", "served": true}, {"name": "v2", "served": false}]}});
        assert_eq!(served(&definition), [("v1".to_owned(), "example.com".to_owned())]);
        definition["metadata"]["deletionTimestamp"] = "t".into();
        assert!(served(&definition).is_empty());
    }
}
