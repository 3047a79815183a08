//! The rows of `flowcontrol.apiserver.k8s.io`.

use super::*;
use strategy::flowcontrol;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(GROUP, "FlowSchema", "flowschemas", "flowschema", flowcontrol::FlowSchema)
            .cluster()
            .hash("GJVAJZSZBIw=")
            .schema("flowcontrol.v1.FlowSchema")
            .printer(table::flowcontrol::FLOW_SCHEMA)
            .sub("status", "FlowSchema", READ_WRITE),
        row(
            GROUP,
            "PriorityLevelConfiguration",
            "prioritylevelconfigurations",
            "prioritylevelconfiguration",
            flowcontrol::PriorityLevelConfiguration,
        )
        .cluster()
        .hash("Kir5PVfvNeI=")
        .schema("flowcontrol.v1.PriorityLevelConfiguration")
        .printer(table::flowcontrol::PRIORITY_LEVEL_CONFIGURATION)
        .sub("status", "PriorityLevelConfiguration", READ_WRITE),
    ]
}
