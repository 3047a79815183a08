//! ServiceAccount: nothing but references, none of which is checked on writing.

use serde_json::Value;

use super::Strategy;
use crate::field::Errors;

#[derive(Debug)]
pub(crate) struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn validate(&self, _object: &Value) -> Errors {
        Errors::new()
    }
}
