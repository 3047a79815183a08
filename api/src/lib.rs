//! The Kubernetes API as data: what kinds exist, and every decision about an object that needs
//! neither a clock nor a disk.
//!
//! The crate is pure. The API server calls it on every request, and the other components use the
//! same helpers (selectors, quantities, pod readiness), so that one answer exists to "is this pod
//! ready" or "does this selector match".
//!
//! How a request passes through, in the order the API server calls:
//!
//! 1. [`resources`] finds the row of the one table that rules the API.
//! 2. [`decode`] turns the body into a clean [`serde_json::Value`] of that kind and reports unknown
//!    and duplicate fields ([`protobuf`] makes JSON of it before); [`patch`] makes the new object
//!    out of the old one instead.
//! 3. [`lifecycle`] runs the row's [`strategy`]: defaulting, preparation, validation.
//! 4. [`custom`] makes rows of CustomResourceDefinitions, and has the strategy of their objects.
//! 5. [`status`] words what went wrong; [`table`], [`discovery`] and [`openapi`] word the rest.
//!
//! Objects travel as `serde_json::Value` whose maps are sorted by key, so equal objects encode to
//! equal bytes.

pub mod apply;
pub mod cel;
pub mod custom;
pub mod decode;
pub mod discovery;
pub mod duration;
pub mod field;
mod go_regexp;
pub mod lifecycle;
pub mod meta;
pub mod names;
pub mod node_selector;
pub mod openapi;
pub mod owner;
pub mod patch;
pub mod pod;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod resource_claim;
pub mod resources;
pub mod schedule;
pub mod schema;
pub mod selector;
pub mod status;
pub mod strategy;
pub mod table;
