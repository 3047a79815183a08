//! Rows of Endpoints and EndpointSlices.

use super::*;

pub(crate) const ENDPOINTS: Printer = Printer::new("Endpoints", |object, now| {
    vec![name(object), endpoints::of_subsets(object).into(), age(object, now)]
});

pub(crate) const ENDPOINT_SLICE: Printer = Printer::new("EndpointSlice", |object, now| {
    vec![
        name(object),
        cell(object, "/addressType"),
        endpoints::slice_ports(object).into(),
        endpoints::slice_addresses(object).into(),
        age(object, now),
    ]
});
