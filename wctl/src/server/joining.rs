//! What agents need to join: a token, the right to ask for a certificate, and a place that tells them the
//! cluster's CA. The objects are those that `kubeadm init` makes, under names of their own.
//!
//! | object | says |
//! |---|---|
//! | ConfigMap `kube-public/cluster-info` | where the API server is and which CA it has; anybody may read it |
//! | Secret `kube-system/bootstrap-token-…` | a token, good for a day |
//! | ClusterRoleBindings `wharf:…` | who comes with a token may ask for a node's certificate; nodes may renew theirs, and run the proxy; the controllers may approve serving certificates |
//!
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>,
//! <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/>.

use std::fmt::Debug;
use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The group of those who come with a token of ours.
const GROUP: &str = "system:bootstrappers:wharf:default-node-token";
const RBAC: &str = "rbac.authorization.k8s.io";
const TOKEN_TYPE: &str = "bootstrap.kubernetes.io/token";
/// Marks tokens that this file makes.
const DESCRIPTION: &str = "Made by wctl server for agents to join.";
/// How long a token is good.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// A token that has less than this left is not shown to anybody.
const WORTH_SHOWING: SignedDuration = SignedDuration::from_hours(1);
/// The ConfigMap that anybody may read.
pub(crate) const CLUSTER_INFO: &str = "cluster-info";
/// Its namespace.
pub(crate) const PUBLIC: &str = "kube-public";

/// Makes what is missing and gives a token that agents can join with.
pub(super) async fn prepare(client: &Client, server: &str, ca_pem: &str) -> Result<String> {
    cluster_info(client, server, ca_pem).await?;
    let reader = json!({"metadata": {"name": "wharf:cluster-info", "namespace": PUBLIC},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"],
            "resourceNames": [CLUSTER_INFO], "verbs": ["get"]}]});
    ensure_object(Api::<Role>::namespaced(client.clone(), PUBLIC), reader).await?;
    let anybody = json!({"metadata": {"name": "wharf:cluster-info", "namespace": PUBLIC},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "wharf:cluster-info"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "system:anonymous"}]});
    ensure_object(Api::<RoleBinding>::namespaced(client.clone(), PUBLIC), anybody).await?;
    let requests = "system:certificates.k8s.io:certificatesigningrequests";
    for (name, role, group) in [
        ("wharf:kubelet-bootstrap", "system:node-bootstrapper".to_owned(), GROUP),
        ("wharf:node-autoapprove-bootstrap", format!("{requests}:nodeclient"), GROUP),
        (
            "wharf:node-autoapprove-certificate-rotation",
            format!("{requests}:selfnodeclient"),
            "system:nodes",
        ),
        // Agents run the proxy under the identity of their node.
        ("wharf:node-proxier", "system:node-proxier".to_owned(), "system:nodes"),
    ] {
        bind(client, name, &role, "Group", group).await?;
    }
    // Kubernetes' own controllers approve client certificates only.
    let approver = "system:certificates.k8s.io:kubelet-serving-approver";
    let controllers = "system:kube-controller-manager";
    bind(client, "wharf:kubelet-serving-approver", approver, "User", controllers).await?;
    token(client).await
}

/// Binds a ClusterRole to somebody.
async fn bind(client: &Client, name: &str, role: &str, kind: &str, subject: &str) -> Result<()> {
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": kind, "name": subject}]});
    ensure_object(Api::<ClusterRoleBinding>::all(client.clone()), binding).await
}

/// Says where the cluster is.
async fn cluster_info(client: &Client, server: &str, ca_pem: &str) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), PUBLIC);
    let current = api.get_opt(CLUSTER_INFO).await.context("read the ConfigMap cluster-info")?;
    let said = current.and_then(|map| map.data?.get("kubeconfig").cloned());
    if let Some(said) = said {
        let other = ca_of(&said)?;
        ensure!(
            other.trim() == ca_pem.trim(),
            "the datastore is that of a cluster with another certificate authority: put the folder pki \
             of one of its servers into this server's data folder, or choose another datastore"
        );
    }
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": CLUSTER_INFO, "namespace": PUBLIC},
        "data": {"kubeconfig": kubeconfig(server, ca_pem)}});
    let params = PatchParams::apply("wctl").force();
    api.patch(CLUSTER_INFO, &params, &Patch::Apply(map))
        .await
        .context("write the ConfigMap cluster-info")
        .map(drop)
}

/// A kubeconfig without credentials, JSON (which YAML readers accept).
fn kubeconfig(server: &str, ca_pem: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Config", "preferences": {}, "contexts": [], "users": [],
        "current-context": "",
        "clusters": [{"name": "",
            "cluster": {"server": server, "certificate-authority-data": STANDARD.encode(ca_pem)}}]})
    .to_string()
}

