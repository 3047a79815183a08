//! The rows of `resource.k8s.io`.

use super::*;
use strategy::resource;

const GROUP: &str = "resource.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(GROUP, "DeviceClass", "deviceclasses", "deviceclass", resource::DeviceClass)
            .cluster()
            .hash("Yk2PTc1Ybxk=")
            .schema("resource.v1.DeviceClass")
            .printer(table::resource::DEVICE_CLASS),
        row(GROUP, "ResourceClaim", "resourceclaims", "resourceclaim", resource::ResourceClaim)
            .hash("wgAZaHcZxUg=")
            .schema("resource.v1.ResourceClaim")
            .printer(table::resource::RESOURCE_CLAIM)
            .sub("status", "ResourceClaim", READ_WRITE),
        row(
            GROUP,
            "ResourceClaimTemplate",
            "resourceclaimtemplates",
            "resourceclaimtemplate",
            resource::ResourceClaimTemplate,
        )
        .hash("TuzjC49aUfM=")
        .schema("resource.v1.ResourceClaimTemplate")
        .printer(table::resource::RESOURCE_CLAIM_TEMPLATE),
        row(GROUP, "ResourceSlice", "resourceslices", "resourceslice", resource::ResourceSlice)
            .cluster()
            .hash("KsC072WgaEY=")
            .schema("resource.v1.ResourceSlice")
            .printer(table::resource::RESOURCE_SLICE)
            .fields(&[("spec.nodeName", &["spec.nodeName"]), ("spec.driver", &["spec.driver"])]),
    ]
}
