//! The rows of `storage.k8s.io`.

use super::*;
use strategy::storage;

const GROUP: &str = "storage.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(GROUP, "CSIDriver", "csidrivers", "csidriver", storage::CsiDriver)
            .cluster()
            .hash("hL6j/rwBV5w=")
            .schema("storage.v1.CSIDriver")
            .printer(table::storage::CSI_DRIVER),
        row(GROUP, "CSINode", "csinodes", "csinode", storage::CsiNode)
            .cluster()
            .hash("Pe62DkZtjuo=")
            .schema("storage.v1.CSINode")
            .printer(table::storage::CSI_NODE),
        row(
            GROUP,
            "CSIStorageCapacity",
            "csistoragecapacities",
            "csistoragecapacity",
            storage::CsiStorageCapacity,
        )
        .hash("xeVl+2Ly1kE=")
        .schema("storage.v1.CSIStorageCapacity")
        .printer(table::storage::CSI_STORAGE_CAPACITY),
        row(GROUP, "StorageClass", "storageclasses", "storageclass", storage::StorageClass)
            .cluster()
            .short("sc")
            .hash("K+m6uJwbjGY=")
            .schema("storage.v1.StorageClass")
            .printer(table::storage::STORAGE_CLASS),
        row(
            GROUP,
            "VolumeAttachment",
            "volumeattachments",
            "volumeattachment",
            storage::VolumeAttachment,
        )
        .cluster()
        .hash("tJx/ezt6UDU=")
        .schema("storage.v1.VolumeAttachment")
        .printer(table::storage::VOLUME_ATTACHMENT)
        .sub("status", "VolumeAttachment", READ_WRITE),
        row(
            GROUP,
            "VolumeAttributesClass",
            "volumeattributesclasses",
            "volumeattributesclass",
            storage::VolumeAttributesClass,
        )
        .cluster()
        .short("vac")
        .hash("tIjydgKBC5w=")
        .schema("storage.v1.VolumeAttributesClass")
        .printer(table::storage::VOLUME_ATTRIBUTES_CLASS),
    ]
}
