//! Rows of definitions.

use super::*;

pub(crate) const CUSTOM_RESOURCE_DEFINITION: Printer =
    Printer::new("CustomResourceDefinition", |object, _| {
        vec![name(object), cell(object, "/metadata/creationTimestamp")]
    });
