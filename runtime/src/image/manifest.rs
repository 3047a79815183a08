//! Manifests, indexes and configs: the fields that Wharf reads, leniently.
//!
//! OCI and Docker schema 2 differ only in media types, so one set of shapes reads both. Unknown
//! fields are none of our business; the bytes are kept as they came, because their digest is the
//! image's identity. Source: OCI image-spec manifest.md, image-index.md, config.md; Docker
//! image manifest version 2 schema 2.

pub mod platform;
pub(crate) mod spin;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::digest::Digest;
use super::model::ImageConfig;

/// Media types that a manifest request accepts, most wanted first.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// OCI image manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Config of the CNCF Wasm OCI artifact.
pub(crate) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Layer of the CNCF Wasm OCI artifact.
pub(crate) const WASM_LAYER: &str = "application/wasm";
/// Config of a Spin application: its locked manifest.
pub(crate) const SPIN_CONFIG: &str = "application/vnd.fermyon.spin.application.v1+config";

/// Layer media types that hold a `.wasm` file as it is.
const MODULE_LAYERS: &[&str] = &[
    WASM_LAYER,
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

/// A pointer to a blob or manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the bytes claim to be.
    #[serde(default)]
    pub media_type: String,
    /// What they must hash to.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// In an index: what the entry runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// In an index: what kind of artifact the entry is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Notes.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether the media type says that the blob is a `.wasm` file.
    pub(crate) fn is_module(&self) -> bool {
        MODULE_LAYERS.contains(&self.media_type.as_str())
    }
}

/// What an index entry runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Go's GOARCH, or `wasm`, `wasm32`.
    #[serde(default)]
    pub architecture: String,
    /// Go's GOOS, or `wasi`, `wasip1`, `wasip2`.
    #[serde(default)]
    pub os: String,
    /// `v7` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// What it claims to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Notes.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Several images under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// The entries.
    pub manifests: Vec<Descriptor>,
}

/// Either, as a registry answers a manifest request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several.
    Index(Index),
}

/// Reads the answer to a manifest request. The content decides, not the header.
pub fn parse(bytes: &[u8]) -> Result<Document, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: Option<u32>,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        config: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if shape.schema_version == Some(1) {
        return Err("it is a Docker schema 1 manifest, which registries and Docker itself have \
                    given up; push the image again with a current tool"
            .to_owned());
    }
    // A document that is both could mean different images to different readers.
    match (shape.manifests.is_some(), shape.config.is_some()) {
        (true, false) => serde_json::from_slice(bytes).map(Document::Index),
        (false, true) => {
            serde_json::from_slice(bytes).map(|manifest| Document::Manifest(Box::new(manifest)))
        }
        (true, true) => return Err("it has both \"manifests\" and \"config\"".to_owned()),
        (false, false) => return Err("it has neither \"manifests\" nor \"config\"".to_owned()),
    }
    .map_err(|error| error.to_string())
}

/// The config blob of an ordinary image.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigFile {
    pub(crate) created: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) architecture: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) os: String,
    #[serde(deserialize_with = "null_is_default")]
    config: Execution,
    #[serde(deserialize_with = "null_is_default")]
    rootfs: RootFs,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RootFs {
    #[serde(deserialize_with = "null_is_default")]
    diff_ids: Vec<Digest>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Execution {
    #[serde(deserialize_with = "null_is_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    user: String,
    #[serde(deserialize_with = "null_is_default")]
    working_dir: String,
    stop_signal: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

impl ConfigFile {
    /// Reads a config blob; artifacts without one (`{}`) give the defaults.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// Digests of the uncompressed layers, lowest first.
    pub(crate) fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }

    /// `os/architecture`, empty parts left out.
    pub(crate) fn platform(&self) -> Platform {
        Platform { architecture: self.architecture.clone(), os: self.os.clone(), variant: None }
    }

    pub(crate) fn created(&self) -> Option<Timestamp> {
        self.created.as_deref().and_then(|text| text.parse().ok())
    }

    pub(crate) fn execution(&self) -> ImageConfig {
        let config = &self.config;
        ImageConfig {
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            env: config
                .env
                .iter()
                .map(|pair| match pair.split_once('=') {
                    Some((name, value)) => (name.to_owned(), value.to_owned()),
                    None => (pair.clone(), String::new()),
                })
                .collect(),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
            stop_signal: config.stop_signal.clone().filter(|signal| !signal.is_empty()),
            exposed_ports: config.exposed_ports.keys().cloned().collect(),
            labels: config.labels.clone(),
        }
    }
}

/// Go writes `null` for empty slices and maps.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media: &str) -> serde_json::Value {
        serde_json::json!({"mediaType": media, "digest": Digest::of(b"x").to_string(), "size": 1})
    }

    #[test]
    fn content_decides_what_a_document_is() {
        let manifest = serde_json::json!({"schemaVersion": 2, "config": descriptor("c"),
            "layers": [descriptor("l")], "annotations": null});
        assert!(matches!(parse(manifest.to_string().as_bytes()), Ok(Document::Manifest(_))));
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor("m")]});
        assert!(matches!(parse(index.to_string().as_bytes()), Ok(Document::Index(_))));
        let both = serde_json::json!({"schemaVersion": 2, "config": descriptor("c"), "layers": [],
            "manifests": []});
        assert!(parse(both.to_string().as_bytes()).is_err());
        let old = parse(br#"{"schemaVersion": 1, "fsLayers": []}"#).unwrap_err();
        assert!(old.contains("schema 1"), "{old}");
        assert!(parse(b"<html>").is_err());
        let weak = serde_json::json!({"schemaVersion": 2, "layers": [],
            "config": {"mediaType": "c", "digest": "md5:00", "size": 1}});
        assert!(parse(weak.to_string().as_bytes()).unwrap_err().contains("sha256"));
    }

    #[test]
    fn config_survives_nulls_and_odd_values() {
        let file = ConfigFile::parse(
            br#"{"architecture":"amd64","os":"linux","created":"not a time",
                "config":{"Entrypoint":null,"Cmd":["/bin/sh"],"Env":["A=b=c","EMPTY"],
                "ExposedPorts":{"80/tcp":{}},"StopSignal":"","Labels":null},"rootfs":null}"#,
        )
        .unwrap();
        let config = file.execution();
        assert_eq!(config.cmd, ["/bin/sh"]);
        assert_eq!(config.env[0], ("A".to_owned(), "b=c".to_owned()));
        assert_eq!(config.env[1], ("EMPTY".to_owned(), String::new()));
        assert_eq!(config.exposed_ports, ["80/tcp"]);
        assert_eq!(config.stop_signal, None);
        assert_eq!(file.created(), None);
        assert!(file.diff_ids().is_empty());
        assert!(ConfigFile::parse(b"{}").is_ok());
    }
}
