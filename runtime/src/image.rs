//! Images: from a registry, an archive or a plain `.wasm` file to something that can be started.
//!
//! An image takes one way through this folder, and no step trusts the one before it:
//!
//! 1. [`reference`] reads the name, [`registry`] fetches the [`manifest`] and picks the platform;
//!    for local files the loader plays the registry's part.
//! 2. `ingest` streams each blob to disk, hashing as it goes, and [`unpack`] turns a layer into a
//!    directory without ever leaving it. A layer is unpacked once, whoever refers to it.
//! 3. Content decides what the image is: the Wasm magic number makes it [`ImageKind::Wasm`],
//!    inspected and compiled then and there; anything else is [`ImageKind::Native`], a stack of
//!    overlay directories.
//! 4. `store` writes down the result. The record comes last: an image that can be found is
//!    complete, and what no record mentions is swept away.
//!
//! On disk, below the store's root (mode 0700):
//!
//! ```text
//! blobs/sha256/<hex>   manifests, configs and Wasm modules, named by their digest
//! layers/<hex>         unpacked layers, named by the digest of the uncompressed tar (diff_id)
//! records/<hex>.json   one per image, named by its manifest's digest
//! refs/<hex>.json      one per name, named by the digest of the name
//! compiled/            machine code of Wasm modules, kept by `crate::wasm::cache`
//! leases/<hex>         one per image that was ever started, locked while it is being started or removed
//! tmp/                 work in progress
//! lock                 shared while something is added, exclusive for the sweep
//! ```
//!
//! Compressed layers are not kept: the unpacked directory is what containers use. The disk is the
//! truth and nothing is cached in memory, so several processes may use one store.

pub mod digest;
mod error;
mod ingest;
pub mod manifest;
mod model;
pub mod reference;
pub mod registry;
mod sniff;
mod store;
pub mod unpack;

pub use digest::Digest;
pub use error::ImageError;
pub use ingest::{Phase, Progress, PullOptions, PushOptions};
pub use manifest::platform::Preference;
pub use model::{Image, ImageConfig, ImageKind};
pub use reference::{Reference, ReferenceError};
pub use registry::{Credentials, RegistryError};
pub use store::{ImageStore, ImageStoreConfig, Lease, Pruned, Removed};
