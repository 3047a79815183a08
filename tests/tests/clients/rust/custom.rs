//! A kind of one's own, derived from a Rust type.

use futures_util::TryStreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::{await_condition, delete::delete_and_finalize};
use kube::runtime::watcher::{self, watcher};
use kube::{Client, CustomResourceExt, ResourceExt};
use kube_derive::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::patiently;

/// What a ship should be.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize)]
#[kube(group = "rust.example.com", version = "v1", kind = "Ship", namespaced, shortname = "sp")]
#[kube(status = "ShipStatus", schema = "disabled")]
#[kube(scale(spec_replicas_path = ".spec.masts", status_replicas_path = ".status.masts"))]
#[kube(printcolumn(name = "Masts", type_ = "integer", json_path = ".spec.masts"))]
struct ShipSpec {
    masts: u32,
    #[serde(default)]
    flag: Option<String>,
}

/// What it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct ShipStatus {
    masts: u32,
}

/// The definition with the schema that belongs to the types above.
fn definition() -> CustomResourceDefinition {
    let mut definition = serde_json::to_value(Ship::crd()).unwrap();
    let masts = json!({"type": "integer", "format": "int32", "minimum": 1});
    let flag = json!({"type": "string", "nullable": true, "enum": ["red", "white"]});
    let spec = json!({"masts": masts, "flag": flag});
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {"type": "object", "required": ["masts"], "properties": spec},
            "status": {"type": "object", "properties": {"masts": {"type": "integer"}}},
        },
    });
    serde_json::from_value(definition).unwrap()
}

pub(super) async fn kinds_can_be_derived(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let manager = PatchParams::apply("rust");
    let name = Ship::crd_name();
    definitions.patch(name, &manager, &Patch::Apply(definition())).await.unwrap();
    let established = await_condition(definitions.clone(), name, is_crd_established());
    patiently("the kind is established", established).await.unwrap();

    let ships: Api<Ship> = Api::default_namespaced(client.clone());
    let mut ship = Ship::new("victory", ShipSpec { masts: 3, flag: None });
    let made = patiently("the kind is served", async {
        loop {
            match ships.create(&PostParams::default(), &ship).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    tokio::task::yield_now().await
                }
                outcome => return outcome.unwrap(),
            }
        }
    })
    .await;
    assert!(made.status.is_none());
    ship.metadata.name = Some("wreck".into());
    ship.spec.masts = 0;
    let refused = ships.create(&PostParams::default(), &ship).await.unwrap_err();
    assert!(refused.to_string().contains("spec.masts"), "{refused}");

    let status = Patch::Merge(json!({"status": {"masts": 2}}));
    let told = ships.patch_status("victory", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(told.status.map(|status| status.masts), Some(2));
    let scale = ships.get_scale("victory").await.unwrap();
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(3));
    assert_eq!(scale.status.map(|status| status.replicas), Some(2));
    let fewer = Patch::Merge(json!({"spec": {"replicas": 1}}));
    ships.patch_scale("victory", &PatchParams::default(), &fewer).await.unwrap();

    let mut seen = Box::pin(watcher(ships.clone(), watcher::Config::default()).applied_objects());
    let ship = patiently("the ship is seen", seen.try_next()).await.unwrap().unwrap();
    assert_eq!((ship.name_any().as_str(), ship.spec.masts), ("victory", 1));

    // The ships go with their kind.
    let how = DeleteParams::default();
    let gone = delete_and_finalize(definitions, name, &how);
    patiently("the kind goes", gone).await.unwrap();
    let refused = ships.get("victory").await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 404));
}
