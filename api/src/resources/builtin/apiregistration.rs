//! The rows of `apiregistration.k8s.io`.

use super::*;

const GROUP: &str = "apiregistration.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "APIService",
            "apiservices",
            "apiservice",
            strategy::apiregistration::ApiService,
        )
        .cluster()
        .category("api-extensions")
        .hash("InPBPD7+PqM=")
        .schema("apiregistration.v1.APIService")
        .printer(table::apiregistration::API_SERVICE)
        .sub("status", "APIService", READ_WRITE),
    ]
}
