//! `apiextensions.k8s.io`: the definitions of custom resources.

use super::*;
use crate::strategy::apiextensions::CustomResourceDefinition;

pub(super) fn rows() -> Vec<Resource> {
    let row = row(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "customresourcedefinition",
        CustomResourceDefinition,
    );
    vec![
        row.cluster()
            .short("crd")
            .short("crds")
            .category("api-extensions")
            .hash("jfWCUB31mvA=")
            .schema("apiextensions.v1.CustomResourceDefinition")
            .sub("status", "CustomResourceDefinition", READ_WRITE)
            .printer(table::apiextensions::CUSTOM_RESOURCE_DEFINITION),
    ]
}
