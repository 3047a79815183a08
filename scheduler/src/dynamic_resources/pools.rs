//! The pools of devices that one node reaches. Pure.
//!
//! A driver publishes a pool as slices of one generation; while it replaces them, slices of an older
//! generation do not count, and a pool of which some slices are missing is not used.

use std::collections::HashSet;
use std::sync::Arc;

use api::node_selector;
use k8s_openapi::api::core::v1::NodeSelector;
use k8s_openapi::api::resource::v1::Device;

use super::{DeviceId, Devices, Slice};
use crate::affinity::Labels;

/// Devices that a driver manages together.
#[derive(Debug)]
pub(crate) struct Pool {
    /// `driver/pool`.
    pub(super) name: String,
    /// Its slices of the newest generation; those for other nodes, too.
    pub(super) slices: Vec<Arc<Slice>>,
    /// Slices are missing: the driver is at work.
    pub(super) incomplete: bool,
    /// Two devices have one name.
    pub(super) invalid: bool,
}

/// A node, as far as devices are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its labels.
    pub(crate) labels: &'a Labels,
}

impl Place<'_> {
    fn is_meant(
        &self,
        name: Option<&str>,
        all: Option<bool>,
        selector: Option<&NodeSelector>,
    ) -> bool {
        match (name.filter(|name| !name.is_empty()), all, selector) {
            (Some(name), _, _) => name == self.name,
            (None, Some(true), _) => true,
            (None, _, Some(selector)) => node_selector::matches(selector, self.name, self.labels),
            (None, _, None) => false,
        }
    }

    /// Whether the node reaches any device of a slice.
    pub(super) fn reaches_slice(&self, slice: &Slice) -> bool {
        let spec = &slice.spec;
        if spec.per_device_node_selection == Some(true) {
            return spec.devices.iter().flatten().any(|device| self.reaches(slice, device));
        }
        self.is_meant(spec.node_name.as_deref(), spec.all_nodes, spec.node_selector.as_ref())
    }

    /// Whether the node reaches a device of a slice that it reaches.
    pub(super) fn reaches(&self, slice: &Slice, device: &Device) -> bool {
        slice.spec.per_device_node_selection != Some(true)
            || self.is_meant(
                device.node_name.as_deref(),
                device.all_nodes,
                device.node_selector.as_ref(),
            )
    }
}

/// The pools that a node reaches, in the order of their names.
pub(crate) fn pools(devices: &Devices, place: &Place<'_>) -> Vec<Pool> {
    let all = devices.pools_of(place.name).into_iter();
    let pools = all.filter_map(|((driver, pool), mut slices)| {
        let newest = slices.iter().map(|slice| slice.spec.pool.generation).max()?;
        slices.retain(|slice| slice.spec.pool.generation == newest);
        if !slices.iter().any(|slice| place.reaches_slice(slice)) {
            return None;
        }
        let wanted = slices.first()?.spec.pool.resource_slice_count;
        let mut names: HashSet<&DeviceId> = HashSet::new();
        let invalid = !slices.iter().flat_map(|slice| &slice.ids).all(|id| names.insert(id));
        Some(Pool {
            name: format!("{driver}/{pool}"),
            incomplete: usize::try_from(wanted) != Ok(slices.len()),
            invalid,
            slices: slices.into_iter().cloned().collect(),
        })
    });
    pools.collect()
}
