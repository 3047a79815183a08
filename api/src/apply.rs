//! Server-side apply and `metadata.managedFields`: which client owns which fields of an object.
//!
//! Every write leaves a trace. [`track`] notes who created, updated or patched what; [`apply()`]
//! merges a configuration of which the client owns every field that it names. The API server calls
//! one of them on every write, after defaulting and before the strategy prepares the object, so
//! that what the server itself fills in (an allocated address, a status) belongs to nobody.
//!
//! Inside: a [`FieldSet`] is a tree of [`Element`]s, written as `fieldsV1`; [`place`](self) says
//! how the value at a place merges; comparing, merging and removing walk two values by it.
//!
//! The model is that of sigs.k8s.io/structured-merge-diff as kube-apiserver v1.36 uses it:
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>.

mod compare;
mod config;
mod conflict;
mod element;
mod fields_v1;
mod last_applied;
mod managers;
mod merge;
mod place;
mod remove;
mod scale;
mod server_side;
mod set;
mod track;

use std::sync::LazyLock;

use jiff::Timestamp;

use crate::resources::Resource;

pub use element::{Element, ElementError};
pub use scale::apply_scale;
pub use server_side::apply;
pub use set::FieldSet;
pub use track::track;

/// Who writes, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The manager's name: `fieldManager` of the request, or what its User-Agent says.
    pub manager: &'a str,
    /// The subresource that is written, "" for the object itself.
    pub subresource: &'a str,
    /// The current time.
    pub now: Timestamp,
}

impl Change<'_> {
    /// The name under which the manager is kept.
    fn name(&self) -> &str {
        if self.manager.is_empty() { "unknown" } else { self.manager }
    }
}

/// Leaves of a set what a write through a subresource can come to own.
fn ownable(resource: &Resource, subresource: &str, mut set: FieldSet) -> FieldSet {
    let strategy = &resource.strategy;
    match strategy.written_fields(subresource) {
        Some(paths) => set.within(paths),
        None => {
            let reset = strategy.reset_fields(subresource).iter().copied();
            set.subtract_below(&FieldSet::of_paths(reset));
            set
        }
    }
}

/// What identifies the object and what only the server writes: nobody owns these.
fn server_fields() -> &'static FieldSet {
    static FIELDS: LazyLock<FieldSet> = LazyLock::new(|| {
        let mut set = FieldSet::of_paths([&["apiVersion"][..], &["kind"], &["metadata"]]);
        for name in [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        ] {
            set.insert(&[Element::field("metadata"), Element::field(name)]);
        }
        set
    });
    &FIELDS
}

#[cfg(test)]
mod tests;
