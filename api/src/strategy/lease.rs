//! Lease: heartbeats and leader election.

use serde_json::{Value, json};

use super::{Strategy, set_default};
use crate::field::{Errors, FieldError, Path};
use crate::meta;

/// Fields of coordinated leader election, a feature that is off unless somebody turns it on.
const COORDINATED: [&str; 2] = ["strategy", "preferredHolder"];

#[derive(Debug)]
pub(crate) struct Lease;

impl Strategy for Lease {
    fn creates_on_update(&self) -> bool {
        true
    }

    /// Two holders must not both believe that they took the lease.
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        for field in COORDINATED {
            meta::remove(&mut object["spec"], field);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        for field in COORDINATED.iter().filter(|field| old["spec"][**field].is_null()) {
            meta::remove(&mut new["spec"], field);
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        if let Some(n) = spec["leaseDurationSeconds"].as_i64().filter(|n| *n <= 0) {
            errors.push(FieldError::invalid(
                &path.child("leaseDurationSeconds"),
                n,
                "must be greater than 0",
            ));
        }
        if let Some(n) = spec["leaseTransitions"].as_i64().filter(|n| *n < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path.child("leaseTransitions"), n, detail));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_are_not_chosen_by_a_strategy() {
        let sent = json!({"spec": {"holderIdentity": "a", "strategy": "OldestEmulationVersion",
            "preferredHolder": "b"}});
        let plain = json!({"spec": {"holderIdentity": "a"}});
        let mut made = sent.clone();
        Lease.prepare_for_create(&mut made);
        assert_eq!(made, plain);
        for (old, want) in [(&plain, &plain), (&sent, &sent)] {
            let mut new = sent.clone();
            Lease.prepare_for_update(&mut new, old);
            assert_eq!(new, *want, "{old}");
        }
    }
}
