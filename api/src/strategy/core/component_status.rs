//! ComponentStatus: computed when it is read, never written.

use serde_json::Value;

use crate::field::Errors;
use crate::strategy::Strategy;

#[derive(Debug)]
pub(crate) struct ComponentStatus;

impl Strategy for ComponentStatus {
    fn validate(&self, _object: &Value) -> Errors {
        Errors::new()
    }
}
