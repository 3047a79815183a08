//! What an image is, once it is on this node.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use crate::wasm;

/// An image that is complete on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Canonical references that name it (`docker.io/library/hello:latest`); empty once untagged.
    pub names: Vec<String>,
    /// Digest of the platform's manifest: the image's identity in this store.
    pub digest: Digest,
    /// Digest of the index it was chosen from, when there was one.
    pub index_digest: Option<Digest>,
    /// Bytes of config and layers as the registry counts them (compressed).
    pub size: u64,
    /// When it was built, if its config says so.
    pub created: Option<Timestamp>,
    /// When it came to this node.
    pub added: Timestamp,
    /// `linux/amd64`, `wasip1/wasm`, … as its config says.
    pub platform: String,
    /// How it wants to be started.
    pub config: ImageConfig,
    /// What it runs.
    pub kind: ImageKind,
}

/// How an image wants to be started. Source: OCI image-spec, config.md.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Environment in the image's order.
    pub env: Vec<(String, String)>,
    /// `user[:group]`, names or numbers; empty means root.
    pub user: String,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// Signal that asks for an end (`SIGQUIT`, `3`); `None` means SIGTERM.
    pub stop_signal: Option<String>,
    /// Ports it says it listens on (`80/tcp`).
    pub exposed_ports: Vec<String>,
    /// Labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// What an image runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageKind {
    /// Native code on a root file system.
    Native {
        /// Layer directories, topmost first: the order of overlayfs' `lowerdir=`.
        lowerdirs: Vec<PathBuf>,
    },
    /// A WebAssembly module or component; its machine code comes from
    /// [`super::ImageStore::ensure_compiled`].
    Wasm {
        /// The verified `.wasm` bytes.
        module: PathBuf,
        /// Their digest, the key of the code cache.
        module_digest: Digest,
        /// Which interface it speaks.
        world: wasm::World,
    },
}
