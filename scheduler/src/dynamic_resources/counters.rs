//! Counters that devices share: partitions of one piece of hardware that cannot all be had at once. Pure.

use std::collections::HashMap;

use api::quantity::Quantity;
use k8s_openapi::api::resource::v1::Device;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::Devices;
use super::pools::Pool;

/// What is left of each counter, by the position of its pool, the name of its set and its own.
#[derive(Debug, Default)]
pub(super) struct Counters<'a>(HashMap<(usize, &'a str, &'a str), Quantity>);

/// A value that cannot be read is none: validation has seen to it.
fn read(text: &Text) -> Quantity {
    Quantity::try_from(text).unwrap_or(Quantity::ZERO)
}

fn consumed(device: &Device) -> impl Iterator<Item = (&str, &str, Quantity)> {
    device.consumes_counters.iter().flatten().flat_map(|set| {
        let counters = set.counters.iter();
        counters
            .map(|(name, counter)| (set.counter_set.as_str(), name.as_str(), read(&counter.value)))
    })
}

impl<'a> Counters<'a> {
    /// What taken devices, of other nodes as well, have left.
    pub(super) fn left(pools: &'a [Pool], devices: &Devices) -> Self {
        let mut left = Self::default();
        for (at, pool) in pools.iter().enumerate() {
            for set in
                pool.slices.iter().flat_map(|slice| slice.spec.shared_counters.iter().flatten())
            {
                for (name, counter) in &set.counters {
                    left.0.insert((at, &set.name, name), read(&counter.value));
                }
            }
            for slice in &pool.slices {
                for (device, id) in slice.spec.devices.iter().flatten().zip(&slice.ids) {
                    if device.consumes_counters.is_some() && devices.is_taken(id) {
                        left.change(at, device, |left, amount| left - amount);
                    }
                }
            }
        }
        left
    }

    fn change(
        &mut self,
        pool: usize,
        device: &'a Device,
        to: impl Fn(Quantity, Quantity) -> Quantity,
    ) {
        for (set, name, amount) in consumed(device) {
            if let Some(left) = self.0.get_mut(&(pool, set, name)) {
                *left = to(*left, amount);
            }
        }
    }

    /// Takes what a device needs; whether there is enough.
    pub(super) fn take(&mut self, pool: usize, device: &'a Device) -> bool {
        let enough = consumed(device).all(|(set, name, amount)| {
            self.0.get(&(pool, set, name)).is_some_and(|left| *left >= amount)
        });
        if enough {
            self.change(pool, device, |left, amount| left - amount);
        }
        enough
    }

    /// Gives it back.
    pub(super) fn give_back(&mut self, pool: usize, device: &'a Device) {
        self.change(pool, device, |left, amount| left + amount);
    }
}
