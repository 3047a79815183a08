//! From the words of a pod spec to the runtime's: pure functions, one file per part of the container.

pub(crate) mod env;
pub(crate) mod expand;
pub(crate) mod field;
pub(crate) mod hosts;
pub(crate) mod resolv;
pub(crate) mod resources;
pub(crate) mod security;
pub(crate) mod services;
pub(crate) mod sysctl;
