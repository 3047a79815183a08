//! Everything that can be wrong with what people hand to a cluster: each gives a clear word in the
//! pod's status, in an event or in the answer, and the neighbours do not notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

mod disk;
mod images;
mod manifests;
mod registry;
mod scheduling;
mod witness;
