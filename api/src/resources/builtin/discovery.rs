//! The rows of `discovery.k8s.io`.

use super::*;

const GROUP: &str = "discovery.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "EndpointSlice",
            "endpointslices",
            "endpointslice",
            strategy::endpoint_slice::EndpointSlice,
        )
        .hash("qgS0xkrxYAI=")
        .schema("discovery.v1.EndpointSlice")
        .printer(table::discovery::ENDPOINT_SLICE),
    ]
}
