//! CSIDriver. Source: k8s.io/kubernetes/pkg/apis/storage/validation.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{IMMUTABLE, text};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::{Strategy, set_default};

const FS_GROUP_POLICIES: &[&str] = &["File", "None", "ReadWriteOnceWithFSType"];
const MODES: &[&str] = &["Persistent", "Ephemeral"];
/// Seconds for which a token must live at least, and at most.
const MIN_TOKEN: i64 = 600;
const MAX_TOKEN: i64 = 1 << 32;
const MIN_UPDATE_PERIOD: i64 = 10;

#[derive(Debug)]
pub(crate) struct CsiDriver;

impl Strategy for CsiDriver {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        let spec = &mut object["spec"];
        set_default(spec, "attachRequired", true);
        for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            set_default(spec, field, false);
        }
        set_default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if spec["volumeLifecycleModes"].as_array().is_none_or(Vec::is_empty) {
            spec["volumeLifecycleModes"] = json!(["Persistent"]);
        }
    }

    /// A new driver has no generation; some changes begin to count it.
    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        let counted = ["tokenRequests", "requiresRepublish", "seLinuxMount"];
        if counted.iter().any(|field| new["spec"][field] != old["spec"][field]) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = generation.saturating_add(1).into();
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Errors::new();
        let policy = text(spec, "fsGroupPolicy");
        if !FS_GROUP_POLICIES.contains(&policy) {
            let path = path.child("fsGroupPolicy");
            errors.push(FieldError::not_supported(&path, policy, FS_GROUP_POLICIES));
        }
        errors.extend(validate_tokens(&spec["tokenRequests"], &path.child("tokenRequests")));
        for mode in spec["volumeLifecycleModes"].as_array().into_iter().flatten() {
            if !mode.as_str().is_some_and(|mode| MODES.contains(&mode)) {
                let path = path.child("volumeLifecycleModes");
                errors.push(FieldError::not_supported(&path, mode.clone(), MODES));
            }
        }
        let period = spec["nodeAllocatableUpdatePeriodSeconds"].as_i64();
        if let Some(period) = period.filter(|period| *period < MIN_UPDATE_PERIOD) {
            let path = path.child("nodeAllocatableUpdatePeriodSeconds");
            let detail = "must be greater than or equal to 10 seconds";
            errors.push(FieldError::invalid(&path, period, detail));
        }
        let tokens = spec["tokenRequests"].as_array().is_some_and(|tokens| !tokens.is_empty());
        if !spec["serviceAccountTokenInSecrets"].is_null() && !tokens {
            let path = path.child("serviceAccountTokenInSecrets");
            let value = spec["serviceAccountTokenInSecrets"].clone();
            errors.push(FieldError::invalid(
                &path,
                value,
                "must be unset if no tokenRequests are specified",
            ));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        // The first path is misspelt in Kubernetes too; clients see it.
        for (field, shown) in [
            ("attachRequired", "attachedRequired"),
            ("volumeLifecycleModes", "volumeLifecycleModes"),
        ] {
            let value = &new["spec"][field];
            if *value != old["spec"][field] {
                let path = Path::new("spec").child(shown);
                errors.push(FieldError::invalid(&path, value.clone(), IMMUTABLE));
            }
        }
        errors
    }
}

fn validate_tokens(requests: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut audiences = HashSet::new();
    for (n, request) in requests.as_array().into_iter().flatten().enumerate() {
        let path = path.index(n);
        let audience = text(request, "audience");
        if !audiences.insert(audience) {
            errors.push(FieldError::duplicate(&path.child("audience"), audience));
            continue;
        }
        let path = path.child("expirationSeconds");
        match request["expirationSeconds"].as_i64() {
            Some(seconds) if seconds < MIN_TOKEN => {
                let detail = "may not specify a duration less than 10 minutes";
                errors.push(FieldError::invalid(&path, seconds, detail));
            }
            Some(seconds) if seconds > MAX_TOKEN => {
                let detail = "may not specify a duration larger than 2^32 seconds";
                errors.push(FieldError::invalid(&path, seconds, detail));
            }
            _ => {}
        }
    }
    errors
}
