//! ServiceAccount: nothing but references, none of which is checked on writing.

use serde_json::{Value, json};

use super::{Strategy, each};
use crate::field::Errors;

/// Makes the secrets of an account the only ones that its pods may name.
const MOUNTABLE_ONLY: &str = "kubernetes.io/enforce-mountable-secrets";

#[derive(Debug)]
pub(crate) struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn prepare_for_create(&self, object: &mut Value) {
        keep_names(object);
    }

    fn prepare_for_update(&self, new: &mut Value, _old: &Value) {
        keep_names(new);
    }

    fn validate(&self, _object: &Value) -> Errors {
        Errors::new()
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        let has = |object: &Value| object["metadata"]["annotations"].get(MOUNTABLE_ONLY).is_some();
        if !has(new) || has(old) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{MOUNTABLE_ONLY}]: deprecated in v1.32+; prefer separate namespaces \
             to isolate access to mounted secrets"
        )]
    }
}

/// A secret of an account is one of its namespace: its name says all.
fn keep_names(account: &mut Value) {
    for secret in each(account, "/secrets") {
        *secret = match secret["name"].as_str() {
            Some(name) if !name.is_empty() => json!({"name": name}),
            _ => json!({}),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        let sent = json!({"secrets": [
            {"name": "a", "namespace": "n", "kind": "Secret"}, {"uid": "u"}, {"name": "b"}]});
        let want = json!({"secrets": [{"name": "a"}, {}, {"name": "b"}]});
        let (mut made, mut changed) = (sent.clone(), sent);
        ServiceAccount.prepare_for_create(&mut made);
        ServiceAccount.prepare_for_update(&mut changed, &json!({}));
        assert_eq!((&made, &changed), (&want, &want));
        let mut none = json!({"metadata": {}});
        ServiceAccount.prepare_for_create(&mut none);
        assert_eq!(none, json!({"metadata": {}}));
    }
}
