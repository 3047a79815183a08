//! Custom resources: what a CustomResourceDefinition makes of the API.
//!
//! A definition becomes a row of the table per served version ([`rows`]), with one strategy for
//! all of them (`Custom`) that goes by the version's structural schema: fields that the schema does not
//! name are dropped, what is missing is defaulted, and what is left is validated. The same happens
//! when an object is read from the store, so that a changed schema shows at once.
//!
//! [`accept`] decides whether the names of a definition are free, and what its conditions say.
//!
//! Source: k8s.io/apiextensions-apiserver,
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>.

pub(crate) mod columns;
pub(crate) mod default_rules;
mod defaults;
mod embedded;
pub(crate) mod field_path;
mod format;
mod json_path;
mod lists;
mod number;
mod prune;
mod row;
mod rule_expressions;
pub(crate) mod rules;
mod scale;
pub(crate) mod schema;
mod status;
mod strategy;
pub(crate) mod structural;
pub(crate) mod type_meta;
mod validate;
mod walk;

pub use row::{by_priority, rows};
pub use schema::Schema;
pub use status::{Acceptance, accept, is_established, terminating, violations};

pub(crate) use columns::Columns;
pub(crate) use status::{Approval, needs_approval};

/// The finalizer that keeps a definition until all of its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

#[cfg(test)]
mod tests;
