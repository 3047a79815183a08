//! What the devices of a claim must have in common, or must not. Pure.

use k8s_openapi::api::resource::v1::{Device, DeviceAttribute, DeviceConstraint, ResourceClaim};
use kube::ResourceExt;

use super::DeviceId;
use super::requests::Wanted;

/// A constraint with the values of the devices that were chosen under it.
#[derive(Debug)]
pub(super) struct Constraint<'a> {
    /// The requests it is about; none stands for all.
    requests: &'a [String],
    /// `domain/name`.
    attribute: &'a str,
    /// The values must be different, not the same.
    distinct: bool,
    chosen: Vec<&'a DeviceAttribute>,
}

/// The constraints of a claim.
///
/// # Errors
/// Names one that this scheduler does not know.
pub(super) fn constraints(claim: &ResourceClaim) -> Result<Vec<Constraint<'_>>, String> {
    let all = claim.spec.devices.iter().flat_map(|devices| devices.constraints.iter().flatten());
    all.enumerate().map(|(at, constraint)| read(claim, at, constraint)).collect()
}

fn read<'a>(
    claim: &ResourceClaim,
    at: usize,
    constraint: &'a DeviceConstraint,
) -> Result<Constraint<'a>, String> {
    let (attribute, distinct) = match (&constraint.match_attribute, &constraint.distinct_attribute)
    {
        (Some(attribute), None) => (attribute.as_str(), false),
        (None, Some(attribute)) => (attribute.as_str(), true),
        _ => {
            let why = "empty constraint (unsupported constraint type?)";
            let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
            return Err(format!("claim {namespace}/{name}, constraint #{at}: {why}"));
        }
    };
    let requests = constraint.requests.as_deref().unwrap_or_default();
    Ok(Constraint { requests, attribute, distinct, chosen: Vec::new() })
}

impl<'a> Constraint<'a> {
    fn concerns(&self, wanted: &Wanted<'_>) -> bool {
        self.requests.is_empty() || wanted.is_among(self.requests)
    }

    /// Takes a device in; whether it may be.
    pub(super) fn add(&mut self, wanted: &Wanted<'_>, id: &DeviceId, device: &'a Device) -> bool {
        if !self.concerns(wanted) {
            return true;
        }
        let Some(value) = attribute(device, &id.driver, self.attribute) else { return false };
        let fits = if self.distinct {
            !self.chosen.contains(&value)
        } else {
            self.chosen.first().is_none_or(|first| *first == value)
        };
        if fits {
            self.chosen.push(value);
        }
        fits
    }

    /// Takes the last device of a request out again.
    pub(super) fn remove(&mut self, wanted: &Wanted<'_>) {
        if self.concerns(wanted) {
            self.chosen.pop();
        }
    }
}

/// An attribute by its full name; those of the driver's own domain may be published without it.
fn attribute<'a>(device: &'a Device, driver: &str, name: &str) -> Option<&'a DeviceAttribute> {
    let attributes = device.attributes.as_ref()?;
    attributes.get(name).or_else(|| {
        let (domain, own) = name.split_once('/')?;
        if domain == driver { attributes.get(own) } else { None }
    })
}
