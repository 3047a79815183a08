//! Secrets of the type `kubernetes.io/service-account-token`, the older way to a token that does not
//! end: whoever makes one that names an account finds the account's token in it.
//!
//! The token is bound to the Secret, so it is good for as long as the Secret is there, and asked for
//! with the longest time that there is. A Secret whose account does not exist goes.
//! Source: k8s.io/kubernetes/pkg/controller/serviceaccount/tokens_controller.go.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};

use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const NAME: &str = "tokens-controller";
/// The type of the Secrets.
pub(crate) const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// For how long a token is asked for, in seconds: the most that can be (136 years).
const SECONDS: i64 = 1 << 32;

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Tokens {
    client: Client,
    /// PEM of the cluster's certificate authority; none is published without.
    root_ca: Option<Arc<str>>,
    secrets: Cache<Secret>,
    queue: Arc<WorkQueue<Key>>,
}

/// What there is to do about a Secret.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Delete,
    /// Complete it; whether a token is missing.
    Fill {
        token: bool,
    },
}

fn plan(secret: &Secret, account: Option<&ServiceAccount>, root_ca: Option<&str>) -> Step {
    let annotation = |key: &str| secret.metadata.annotations.as_ref()?.get(key);
    let uid = account.and_then(|account| account.metadata.uid.as_ref());
    if secret.metadata.deletion_timestamp.is_some() {
        return Step::Nothing;
    }
    // The account of a Secret that says which one it means must be that one.
    let other = annotation(ACCOUNT_UID).is_some_and(|meant| uid != Some(meant));
    if account.is_none() || other {
        return Step::Delete;
    }
    let data = |key: &str| secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice());
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let token = data("token").is_none_or(<[u8]>::is_empty);
    let complete = !token
        && data("namespace") == Some(namespace.as_bytes())
        && root_ca.is_none_or(|pem| data("ca.crt") == Some(pem.as_bytes()))
        && annotation(ACCOUNT_UID) == uid;
    if complete { Step::Nothing } else { Step::Fill { token } }
}

impl Tokens {
    /// Hooks into the informers; the queue is to be served with [`Tokens::reconcile`].
    pub(crate) fn new(
        client: Client,
        root_ca: Option<&str>,
        secrets: &mut Informer<Secret>,
        accounts: &mut Informer<ServiceAccount>,
    ) -> Self {
        let root_ca = root_ca.map(Arc::from);
        let queue = Arc::new(WorkQueue::new());
        let this = Self { client, root_ca, secrets: secrets.cache(), queue };
        let queue = this.queue.clone();
        secrets.on_change(move |_, now| {
            if let Some(secret) = now {
                queue.add(Key::of(&**secret));
            }
        });
        let (queue, known) = (this.queue.clone(), this.secrets.clone());
        accounts.on_change(move |before, now| {
            if let (Some(gone), None) = (before, now) {
                let account = Key::of(&**gone);
                for secret in known.all() {
                    let key = Key::of(&*secret);
                    if key.namespace == account.namespace && names(&secret) == account.name {
                        queue.add(key);
                    }
                }
            }
        });
        this
    }

    /// The queue of Secrets to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Completes a Secret, or deletes it.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(secret) = self.secrets.get(&key) else { return Ok(Next::OnChange) };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.namespace);
        let name = names(&secret);
        // Not from a cache: what is not there is deleted.
        let account = accounts.get_opt(name);
        let account =
            request("get", format!("service account {}/{name}", key.namespace), account).await?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let subject = || format!("secret {key}");
        match plan(&secret, account.as_ref(), self.root_ca.as_deref()) {
            Step::Nothing => {}
            Step::Delete => {
                let preconditions =
                    Preconditions { uid: secret.metadata.uid.clone(), resource_version: None };
                let params =
                    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                let deleted = secrets.delete(&key.name, &params);
                unless_gone(request("delete", subject(), deleted).await)?;
            }
            Step::Fill { token } => {
                let token =
                    if token { Some(self.token(&accounts, &secret, name).await?) } else { None };
                let filled = self.filled(&secret, account.as_ref(), token);
                let params = PostParams::default();
                let replaced = secrets.replace(&key.name, &params, &filled);
                unless_gone(request("update", subject(), replaced).await)?;
            }
        }
        Ok(Next::OnChange)
    }

    async fn token(
        &self,
        accounts: &Api<ServiceAccount>,
        secret: &Secret,
        account: &str,
    ) -> Result<String, ReconcileError> {
        let wanted = TokenRequest {
            spec: Some(TokenRequestSpec {
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Secret".to_owned()),
                    name: secret.metadata.name.clone(),
                    uid: secret.metadata.uid.clone(),
                }),
                expiration_seconds: Some(SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        let made = accounts.create_token_request(account, &params, &wanted);
        let made = request("create", format!("token of service account {account}"), made).await?;
        Ok(made.status.and_then(|status| status.token).unwrap_or_default())
    }

    fn filled(
        &self,
        secret: &Secret,
        account: Option<&ServiceAccount>,
        token: Option<String>,
    ) -> Secret {
        let mut filled = secret.clone();
        let data = filled.data.get_or_insert_default();
        let mut set = |key: &str, value: &str| {
            data.insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
        };
        if let Some(token) = token {
            set("token", &token);
        }
        if let Some(pem) = &self.root_ca {
            set("ca.crt", pem);
        }
        set("namespace", secret.metadata.namespace.as_deref().unwrap_or_default());
        if let Some(uid) = account.and_then(|account| account.metadata.uid.clone()) {
            let annotations = filled.metadata.annotations.get_or_insert_default();
            annotations.insert(ACCOUNT_UID.to_owned(), uid);
        }
        filled
    }
}

/// The account that a Secret names.
fn names(secret: &Secret) -> &str {
    let annotations = secret.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(ACCOUNT)).map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_secret_gets_what_it_lacks() {
        // Base64 of "t", "n" and "pem".
        let secret = |uid: Value, data: Value| -> Secret {
            let mut annotations = json!({ACCOUNT: "robot"});
            if uid.is_string() {
                annotations[ACCOUNT_UID] = uid;
            }
            let secret = json!({"metadata": {"name": "s", "namespace": "n",
                "annotations": annotations}, "type": TYPE, "data": data});
            serde_json::from_value(secret).unwrap()
        };
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": "robot", "uid": "1"}})).unwrap();
        let full = || json!({"token": "dA==", "namespace": "bg==", "ca.crt": "cGVt"});
        for (uid, data, account, want) in [
            (Value::Null, json!({}), Some(&account), Step::Fill { token: true }),
            (json!("1"), full(), Some(&account), Step::Nothing),
            (Value::Null, full(), Some(&account), Step::Fill { token: false }),
            (json!("1"), json!({"token": "dA=="}), Some(&account), Step::Fill { token: false }),
            (json!("2"), full(), Some(&account), Step::Delete),
            (Value::Null, json!({}), None, Step::Delete),
        ] {
            assert_eq!(plan(&secret(uid, data.clone()), account, Some("pem")), want, "{data}");
        }
        let mut going = secret(Value::Null, json!({}));
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(plan(&going, None, None), Step::Nothing);
    }
}
