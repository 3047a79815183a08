//! The parameters that requests take.

use serde_json::{Value, json};

use super::form::Form;

/// A parameter in the path or the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// Its JSON type.
    kind: &'static str,
    in_path: bool,
}

impl Parameter {
    /// A parameter in the path.
    pub(super) const fn path(name: &'static str) -> Parameter {
        Parameter { name, kind: "string", in_path: true }
    }

    const fn text(name: &'static str) -> Parameter {
        Parameter { name, kind: "string", in_path: false }
    }

    const fn flag(name: &'static str) -> Parameter {
        Parameter { name, kind: "boolean", in_path: false }
    }

    const fn number(name: &'static str) -> Parameter {
        Parameter { name, kind: "integer", in_path: false }
    }

    /// As documents write it.
    pub(super) fn shown(&self, form: Form) -> Value {
        let place = if self.in_path { "path" } else { "query" };
        let mut shown = json!({"name": self.name, "in": place});
        match form {
            Form::V2 => shown["type"] = self.kind.into(),
            Form::V3 => shown["schema"] = json!({"type": self.kind}),
        }
        if self.in_path {
            shown["required"] = true.into();
        }
        shown
    }
}

/// Of every path.
pub(super) const PRETTY: Parameter = Parameter::text("pretty");

const DRY_RUN: Parameter = Parameter::text("dryRun");
const LABELS: Parameter = Parameter::text("labelSelector");
const FIELDS: Parameter = Parameter::text("fieldSelector");
const LIMIT: Parameter = Parameter::number("limit");
const CONTINUE: Parameter = Parameter::text("continue");
const VERSION: Parameter = Parameter::text("resourceVersion");
const MATCH: Parameter = Parameter::text("resourceVersionMatch");
const TIMEOUT: Parameter = Parameter::number("timeoutSeconds");
const INITIAL: Parameter = Parameter::flag("sendInitialEvents");
const GRACE: Parameter = Parameter::number("gracePeriodSeconds");
const ORPHAN: Parameter = Parameter::flag("orphanDependents");
const PROPAGATION: Parameter = Parameter::text("propagationPolicy");
const CONTAINER: Parameter = Parameter::text("container");

/// Of lists and watches.
pub(super) const LIST: &[Parameter] = &[
    Parameter::flag("allowWatchBookmarks"),
    CONTINUE,
    FIELDS,
    LABELS,
    LIMIT,
    VERSION,
    MATCH,
    INITIAL,
    TIMEOUT,
    Parameter::flag("watch"),
];

/// Of creations and replacements.
pub(super) const WRITE: &[Parameter] =
    &[DRY_RUN, Parameter::text("fieldManager"), Parameter::text("fieldValidation")];

/// Of patches.
pub(super) const PATCH: &[Parameter] = &[
    DRY_RUN,
    Parameter::text("fieldManager"),
    Parameter::text("fieldValidation"),
    Parameter::flag("force"),
];

/// Of deletions.
pub(super) const DELETE: &[Parameter] = &[DRY_RUN, GRACE, ORPHAN, PROPAGATION];

/// Of deletions of whole collections.
pub(super) const DELETE_COLLECTION: &[Parameter] = &[
    CONTINUE,
    DRY_RUN,
    FIELDS,
    GRACE,
    LABELS,
    LIMIT,
    ORPHAN,
    PROPAGATION,
    VERSION,
    MATCH,
    INITIAL,
    TIMEOUT,
];

/// Of a pod's log.
pub(super) const LOG: &[Parameter] = &[
    CONTAINER,
    Parameter::flag("follow"),
    Parameter::number("limitBytes"),
    Parameter::flag("previous"),
    Parameter::number("sinceSeconds"),
    Parameter::text("sinceTime"),
    Parameter::text("stream"),
    Parameter::number("tailLines"),
    Parameter::flag("timestamps"),
];

/// Of attaching to a container.
pub(super) const ATTACH: &[Parameter] = &[
    CONTAINER,
    Parameter::flag("stderr"),
    Parameter::flag("stdin"),
    Parameter::flag("stdout"),
    Parameter::flag("tty"),
];

/// Of a command in a container.
pub(super) const EXEC: &[Parameter] = &[
    Parameter::text("command"),
    CONTAINER,
    Parameter::flag("stderr"),
    Parameter::flag("stdin"),
    Parameter::flag("stdout"),
    Parameter::flag("tty"),
];

/// Of forwarded ports.
pub(super) const PORT_FORWARD: &[Parameter] = &[Parameter::number("ports")];

/// Of proxied requests.
pub(super) const PROXY: &[Parameter] = &[Parameter::text("path")];
