//! Custom resources: from CustomResourceDefinitions in the store to rows that are served.
//!
//! ```text
//!   definitions (watch cache) ──▶ Controller ──▶ Registry ──▶ dispatch, discovery, OpenAPI
//!                                   │    └─────▶ Feed: a cache per served version
//!                                   └──▶ status of the definitions, cleanup of deleted ones
//! ```
//!
//! What a definition means is decided in [`api::custom`]. The `controller` runs when a
//! definition changes, looks at all of them, and makes the `registry` what they ask for. It serves
//! first and says so afterwards: who sees `Established` can create objects. A definition that is
//! deleted keeps a finalizer until `cleanup` has deleted its objects.

mod cleanup;
mod controller;
mod registry;

pub(crate) use controller::Controller;
pub(crate) use registry::Registry;
