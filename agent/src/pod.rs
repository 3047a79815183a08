//! One pod on this node: what it wants, what there is, what follows, and what is said about it.

pub(crate) mod apply;
pub(crate) mod backoff;
pub(crate) mod containers;
pub(crate) mod model;
pub(crate) mod observe;
pub(crate) mod plan;
pub(crate) mod qos;
pub(crate) mod resize;
pub(crate) mod restart;
pub(crate) mod status;
pub(crate) mod worker;
