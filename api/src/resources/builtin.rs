//! The rows of the built-in kinds: a file per group, and the words in which a row is written.

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod certificates;
mod coordination;
mod core;
mod discovery;
mod events;
mod flowcontrol;
mod metrics;
mod networking;
mod node;
mod policy;
mod rbac;
mod resource;
mod scheduling;
mod storage;

use std::sync::Arc;

use super::{GroupResource, Resource, Scope, SelectableField, Subresource, Text, Verb};
use crate::strategy::{self, Strategy};
use crate::table::{self, Printer};

use Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};

const ALL: &[Verb] = &[Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch];
/// Namespaces cannot be deleted in bulk.
const NO_COLLECTION_DELETE: &[Verb] = &[Create, Delete, Get, List, Patch, Update, Watch];
const CREATE: &[Verb] = &[Create];
const GET: &[Verb] = &[Get];
/// Computed when they are read.
const GET_LIST: &[Verb] = &[Get, List];
const UPDATE: &[Verb] = &[Update];
const READ_WRITE: &[Verb] = &[Get, Patch, Update];
/// Connections that begin with a GET or a POST.
const CONNECT: &[Verb] = &[Create, Get];
/// Whatever is behind a proxy can be asked in any way.
const PROXY: &[Verb] = &[Create, Delete, Get, Patch, Update];

/// The rows, in discovery order.
pub(super) fn rows() -> Vec<Arc<Resource>> {
    // The order is that of discovery.
    let groups = [
        core::rows(),
        apiregistration::rows(),
        apps::rows(),
        events::rows(),
        authentication::rows(),
        authorization::rows(),
        autoscaling::rows(),
        batch::rows(),
        certificates::rows(),
        networking::rows(),
        policy::rows(),
        rbac::rows(),
        storage::rows(),
        admissionregistration::rows(),
        apiextensions::rows(),
        scheduling::rows(),
        coordination::rows(),
        node::rows(),
        discovery::rows(),
        resource::rows(),
        flowcontrol::rows(),
        metrics::rows(),
    ];
    groups.into_iter().flatten().map(Arc::new).collect()
}

fn row(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    strategy: impl Strategy + 'static,
) -> Resource {
    Resource {
        group: Text::Borrowed(group),
        version: Text::Borrowed("v1"),
        kind: Text::Borrowed(kind),
        plural: Text::Borrowed(plural),
        singular: Text::Borrowed(singular),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: Scope::Namespaced,
        verbs: ALL,
        subresources: Vec::new(),
        selectable_fields: Vec::new(),
        stored_as: GroupResource::new(group, plural),
        stored_version: Text::Borrowed("v1"),
        storage_version_hash: Text::Borrowed(""),
        schema_type: Text::Borrowed(""),
        deprecation: Text::Borrowed(""),
        strategy: Arc::new(strategy),
        printer: table::NAME_AND_AGE,
    }
}

/// The words in which a row is written.
impl Resource {
    fn cluster(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    fn verbs(mut self, verbs: &'static [Verb]) -> Self {
        self.verbs = verbs;
        self
    }

    fn short(mut self, name: &'static str) -> Self {
        self.short_names.push(Text::Borrowed(name));
        self
    }

    fn category(mut self, name: &'static str) -> Self {
        self.categories.push(Text::Borrowed(name));
        self
    }

    fn hash(mut self, hash: &'static str) -> Self {
        self.storage_version_hash = Text::Borrowed(hash);
        self
    }

    fn schema(mut self, name: &'static str) -> Self {
        self.schema_type = Text::Borrowed(name);
        self
    }

    fn deprecated(mut self, warning: &'static str) -> Self {
        self.deprecation = Text::Borrowed(warning);
        self
    }

    fn printer(mut self, printer: Printer) -> Self {
        self.printer = printer;
        self
    }

    /// Another version than v1, stored as itself unless [`Resource::stored_version`] follows.
    fn version(mut self, version: &'static str) -> Self {
        self.version = Text::Borrowed(version);
        self.stored_version = Text::Borrowed(version);
        self
    }

    fn stored_version(mut self, version: &'static str) -> Self {
        self.stored_version = Text::Borrowed(version);
        self
    }

    fn stored_as(mut self, group: &'static str, resource: &'static str) -> Self {
        self.stored_as = GroupResource::new(group, resource);
        self
    }

    fn sub(self, name: &'static str, kind: &'static str, verbs: &'static [Verb]) -> Self {
        self.foreign_sub(name, ("", "", kind), verbs)
    }

    fn foreign_sub(
        mut self,
        name: &'static str,
        (group, version, kind): (&'static str, &'static str, &'static str),
        verbs: &'static [Verb],
    ) -> Self {
        self.subresources.push(Subresource {
            name: Text::Borrowed(name),
            group: Text::Borrowed(group),
            version: Text::Borrowed(version),
            kind: Text::Borrowed(kind),
            verbs,
        });
        self
    }

    fn fields(mut self, fields: &[(&'static str, &'static [&'static str])]) -> Self {
        self.selectable_fields = fields
            .iter()
            .map(|(name, paths)| SelectableField {
                name: Text::Borrowed(name),
                paths: paths.iter().map(|path| Text::Borrowed(*path)).collect(),
            })
            .collect();
        self
    }
}
