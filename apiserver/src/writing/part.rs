//! What is written, how, and who comes to own it.

use api::apply::Change;
use api::resources::Resource;
use serde_json::Value;

use crate::context::now;
use crate::request::options::WriteOptions;

/// Which part of an object an update is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The object.
    Main,
    /// Its `/status`.
    Status,
    /// Another subresource that shows the object itself, such as `approval`.
    Subresource(&'static str),
    /// Its replicas, through `/scale`.
    Scale,
    /// The finalizers of a namespace, through `/finalize`: no strategy involved.
    Finalize,
    /// What the server itself makes of a binding: no strategy involved, and nobody owns it.
    Raw,
}

impl Part {
    /// The subresource through which somebody comes to own what is written, "" for the object;
    /// `None` if nobody does.
    pub(crate) fn subresource(self) -> Option<&'static str> {
        match self {
            Part::Main => Some(""),
            Part::Status => Some("status"),
            Part::Subresource(name) => Some(name),
            Part::Scale => Some("scale"),
            Part::Finalize => Some("finalize"),
            Part::Raw => None,
        }
    }
}

/// How an object is written.
#[derive(Clone, Copy)]
pub(crate) struct Write<'a> {
    part: Part,
    options: &'a WriteOptions,
    /// Whether the new object comes with its managers: an apply keeps account itself.
    applied: bool,
}

impl<'a> Write<'a> {
    /// A create, update or patch: whoever changes a field owns it.
    pub(crate) fn new(part: Part, options: &'a WriteOptions) -> Self {
        Self { part, options, applied: false }
    }

    /// A server-side apply: the new object says who owns what.
    pub(crate) fn applied(part: Part, options: &'a WriteOptions) -> Self {
        Self { part, options, applied: true }
    }

    /// What is written.
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// Whether everything but the write itself is wanted.
    pub(crate) fn dry_run(&self) -> bool {
        self.options.dry_run
    }

    /// Keeps account of who owns what. `live`: the object as it was, null for a new one.
    pub(crate) fn track(&self, resource: &Resource, live: &Value, new: &mut Value) {
        let Some(subresource) = self.part.subresource().filter(|_| !self.applied) else { return };
        resource.strategy.default(new);
        let change = Change { manager: &self.options.manager, subresource, now: now() };
        api::apply::track(resource, live, new, &change);
    }
}
