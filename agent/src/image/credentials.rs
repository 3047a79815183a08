//! Pull secrets: `kubernetes.io/dockerconfigjson` and the older `dockercfg`, read by us.
//!
//! No credential helper named in such a file is ever executed: a Secret is somebody else's input.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use runtime::image::{Credentials, Reference};
use serde::Deserialize;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

impl Entry {
    fn credentials(self) -> Option<Credentials> {
        if !self.username.is_empty() {
            return Some(Credentials { username: self.username, password: self.password });
        }
        let decoded = STANDARD.decode(self.auth.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (username, password) = text.split_once(':')?;
        Some(Credentials {
            username: username.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
        })
    }
}

/// Credentials by registry, optionally narrowed to repositories below a path.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    entries: Vec<(String, Credentials)>,
}

impl Keyring {
    /// Reads every usable entry; what cannot be read is passed over, as the kubelet does.
    pub(crate) fn of(secrets: &[Arc<Secret>]) -> Self {
        let mut entries = Vec::new();
        for secret in secrets {
            let data = |key: &str| {
                secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice())
            };
            let auths = match (data(".dockerconfigjson"), data(".dockercfg")) {
                (Some(bytes), _) => {
                    serde_json::from_slice::<DockerConfig>(bytes).ok().map(|config| config.auths)
                }
                (None, Some(bytes)) => serde_json::from_slice(bytes).ok(),
                (None, None) => None,
            };
            let Some(auths) = auths else {
                tracing::warn!(
                    secret = secret.metadata.name,
                    "image pull secret holds no docker configuration"
                );
                continue;
            };
            entries.extend(
                auths
                    .into_iter()
                    .filter_map(|(place, entry)| Some((normal(&place), entry.credentials()?))),
            );
        }
        entries.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
        Self { entries }
    }

    /// Credentials that fit an image, the most specific first.
    pub(crate) fn matching(&self, image: &str) -> Vec<Credentials> {
        let Ok(reference) = image.parse::<Reference>() else { return Vec::new() };
        let full = format!("{}/{}", reference.registry(), reference.repository());
        let fits = |place: &str| {
            full == place || full.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'))
        };
        self.entries
            .iter()
            .filter(|(place, _)| fits(place))
            .map(|(_, credentials)| credentials.clone())
            .collect()
    }
}

/// `https://index.docker.io/v1/` means docker.io; a scheme and a version path mean nothing elsewhere either.
fn normal(place: &str) -> String {
    let bare =
        place.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    match bare {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn secret(key: &str, text: &str) -> Arc<Secret> {
        Arc::new(Secret {
            data: Some([(key.to_owned(), ByteString(text.as_bytes().to_vec()))].into()),
            ..Secret::default()
        })
    }

    fn users(secrets: &[Arc<Secret>], image: &str) -> Vec<String> {
        Keyring::of(secrets)
            .matching(image)
            .into_iter()
            .map(|c| format!("{}:{}", c.username, c.password))
            .collect()
    }

    #[test]
    fn table() {
        let config = secret(
            ".dockerconfigjson",
            r#"{"auths": {"https://index.docker.io/v1/": {"auth": "aHVidXNlcjpodWI6cHc="},
                "quay.io": {"username": "q", "password": "1"}, "quay.io/team": {"username": "t", "password": "2"},
                "localhost:5000": {"username": "l", "password": "3"}}, "credsStore": "evil"}"#,
        );
        let one = std::slice::from_ref(&config);
        assert_eq!(users(one, "busybox"), ["hubuser:hub:pw"]);
        assert_eq!(users(one, "quay.io/team/app:1"), ["t:2", "q:1"], "the more specific first");
        assert_eq!(users(one, "quay.io/teamwork/app"), ["q:1"]);
        assert_eq!(users(one, "localhost:5000/x"), ["l:3"]);
        assert!(users(one, "ghcr.io/x/y").is_empty());
        let old = secret(".dockercfg", r#"{"ghcr.io": {"auth": "YTpi"}}"#);
        assert_eq!(users(&[old], "ghcr.io/x/y"), ["a:b"]);
        assert!(
            users(&[secret(".dockerconfigjson", "not json"), secret("other", "")], "busybox")
                .is_empty()
        );
    }
}
