//! Image references, read the way Docker and containerd read them.
//!
//! `hello` is `docker.io/library/hello:latest`, `localhost:5000/x` names a
//! registry, `quay.io/a/b@sha256:…` names bytes. One canonical text per image
//! is what makes a pod that asks for `hello` find an image loaded as
//! `hello:latest`. Grammar: distribution/reference in the CNCF distribution
//! project.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use super::digest::Digest;

/// The registry meant when a reference names none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where `docker.io` really answers.
const DOCKER_HOST: &str = "registry-1.docker.io";
/// Longest repository path that registries accept.
const LONGEST_NAME: usize = 255;
/// Longest tag.
const LONGEST_TAG: usize = 128;

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("the reference is empty")]
    Empty,
    /// The repository path breaks the grammar.
    #[error(
        "{0:?} is not a repository name: use lowercase letters, digits and the separators . _ - /"
    )]
    Repository(String),
    /// The repository path is too long.
    #[error("the repository name has {0} characters; at most 255 are allowed")]
    TooLong(usize),
    /// The tag breaks the grammar.
    #[error(
        "{0:?} is not a tag: use up to 128 letters, digits and . _ -, not starting with . or -"
    )]
    Tag(String),
    /// The digest breaks the grammar.
    #[error("{0:?} is not a digest of the form sha256: and 64 hexadecimal digits")]
    Digest(String),
    /// The host part breaks the grammar.
    #[error("{0:?} is not a registry host")]
    Registry(String),
}

/// A complete reference: registry, repository, and a tag or digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Registry as written in the canonical form, with its port.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Repository path below the registry, `library/` included.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` only when a digest is there.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which wins over the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the registry for: the digest, else the tag.
    pub(crate) fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The same repository at a digest.
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// `host[:port]` to connect to.
    pub(crate) fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { DOCKER_HOST } else { &self.registry }
    }

    /// Plain HTTP is spoken to this machine's own registries and to nobody else.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = match self.registry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let parsed =
                    digest.parse().map_err(|_| ReferenceError::Digest(digest.to_owned()))?;
                (rest, Some(parsed))
            }
            None => (text, None),
        };
        // A colon after the last slash starts a tag; one before it is a port.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(tag.to_owned()));
        }
        let (registry, repository) = split_registry(path);
        if !is_host(registry) {
            return Err(ReferenceError::Registry(registry.to_owned()));
        }
        if !repository.split('/').all(is_path_component) {
            return Err(ReferenceError::Repository(repository.to_owned()));
        }
        if repository.len() > LONGEST_NAME {
            return Err(ReferenceError::TooLong(repository.len()));
        }
        let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(out, "@{digest}")?;
        }
        Ok(())
    }
}

/// The first component is a registry if it looks like a host: a dot, a port, or `localhost`.
fn split_registry(path: &str) -> (&str, &str) {
    match path.split_once('/') {
        Some(("index.docker.io", rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, path),
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<IpAddr>().is_ok() => {
                ("ip", port.strip_prefix(':').or(port.is_empty().then_some("0")))
            }
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("0")),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(label) && port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// `[a-z0-9]+` runs joined by one dot, one or two underscores, or any number of dashes.
fn is_path_component(text: &str) -> bool {
    let mut separator = String::new();
    let mut seen = false;
    for character in text.chars() {
        match character {
            'a'..='z' | '0'..='9' => {
                let joins = separator.is_empty()
                    || separator == "."
                    || separator == "_"
                    || separator == "__"
                    || separator.bytes().all(|byte| byte == b'-');
                if !joins || (!seen && !separator.is_empty()) {
                    return false;
                }
                separator.clear();
                seen = true;
            }
            '.' | '_' | '-' => separator.push(character),
            _ => return false,
        }
    }
    seen && separator.is_empty()
}

fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST_TAG
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn canonical_forms() {
        let digest = format!("sha256:{HEX}");
        for (text, canonical) in [
            ("hello", "docker.io/library/hello:latest".to_owned()),
            ("hello:v1", "docker.io/library/hello:v1".to_owned()),
            ("library/hello", "docker.io/library/hello:latest".to_owned()),
            ("docker.io/hello", "docker.io/library/hello:latest".to_owned()),
            ("index.docker.io/hello", "docker.io/library/hello:latest".to_owned()),
            ("team/app", "docker.io/team/app:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/app", "localhost:5000/app:latest".to_owned()),
            ("127.0.0.1:41/a/b/c:x", "127.0.0.1:41/a/b/c:x".to_owned()),
            ("[::1]:5000/app", "[::1]:5000/app:latest".to_owned()),
            ("quay.io/a/b__c--d.e", "quay.io/a/b__c--d.e:latest".to_owned()),
            (&format!("app@{digest}"), format!("docker.io/library/app@{digest}")),
            (&format!("app:v2@{digest}"), format!("docker.io/library/app:v2@{digest}")),
        ] {
            let parsed: Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<Reference>().as_ref(), Ok(&parsed), "{text} round trip");
        }
    }

    #[test]
    fn refused_forms() {
        for text in [
            "",
            ":latest",
            "/x",
            "x/",
            "a//b",
            "Hello",
            "hello:",
            "hello:-x",
            "hello:a b",
            "a..b",
            "a___b",
            "x@sha256:12",
            "x@md5:00",
            "-x",
            "x-",
            "bad_host:5000/x",
            "h:99999/x",
            "../x",
            "a/../b",
            "[::1/x",
            "https://example.com/x",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?} was accepted");
        }
        assert!(format!("x:{}", "t".repeat(129)).parse::<Reference>().is_err());
    }

    #[test]
    fn plain_http_only_on_loopback() {
        for (text, loopback) in [
            ("localhost/x", true),
            ("localhost:5000/x", true),
            ("127.3.2.1:5000/x", true),
            ("[::1]:5000/x", true),
            ("registry.localhost/x", true),
            ("10.0.0.1:5000/x", false),
            ("x", false),
            ("localhost.example.com/x", false),
        ] {
            let reference: Reference = text.parse().expect("valid");
            assert_eq!(reference.is_loopback(), loopback, "{text}");
        }
    }
}