/// The CA of a kubeconfig as `cluster-info` has it, PEM.
pub(crate) fn ca_of(kubeconfig: &str) -> Result<String> {
    let parsed: Value =
        serde_saphyr::from_str(kubeconfig).context("read the kubeconfig of cluster-info")?;
    let data = parsed["clusters"][0]["cluster"]["certificate-authority-data"].as_str();
    let data = data.context("cluster-info names no certificate authority")?;
    let pem = STANDARD.decode(data).context("read the certificate authority of cluster-info")?;
    String::from_utf8(pem).context("read the certificate authority of cluster-info")
}

async fn ensure_object<K>(api: Api<K>, object: Value) -> Result<()>
where
    K: kube::Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(object).context("an object for agents to join")?;
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop).with_context(|| format!("make {}", object.name_any())),
    }
}

/// A token that is good for a while: one that is there, or a new one.
async fn token(client: &Client) -> Result<String> {
    let api: Api<Secret> = Api::namespaced(client.clone(), "kube-system");
    let tokens = ListParams::default().fields(&format!("type={TOKEN_TYPE}"));
    let there = api.list(&tokens).await.context("list bootstrap tokens")?;
    let now = Timestamp::now();
    if let Some(token) = there.items.iter().find_map(|secret| usable(secret, now)) {
        return Ok(token);
    }
    let (id, secret) = (random(6)?, random(16)?);
    let expiration =
        now.checked_add(LIFETIME).context("a token's end")?.strftime("%Y-%m-%dT%H:%M:%SZ");
    let object = json!({"metadata": {"name": format!("bootstrap-token-{id}")}, "type": TOKEN_TYPE,
        "stringData": {"token-id": id, "token-secret": secret, "description": DESCRIPTION,
            "expiration": expiration.to_string(), "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true", "auth-extra-groups": GROUP}});
    let object: Secret = serde_json::from_value(object).context("a bootstrap token")?;
    api.create(&PostParams::default(), &object).await.context("make a bootstrap token")?;
    Ok(format!("{id}.{secret}"))
}

/// The token in a Secret of ours, if it is good for a while.
fn usable(secret: &Secret, now: Timestamp) -> Option<String> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    if text("description")? != DESCRIPTION {
        return None;
    }
    let end: Timestamp = text("expiration")?.parse().ok()?;
    (end.duration_since(now) >= WORTH_SHOWING)
        .then(|| Some(format!("{}.{}", text("token-id")?, text("token-secret")?)))?
}

/// So many characters that nobody can guess, of a to z and 0 to 9.
fn random(length: usize) -> Result<String> {
    let mut source = std::fs::File::open("/dev/urandom").context("open /dev/urandom")?;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0_u8; 32];
        source.read_exact(&mut bytes).context("read /dev/urandom")?;
        text.extend(bytes.iter().filter_map(|byte| character(*byte)).take(length - text.len()));
    }
    Ok(text)
}

/// Every character for equally many bytes; none for the few that are left over.
fn character(byte: u8) -> Option<char> {
    const CHARACTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (byte < 252).then(|| char::from(CHARACTERS[usize::from(byte % 36)]))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn what_cluster_info_says_can_be_read() {
        assert_eq!(ca_of(&kubeconfig("https://192.0.2.1:6443", "PEM")).unwrap(), "PEM");
        assert!(ca_of("{}").is_err());
    }

    #[test]
    fn tokens_have_their_form() {
        for _ in 0..20 {
            let (id, secret) = (random(6).unwrap(), random(16).unwrap());
            assert_eq!((id.len(), secret.len()), (6, 16));
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            assert!(id.chars().all(plain) && secret.chars().all(plain), "{id}.{secret}");
        }
        assert_ne!(random(16).unwrap(), random(16).unwrap());
        let all: Vec<char> = (0..=255).filter_map(character).collect();
        assert_eq!(all.iter().filter(|c| **c == 'a').count(), 7);
        assert_eq!(all.len(), 252);
    }

    #[test]
    fn a_token_is_shown_again_while_it_is_good() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let secret = |description: &str, expiration: &str| {
            let data = [
                ("description", description),
                ("expiration", expiration),
                ("token-id", "abcdef"),
                ("token-secret", "0123456789abcdef"),
            ];
            let data = data.map(|(key, text)| (key.to_owned(), ByteString(text.into())));
            Secret { data: Some(data.into()), ..Secret::default() }
        };
        for (description, expiration, want) in [
            (DESCRIPTION, "2026-01-01T02:00:00Z", true),
            (DESCRIPTION, "2026-01-01T00:59:00Z", false),
            (DESCRIPTION, "2025-01-01T00:00:00Z", false),
            (DESCRIPTION, "", false),
            ("somebody's", "2026-01-01T02:00:00Z", false),
        ] {
            let got = usable(&secret(description, expiration), now);
            assert_eq!(got, want.then(|| "abcdef.0123456789abcdef".to_owned()), "{expiration}");
        }
    }
}
