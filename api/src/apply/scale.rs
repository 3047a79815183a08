//! Applying a Scale: owning the replicas of a workload and nothing else of it.

use serde_json::{Value, json};

use super::Change;
use super::config::check;
use super::place::Place;
use super::server_side::{apply, check_kind, kind_text};
use crate::field::Errors;
use crate::resources::{GroupKind, Resource};
use crate::status::Status;
use crate::strategy::validate_scale;

/// The API version and kind of the subresource.
const SCALE: (&str, &str) = ("autoscaling/v1", "Scale");

/// Applies a configuration of the kind Scale to the workload `live`; its managers own the replicas
/// through the subresource that `change` names.
///
/// # Errors
/// Those of [`apply()`], and 422 for replicas that cannot be.
pub fn apply_scale(
    resource: &Resource,
    live: &Value,
    config: &Value,
    force: bool,
    change: &Change<'_>,
) -> Result<Value, Status> {
    let (api_version, kind) = SCALE;
    check_kind(api_version, kind, config)?;
    check(Place::of_type("autoscaling.v1.Scale"), config).map_err(|error| {
        let kind = kind_text(api_version, kind);
        Status::unclassified(format!("failed to create typed patch object ({kind}): {error}"))
    })?;
    let errors: Errors = validate_scale(config);
    if !errors.is_empty() {
        let name = live["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Status::invalid(&GroupKind::new("autoscaling", kind), name, &errors));
    }
    let mut workload = json!({"apiVersion": resource.api_version(), "kind": resource.kind,
        "metadata": config["metadata"]});
    if config["spec"].get("replicas").is_some() {
        workload = resource.strategy.with_scale(workload, config);
    }
    apply(resource, live, &workload, force, change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_change_hands_through_their_own_door() {
        let row = crate::resources::by_path("", "v1", "replicationcontrollers").expect("served");
        let by =
            |manager| Change { manager, subresource: "scale", now: jiff::Timestamp::UNIX_EPOCH };
        let main = Change { manager: "owner", subresource: "", now: jiff::Timestamp::UNIX_EPOCH };
        let config = json!({"apiVersion": "v1", "kind": "ReplicationController",
            "metadata": {"name": "rc"}, "spec": {"replicas": 1, "minReadySeconds": 5}});
        let mut live = apply(row, &Value::Null, &config, false, &main).expect("made");
        live["metadata"]["uid"] = "u".into();
        let scale = |replicas: i64| {
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "rc"},
                "spec": {"replicas": replicas}})
        };
        let refused = apply_scale(row, &live, &scale(3), false, &by("scaler")).expect_err("owned");
        assert_eq!(
            refused.message,
            "Apply failed with 1 conflict: conflict with \"owner\": .spec.replicas"
        );
        let scaled = apply_scale(row, &live, &scale(3), true, &by("scaler")).expect("forced");
        assert_eq!(scaled["spec"], json!({"replicas": 3, "minReadySeconds": 5}));
        let entries = &scaled["metadata"]["managedFields"];
        assert_eq!(entries[0]["fieldsV1"], json!({"f:spec": {"f:minReadySeconds": {}}}));
        assert_eq!(
            (&entries[1]["manager"], &entries[1]["subresource"], &entries[1]["apiVersion"]),
            (&json!("scaler"), &json!("scale"), &json!("v1"))
        );
        assert_eq!(entries[1]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
        assert_eq!(apply_scale(row, &live, &scale(-1), true, &by("s")).expect_err("bad").code, 422);
        assert_eq!(apply_scale(row, &live, &config, true, &by("s")).expect_err("bad").code, 400);
    }
}
