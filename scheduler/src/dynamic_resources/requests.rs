//! What a claim asks for, request by request, with its classes looked up. Pure.

use k8s_openapi::api::resource::v1::{
    DeviceClass, DeviceRequest, DeviceSelector, DeviceToleration, ResourceClaim,
};
use kube::ResourceExt;

use super::Devices;

/// How many devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    /// So many.
    Exactly(usize),
    /// All that there are, and at least one.
    All,
}

/// One way to satisfy a request.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// Name of the request.
    pub(super) request: &'a str,
    /// Name of the alternative, if there are any.
    pub(super) alternative: Option<&'a str>,
    pub(super) class: &'a DeviceClass,
    pub(super) amount: Amount,
    /// To look at devices, even if they are somebody's.
    pub(super) admin: bool,
    pub(super) selectors: &'a [DeviceSelector],
    pub(super) tolerations: &'a [DeviceToleration],
}

impl Wanted<'_> {
    /// `request` or `request/alternative`.
    pub(super) fn name(&self) -> String {
        match self.alternative {
            Some(alternative) => format!("{}/{alternative}", self.request),
            None => self.request.to_owned(),
        }
    }

    /// Whether a list of requests means it: the request with all alternatives, or this one.
    pub(super) fn is_among(&self, names: &[String]) -> bool {
        names.iter().any(|name| name == self.request || *name == self.name())
    }
}

/// The fields that exact requests and alternatives have in common.
struct Fields<'a> {
    name: Option<&'a str>,
    class: &'a str,
    mode: Option<&'a str>,
    count: Option<i64>,
    admin: Option<bool>,
    selectors: Option<&'a Vec<DeviceSelector>>,
    tolerations: Option<&'a Vec<DeviceToleration>>,
    capacity: bool,
}

/// The alternatives of every request of a claim, best first. One that names no alternatives has one.
///
/// # Errors
/// Why the claim cannot be satisfied as it is.
pub(super) fn wanted<'a>(
    claim: &'a ResourceClaim,
    devices: &'a Devices,
) -> Result<Vec<Vec<Wanted<'a>>>, String> {
    let requests = claim.spec.devices.iter().flat_map(|devices| devices.requests.iter().flatten());
    requests
        .map(|request| {
            let fields = fields(request);
            if fields.is_empty() {
                return Err(format!("request {}: unsupported request type", request.name));
            }
            fields.into_iter().map(|fields| read(claim, request, fields, devices)).collect()
        })
        .collect()
}

fn fields(request: &DeviceRequest) -> Vec<Fields<'_>> {
    if let Some(exactly) = &request.exactly {
        return vec![Fields {
            name: None,
            class: &exactly.device_class_name,
            mode: exactly.allocation_mode.as_deref(),
            count: exactly.count,
            admin: exactly.admin_access,
            selectors: exactly.selectors.as_ref(),
            tolerations: exactly.tolerations.as_ref(),
            capacity: exactly.capacity.is_some(),
        }];
    }
    let alternatives = request.first_available.iter().flatten().map(|one| Fields {
        name: Some(&one.name),
        class: &one.device_class_name,
        mode: one.allocation_mode.as_deref(),
        count: one.count,
        admin: None,
        selectors: one.selectors.as_ref(),
        tolerations: one.tolerations.as_ref(),
        capacity: one.capacity.is_some(),
    });
    alternatives.collect()
}

fn read<'a>(
    claim: &'a ResourceClaim,
    request: &'a DeviceRequest,
    fields: Fields<'a>,
    devices: &'a Devices,
) -> Result<Wanted<'a>, String> {
    let name = match fields.name {
        Some(alternative) => format!("{}/{alternative}", request.name),
        None => request.name.clone(),
    };
    let failed = |why: String| {
        let namespace = claim.namespace().unwrap_or_default();
        format!("claim {namespace}/{}, request {name}: {why}", claim.name_any())
    };
    if fields.capacity {
        let why = "asks for a share of a device's capacity, which is not supported";
        return Err(failed(why.to_owned()));
    }
    let Some(class) = devices.class(fields.class) else {
        return Err(format!("request {name}: device class {} does not exist", fields.class));
    };
    let amount = match fields.mode {
        None | Some("ExactCount" | "") => {
            let count = fields.count.filter(|count| *count > 0).unwrap_or(1);
            Amount::Exactly(usize::try_from(count).unwrap_or(usize::MAX))
        }
        Some("All") => Amount::All,
        Some(other) => return Err(failed(format!("unsupported count mode {other}"))),
    };
    Ok(Wanted {
        request: &request.name,
        alternative: fields.name,
        class,
        amount,
        admin: fields.admin == Some(true),
        selectors: fields.selectors.map(Vec::as_slice).unwrap_or_default(),
        tolerations: fields.tolerations.map(Vec::as_slice).unwrap_or_default(),
    })
}
