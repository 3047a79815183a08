//! Images of containers: pull policy, pull secrets, and the words for what goes wrong.
//!
//! The work is the image store's; here is what Kubernetes puts around it.
//! Source: `pkg/kubelet/images/image_manager.go`.

mod credentials;

use k8s_openapi::api::core::v1::{Container, Secret};
use runtime::ImageStore;
use runtime::image::{Image, ImageError, PullOptions, Reference, RegistryError};

pub(crate) use credentials::Keyring;

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    /// The policy of a container; unset means Always for `:latest` and IfNotPresent otherwise.
    pub(crate) fn of(container: &Container) -> Self {
        match container.image_pull_policy.as_deref() {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            Some("IfNotPresent") => Self::IfNotPresent,
            _ => match container.image.as_deref().unwrap_or_default().parse::<Reference>() {
                Ok(reference)
                    if reference.digest().is_none() && reference.tag() == Some("latest") =>
                {
                    Self::Always
                }
                _ => Self::IfNotPresent,
            },
        }
    }
}

/// Why a container has no image, with the reason that status and events show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error(
        "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: {why}"
    )]
    InvalidName { image: String, why: String },
    #[error("Container image {image:?} is not present with pull policy of Never")]
    Never { image: String },
    #[error("failed to pull and unpack image {image:?}: {why}")]
    Pull { image: String, why: String },
}

impl PullError {
    /// The waiting reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "InvalidImageName",
            Self::Never { .. } => "ErrImageNeverPull",
            Self::Pull { .. } => "ErrImagePull",
        }
    }

    fn pull(image: &str, error: &ImageError) -> Self {
        Self::Pull { image: image.to_owned(), why: chain(error) }
    }
}

/// What an image is got with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is here and may be used.
    Present(Box<Image>),
    /// It has to be asked for.
    Pull,
}

/// Decides by policy and presence whether to pull.
pub(crate) fn decide(
    policy: PullPolicy,
    name: &str,
    present: Option<Image>,
) -> Result<Decision, PullError> {
    if let Err(error) = name.parse::<Reference>() {
        return Err(PullError::InvalidName { image: name.to_owned(), why: error.to_string() });
    }
    match (policy, present) {
        (PullPolicy::IfNotPresent | PullPolicy::Never, Some(image)) => {
            Ok(Decision::Present(Box::new(image)))
        }
        (PullPolicy::Never, None) => Err(PullError::Never { image: name.to_owned() }),
        _ => Ok(Decision::Pull),
    }
}

/// Pulls with the pull secrets that fit, one after the other, and without any at last. Only a registry
/// that denies access is asked again: other credentials cure nothing else, and go to nobody who has not
/// asked for them.
pub(crate) async fn pull(
    images: &ImageStore,
    name: &str,
    secrets: &[std::sync::Arc<Secret>],
) -> Result<Image, PullError> {
    let keyring = Keyring::of(secrets);
    let mut denied = None;
    for credentials in keyring.matching(name).into_iter().map(Some).chain([None]) {
        match images.pull(name, PullOptions { credentials, ..PullOptions::default() }).await {
            Ok(image) => return Ok(image),
            Err(error) if is_denied(&error) => denied = denied.or(Some(error)),
            Err(error) => return Err(PullError::pull(name, &error)),
        }
    }
    let error = denied.expect("the loop runs at least once, without credentials");
    Err(PullError::pull(name, &error))
}

/// Whether the registry answered 401 or 403.
fn is_denied(error: &ImageError) -> bool {
    let ImageError::Registry { source, .. } = error else { return false };
    matches!(**source, RegistryError::Denied { .. })
}

/// An error with its causes, as status messages show it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::ByteString;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_util::task::TaskTracker;

    use super::*;

    #[test]
    fn policy_defaults() {
        let of = |image: &str, policy: Option<&str>| {
            PullPolicy::of(&Container {
                image: Some(image.into()),
                image_pull_policy: policy.map(Into::into),
                ..Container::default()
            })
        };
        assert_eq!(of("hello", None), PullPolicy::Always);
        assert_eq!(of("hello:latest", None), PullPolicy::Always);
        assert_eq!(of("hello:1", None), PullPolicy::IfNotPresent);
        assert_eq!(of(&format!("hello@sha256:{}", "0".repeat(64)), None), PullPolicy::IfNotPresent);
        assert_eq!(of("hello", Some("Never")), PullPolicy::Never);
    }

    #[test]
    fn decisions_without_the_image() {
        assert!(matches!(decide(PullPolicy::Always, "a", None), Ok(Decision::Pull)));
        assert!(matches!(decide(PullPolicy::IfNotPresent, "a", None), Ok(Decision::Pull)));
        let never = decide(PullPolicy::Never, "a:1", None).unwrap_err();
        assert_eq!(never.reason(), "ErrImageNeverPull");
        assert_eq!(
            never.to_string(),
            "Container image \"a:1\" is not present with pull policy of Never"
        );
        assert_eq!(
            decide(PullPolicy::Always, "A b", None).unwrap_err().reason(),
            "InvalidImageName"
        );
    }
    /// A registry that denies access to all but `known`, and has no image for that one. Says who asked.
    async fn registry(known: &'static str) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (sender, users) = mpsc::channel(64);
        TaskTracker::new().spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    let Ok(byte) = client.read_u8().await else { break };
                    request.push(char::from(byte).to_ascii_lowercase());
                }
                if request.is_empty() {
                    continue;
                }
                let basic = request.lines().find_map(|line| line.strip_prefix("authorization: "));
                let status = match basic {
                    Some(sent) if sent.ends_with(known) => "404 Not Found",
                    _ => "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"",
                };
                sender.send(basic.unwrap_or("nobody").to_owned()).await.unwrap();
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = client.write_all(answer.as_bytes()).await;
            }
        });
        (host, users)
    }

    #[tokio::test]
    async fn further_credentials_are_for_who_is_denied() {
        // Base64 of `a:1` and `b:2`, in lower case as the registry above reads them.
        for (known, asked, words) in [
            ("ytox", &["nobody", "basic ytox"][..], "has no manifest"),
            ("yjoy", &["nobody", "basic ytox", "nobody", "basic yjoy"], "has no manifest"),
            ("none", &["nobody", "basic ytox", "nobody", "basic yjoy", "nobody"], "denies access"),
        ] {
            let (host, mut users) = registry(known).await;
            let secret = |auth: &str| {
                let config = format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#);
                let data = [(".dockerconfigjson".to_owned(), ByteString(config.into_bytes()))];
                Arc::new(Secret { data: Some(data.into()), ..Secret::default() })
            };
            let folder = tempfile::tempdir().unwrap();
            let images = ImageStore::open(folder.path().to_owned()).await.unwrap();
            let secrets = [secret("YTox"), secret("Yjoy")];
            let error = pull(&images, &format!("{host}/app:v1"), &secrets).await.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            let mut seen = Vec::new();
            while let Ok(user) = users.try_recv() {
                // A denied request may be made for more than one thing.
                if seen.last() != Some(&user) {
                    seen.push(user);
                }
            }
            assert_eq!(seen, asked, "only {known} is known");
        }
    }
}
