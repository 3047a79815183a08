//! Signs what nodes that join read first: ConfigMap `kube-public/cluster-info`.
//!
//! Anybody may read it, so that a node learns where the API server is and which CA it has before it
//! trusts anybody. For every bootstrap token that says `usage-bootstrap-signing` there is a key
//! `jws-kubeconfig-TOKENID`: who has the token can check that nobody has changed the kubeconfig. A
//! signature goes with its token.
//!
//! Source: k8s.io/kubernetes/pkg/controller/bootstrap, k8s.io/cluster-bootstrap/token/jws;
//! RFC 7515 appendix F (detached content).

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use ring::hmac;
use serde_json::json;

use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::token_cleaner;

/// Name in logs.
pub(crate) const NAME: &str = "bootstrap-signer-controller";

/// The ConfigMap that is signed, and its namespace.
pub(crate) const CONFIG_MAP: &str = "cluster-info";
pub(crate) const NAMESPACE: &str = "kube-public";

/// What of it is signed.
const CONTENT: &str = "kubeconfig";
/// The keys of signatures begin so and end with the token's id.
const SIGNATURE: &str = "jws-kubeconfig-";
/// The names of tokens begin so.
const TOKEN: &str = "bootstrap-token-";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct BootstrapSigner {
    client: Client,
    clock: Clock,
    secrets: Cache<Secret>,
    config_maps: Cache<ConfigMap>,
    queue: Arc<WorkQueue<Key>>,
}

impl BootstrapSigner {
    /// Hooks into the informers of bootstrap tokens and of the ConfigMap; the queue is to be served
    /// with [`BootstrapSigner::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        secrets: &mut Informer<Secret>,
        config_maps: &mut Informer<ConfigMap>,
    ) -> Self {
        let this = Self {
            client,
            clock,
            secrets: secrets.cache(),
            config_maps: config_maps.cache(),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        secrets.on_key(move |_, _| queue.add(signed()));
        let queue = this.queue.clone();
        config_maps.on_key(move |key, gone| {
            if !gone && key == signed() {
                queue.add(key);
            }
        });
        this
    }

    /// The queue, in which there is only ever the one ConfigMap.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Brings the signatures up to date.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(map) = self.config_maps.get(&key) else { return Ok(Next::OnChange) };
        let now = self.clock.now();
        let secrets = self.secrets.all();
        let tokens = secrets.iter().filter_map(|secret| token(secret, now)).collect();
        let Some(data) = resign(map.data.as_ref(), &tokens) else { return Ok(Next::OnChange) };
        let mut updated = ConfigMap::clone(&map);
        updated.data = Some(data);
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PostParams::default();
        let replaced = api.replace(&key.name, &params, &updated);
        unless_gone(request("sign", &key, replaced).await)?;
        Ok(Next::OnChange)
    }
}

fn signed() -> Key {
    Key::new(NAMESPACE, CONFIG_MAP)
}

/// The id and the secret of a token that may sign now.
fn token(secret: &Secret, now: Timestamp) -> Option<(String, String)> {
    let text = |name: &str| {
        let found = secret.data.as_ref()?.get(name)?;
        std::str::from_utf8(&found.0).ok().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (id, value) = (text("token-id")?, text("token-secret")?);
    let name = secret.name_any();
    let signs = text("usage-bootstrap-signing").as_deref() == Some("true")
        && name.strip_prefix(TOKEN) == Some(id.as_str())
        && is_id(&id)
        && token_cleaner::left(secret, now).is_none_or(|left| !left.is_zero());
    signs.then_some((id, value))
}

/// Six small letters and digits.
fn is_id(id: &str) -> bool {
    id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The ConfigMap's data with the signatures of these tokens and no others; none if it is so already,
/// or if there is nothing to sign.
fn resign(
    data: Option<&BTreeMap<String, String>>,
    tokens: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    let data = data?;
    let content = data.get(CONTENT)?;
    let mut wanted = data.clone();
    wanted.retain(|name, _| !name.starts_with(SIGNATURE));
    wanted.extend(
        tokens.iter().map(|(id, secret)| (format!("{SIGNATURE}{id}"), sign(content, id, secret))),
    );
    (wanted != *data).then_some(wanted)
}

/// `HEADER..SIGNATURE`: a JWS, HS256, without what it signs.
fn sign(content: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, input.as_bytes()));
    format!("{header}..{signature}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn a_signature_is_what_kubeadm_expects() {
        // A known pair, computed by another implementation.
        let content = "Hello from the other side. I must have called a thousand times.";
        assert_eq!(
            sign(content, "joshua", "my voice is my passcode"),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..\
             VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
        );
    }

    #[test]
    fn tokens_that_may_sign_do() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let secret = |name: &str, data: &[(&str, &str)]| {
            let data = data.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().into())));
            let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
            secret.metadata.name = Some(name.to_owned());
            secret
        };
        let good =
            [("token-id", "abc123"), ("token-secret", "s"), ("usage-bootstrap-signing", "true")];
        let with = |change: (&'static str, &'static str)| -> Vec<(&str, &str)> {
            let kept = good.iter().filter(|(name, _)| *name != change.0).copied();
            kept.chain([change]).collect()
        };
        for (name, data, signs) in [
            ("bootstrap-token-abc123", good.to_vec(), true),
            ("bootstrap-token-abc123", with(("expiration", "2026-01-02T00:00:00Z")), true),
            ("bootstrap-token-abc123", with(("expiration", "2025-12-31T00:00:00Z")), false),
            ("bootstrap-token-abc123", with(("usage-bootstrap-signing", "false")), false),
            ("bootstrap-token-abc123", with(("token-secret", "")), false),
            ("bootstrap-token-abc123", with(("token-id", "other1")), false),
            ("bootstrap-token-ABC123", with(("token-id", "ABC123")), false),
            ("abc123", good.to_vec(), false),
        ] {
            let found = token(&secret(name, &data), now);
            assert_eq!(found.is_some(), signs, "{name} {data:?}");
        }
    }

    #[test]
    fn signatures_come_and_go_with_their_tokens() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let tokens = map(&[("abc123", "s")]);
        let first = resign(Some(&map(&[("kubeconfig", "x"), ("a", "b")])), &tokens).unwrap();
        assert_eq!(first.len(), 3);
        assert_eq!(first["jws-kubeconfig-abc123"], sign("x", "abc123", "s"));
        assert_eq!(resign(Some(&first), &tokens), None, "nothing has changed");
        let gone = resign(Some(&first), &map(&[])).unwrap();
        assert_eq!(gone, map(&[("kubeconfig", "x"), ("a", "b")]));
        let mut other = first.clone();
        other.insert("kubeconfig".to_owned(), "y".to_owned());
        assert_ne!(
            resign(Some(&other), &tokens).unwrap()["jws-kubeconfig-abc123"],
            first["jws-kubeconfig-abc123"]
        );
        assert_eq!(resign(Some(&map(&[("a", "b")])), &tokens), None, "nothing to sign");
        assert_eq!(resign(None, &tokens), None);
    }
}
