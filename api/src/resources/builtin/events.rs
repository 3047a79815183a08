//! The rows of `events.k8s.io`.

use super::*;

const GROUP: &str = "events.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(GROUP, "Event", "events", "event", strategy::event_v1::EventV1)
            .short("ev")
            .stored_as("", "events")
            .hash("r2yiGXH7wu8=")
            .schema("events.v1.Event")
            .printer(table::event::EVENT)
            .fields(&[
                ("regarding.kind", &["regarding.kind"]),
                ("regarding.namespace", &["regarding.namespace"]),
                ("regarding.name", &["regarding.name"]),
                ("regarding.uid", &["regarding.uid"]),
                ("regarding.apiVersion", &["regarding.apiVersion"]),
                ("regarding.resourceVersion", &["regarding.resourceVersion"]),
                ("regarding.fieldPath", &["regarding.fieldPath"]),
                ("reason", &["reason"]),
                ("reportingController", &["reportingController"]),
                ("type", &["type"]),
            ]),
    ]
}
