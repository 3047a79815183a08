//! Roles that collect the rules of others.

use controllers::Config;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::api::{Cluster, eventually};

#[tokio::test]
async fn roles_collect_rules_of_others() {
    let cluster = Cluster::start(Config::default()).await;
    let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    let has = async |name: &str, resource: &str, want: bool| {
        let role = roles.get(name).await.map_err(|error| error.to_string())?;
        let mut resources = role.rules.iter().flatten().flat_map(|r| r.resources.iter().flatten());
        if resources.any(|have| have == resource) == want {
            Ok(())
        } else {
            Err(format!("{role:?}"))
        }
    };
    // What every cluster has: admin has edit's rules, edit has view's.
    for role in ["view", "edit", "admin"] {
        eventually(role, || has(role, "configmaps", true)).await;
    }
    let own: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "own",
            "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}],
    }))
    .unwrap();
    roles.create(&PostParams::default(), &own).await.unwrap();
    for role in ["view", "edit", "admin"] {
        eventually(role, || has(role, "things", true)).await;
    }
    roles.delete("own", &DeleteParams::default()).await.unwrap();
    for role in ["view", "edit", "admin"] {
        eventually(role, || has(role, "things", false)).await;
    }
    cluster.stop().await;
}
