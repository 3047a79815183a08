//! NodeMetrics and PodMetrics: computed when they are read, never written.

use serde_json::Value;

use crate::field::Errors;
use crate::strategy::Strategy;

#[derive(Debug)]
pub(crate) struct Metrics;

impl Strategy for Metrics {
    fn validate(&self, _object: &Value) -> Errors {
        Errors::new()
    }
}
