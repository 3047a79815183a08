//! Images of containers: pull policy, pull secrets, and the words for what goes wrong.
//!
//! The work is the image store's; here is what Kubernetes puts around it.
//! Source: `pkg/kubelet/images/image_manager.go`.

mod credentials;

use k8s_openapi::api::core::v1::{Container, Secret};
use runtime::ImageStore;
use runtime::image::{Image, ImageError, PullOptions, Reference};

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

/// Pulls, trying the pull secrets that fit one after the other, and without any at last.
pub(crate) async fn pull(
    images: &ImageStore,
    name: &str,
    secrets: &[std::sync::Arc<Secret>],
) -> Result<Image, PullError> {
    let keyring = Keyring::of(secrets);
    let mut last = None;
    for credentials in keyring.matching(name).into_iter().map(Some).chain([None]) {
        match images.pull(name, PullOptions { credentials, ..PullOptions::default() }).await {
            Ok(image) => return Ok(image),
            Err(error) => last = last.or(Some(error)),
        }
    }
    let error = last.expect("the loop runs at least once, without credentials");
    Err(PullError::pull(name, &error))
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
}
