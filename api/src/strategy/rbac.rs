//! Roles and bindings, in namespaces and for the whole cluster.

mod binding;
mod role;
#[cfg(test)]
mod tests;

pub(crate) use binding::Binding;
pub(crate) use role::Role;

/// The group of roles, users and groups.
const GROUP: &str = "rbac.authorization.k8s.io";
