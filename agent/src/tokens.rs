//! ServiceAccount tokens of this node's pods: asked for when a volume needs one, renewed while it lasts.
//!
//! A token is bound to its pod, so it ends with it. It is kept in memory until it is due ([`due`]), so that
//! rewriting a volume asks nobody, and a token whose renewal fails is used for as long as it is good.
//! Source: k8s.io/kubernetes/pkg/kubelet/token.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::{Api, PostParams};
use parking_lot::Mutex;

/// For how long a volume wants its token that says nothing, in seconds.
const DEFAULT_SECONDS: i64 = 3600;
/// A token is renewed at the latest after this, in seconds: a day.
const LONGEST: i64 = 24 * 60 * 60;
/// How long the API server may take to make one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("failed to fetch token: {0}")]
    Refused(#[source] kube::Error),
    #[error("failed to fetch token: no answer within {PATIENCE:?}")]
    Late,
    #[error("failed to fetch token: the API server's answer holds none")]
    Empty,
}

/// What a token is for: its audience ("": the API server) and for how many seconds.
pub(crate) type Purpose = (String, i64);

/// Tokens by what they are for.
pub(crate) type Issued = BTreeMap<Purpose, String>;

#[derive(Clone)]
struct Held {
    token: String,
    made: Timestamp,
    expires: Timestamp,
}

/// All tokens of the node's pods.
pub(crate) struct Tokens {
    client: kube::Client,
    /// By the pod's UID.
    held: Mutex<HashMap<String, BTreeMap<Purpose, Held>>>,
}

impl Tokens {
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client, held: Mutex::default() }
    }

    /// A good token for each projection of the pod's volumes.
    pub(crate) async fn of(&self, pod: &Pod) -> Result<Issued, TokenError> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let mut issued = Issued::new();
        for purpose in projections(pod).map(purpose) {
            let now = Timestamp::now();
            let held = self.held.lock().get(uid).and_then(|held| held.get(&purpose)).cloned();
            let token = match held {
                Some(held) if !due(&held, now) => held.token,
                held => match (self.request(pod, &purpose).await, held) {
                    (Ok(new), _) => {
                        let token = new.token.clone();
                        let mut all = self.held.lock();
                        all.entry(uid.to_owned()).or_default().insert(purpose.clone(), new);
                        token
                    }
                    (Err(error), Some(held)) if now < held.expires => {
                        tracing::warn!(%error, uid, "a token could not be renewed; trying again");
                        held.token
                    }
                    (Err(error), _) => return Err(error),
                },
            };
            issued.insert(purpose, token);
        }
        Ok(issued)
    }

    /// Whether a token of the pod is to be renewed, or is not known because this agent did not ask for it.
    pub(crate) fn due(&self, pod: &Pod, now: Timestamp) -> bool {
        let all = self.held.lock();
        let held = all.get(pod.metadata.uid.as_deref().unwrap_or_default());
        projections(pod).map(purpose).any(|purpose| {
            held.and_then(|held| held.get(&purpose)).is_none_or(|held| due(held, now))
        })
    }

    /// Drops the tokens of a pod that has ended.
    pub(crate) fn forget(&self, uid: &str) {
        self.held.lock().remove(uid);
    }

    async fn request(&self, pod: &Pod, purpose: &Purpose) -> Result<Held, TokenError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let (body, params) = (request_of(pod, purpose), PostParams::default());
        let asked = accounts.create_token_request(account, &params, &body);
        let made = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| TokenError::Late)?;
        let status = made.map_err(TokenError::Refused)?.status.ok_or(TokenError::Empty)?;
        let answer = status.token.zip(status.expiration_timestamp);
        let (token, expires) = answer.ok_or(TokenError::Empty)?;
        Ok(Held { token, made: Timestamp::now(), expires: expires.0 })
    }
}

fn request_of(pod: &Pod, (audience, seconds): &Purpose) -> TokenRequest {
    TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: (!audience.is_empty()).then(|| vec![audience.clone()]),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            expiration_seconds: Some(*seconds),
        }),
        ..TokenRequest::default()
    }
}

/// What a projection wants its token for.
pub(crate) fn purpose(projection: &ServiceAccountTokenProjection) -> Purpose {
    let seconds = projection.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
    (projection.audience.clone().unwrap_or_default(), seconds)
}

fn projections(pod: &Pod) -> impl Iterator<Item = &ServiceAccountTokenProjection> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let projected = volumes.filter_map(|volume| volume.projected.as_ref());
    let sources = projected.flat_map(|projected| projected.sources.iter().flatten());
    sources.filter_map(|source| source.service_account_token.as_ref())
}

/// Whether four fifths of the token's time are over, or a day.
fn due(held: &Held, now: Timestamp) -> bool {
    let (made, expires) = (held.made.as_second(), held.expires.as_second());
    let lifetime = expires.saturating_sub(made);
    let age = now.as_second().saturating_sub(made);
    age >= LONGEST || age.saturating_mul(5) >= lifetime.saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_renewed_in_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (lives, age, want) in [
            (3600, 0, false),
            (3600, 2879, false),
            (3600, 2880, true),
            (3600, 4000, true),
            (600, 479, false),
            (600, 480, true),
            (10 * LONGEST, LONGEST - 1, false),
            (10 * LONGEST, LONGEST, true),
            (0, 0, true),
        ] {
            let held = Held { token: String::new(), made: at(1000), expires: at(1000 + lives) };
            assert_eq!(due(&held, at(1000 + age)), want, "{age} of {lives}");
        }
    }

    #[test]
    fn volumes_say_what_tokens_are_for() {
        let token = |source: serde_json::Value| json!({"serviceAccountToken": source});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {"containers": [], "volumes": [
                {"name": "a", "projected": {"sources": [token(json!({"path": "t"})), {"configMap": {"name": "m"}}]}},
                {"name": "b", "emptyDir": {}},
                {"name": "c", "projected": {"sources": [
                    token(json!({"path": "t", "audience": "vault", "expirationSeconds": 600}))]}},
            ]},
        }))
        .unwrap();
        let purposes: Vec<_> = projections(&pod).map(purpose).collect();
        assert_eq!(purposes, [(String::new(), 3600), ("vault".to_owned(), 600)]);
        let request = request_of(&pod, &purposes[1]).spec.unwrap();
        assert_eq!(
            (request.audiences, request.expiration_seconds),
            (Some(vec!["vault".to_owned()]), Some(600))
        );
        assert_eq!(request.bound_object_ref.unwrap().uid.as_deref(), Some("u"));
        assert_eq!(request_of(&pod, &purposes[0]).spec.unwrap().audiences, None);
    }
}
