//! Which entry of an image runs here: native first, Wasm when that is all there is or what was asked.

use std::fmt;

use super::{Descriptor, Index, Platform};

/// What the caller would rather run when an image offers both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Preference {
    /// This host's own architecture, else Wasm.
    #[default]
    Native,
    /// Wasm, else this host's own architecture.
    Wasm,
}

/// No entry runs here; the platforms that were there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPlatform(pub Vec<String>);

/// Go's name of this host's architecture.
pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What this host runs, for error texts.
pub(crate) fn wanted() -> String {
    format!("linux/{} or wasm", host_architecture())
}

impl Platform {
    /// Whether it says WebAssembly in any of the spellings in use.
    pub fn is_wasm(&self) -> bool {
        self.architecture.starts_with("wasm") || self.os.starts_with("wasi")
    }

    /// Whether this host's kernel and processor run it.
    pub fn is_native(&self) -> bool {
        !self.is_wasm() && self.os == "linux" && self.architecture == host_architecture()
    }

    /// Attestations and other companions are filed under unknown/unknown.
    fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.os.as_str(), self.architecture.as_str()) {
            ("", "") => out.write_str("an unnamed platform")?,
            ("", one) | (one, "") => out.write_str(one)?,
            (os, architecture) => write!(out, "{os}/{architecture}")?,
        }
        match &self.variant {
            Some(variant) => write!(out, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Picks the entry to run.
///
/// Entries without a platform are taken last, since their config will tell.
pub fn choose(index: &Index, preference: Preference) -> Result<&Descriptor, NoPlatform> {
    let entries = || index.manifests.iter().filter(|entry| !is_companion(entry));
    let native =
        || entries().find(|entry| entry.platform.as_ref().is_some_and(Platform::is_native));
    let wasm = || entries().find(|entry| is_wasm(entry));
    let unnamed = || entries().find(|entry| entry.platform.as_ref().is_none_or(is_blank));
    let chosen = match preference {
        Preference::Native => native().or_else(wasm),
        Preference::Wasm => wasm().or_else(native),
    };
    chosen.or_else(unnamed).ok_or_else(|| {
        NoPlatform(
            entries()
                .filter_map(|entry| entry.platform.as_ref())
                .map(Platform::to_string)
                .collect(),
        )
    })
}

fn is_companion(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_some_and(Platform::is_unknown)
        || entry.annotations.contains_key("vnd.docker.reference.type")
}

fn is_wasm(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_some_and(Platform::is_wasm)
        || entry.artifact_type.as_deref().is_some_and(|kind| kind.contains("wasm"))
}

fn is_blank(platform: &Platform) -> bool {
    platform.os.is_empty() && platform.architecture.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    fn index(platforms: &[&str]) -> Index {
        let manifests = platforms
            .iter()
            .map(|text| {
                let mut parts = text.split('/').map(str::to_owned);
                let platform = (!text.is_empty()).then(|| Platform {
                    os: parts.next().unwrap_or_default(),
                    architecture: parts.next().unwrap_or_default(),
                    variant: parts.next(),
                });
                Descriptor {
                    media_type: String::new(),
                    digest: Digest::of(text.as_bytes()),
                    size: 1,
                    platform,
                    artifact_type: None,
                    annotations: Default::default(),
                }
            })
            .collect();
        Index { manifests }
    }

    #[test]
    fn choices() {
        use Preference::{Native, Wasm};
        let host = format!("linux/{}", host_architecture());
        for (platforms, preference, expected) in [
            (vec!["linux/s390x", &host], Native, Some(host.as_str())),
            (vec!["wasip1/wasm", &host], Native, Some(&host)),
            (vec!["wasip1/wasm", &host], Wasm, Some("wasip1/wasm")),
            (vec![&host, "wasi/wasm32"], Wasm, Some("wasi/wasm32")),
            (vec!["linux/s390x", "wasi/wasm"], Native, Some("wasi/wasm")),
            (vec!["linux/s390x", "linux/wasm"], Native, Some("linux/wasm")),
            (vec!["linux/s390x", &host], Wasm, Some(&host)),
            (vec!["linux/s390x", ""], Native, Some("")),
            (vec!["unknown/unknown", "linux/s390x"], Native, None),
            (vec!["linux/arm/v7", "windows/amd64"], Native, None),
            (vec![], Native, None),
        ] {
            let index = index(&platforms);
            let chosen = choose(&index, preference).map(|entry| entry.digest.clone());
            let expected = expected.map(|text| Digest::of(text.as_bytes()));
            assert_eq!(chosen.ok(), expected, "{platforms:?} {preference:?}");
        }
    }

    #[test]
    fn refusal_names_what_was_found() {
        let index = index(&["linux/arm/v7", "windows/amd64", "unknown/unknown"]);
        assert_eq!(
            choose(&index, Preference::Native),
            Err(NoPlatform(vec!["linux/arm/v7".to_owned(), "windows/amd64".to_owned()]))
        );
    }
}
