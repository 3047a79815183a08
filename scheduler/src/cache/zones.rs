//! How many pods of a group are in every zone.

use std::collections::HashMap;
use std::sync::Arc;

use crate::affinity::Labels;

/// The label of nodes that names their zone.
const LABEL: &str = "topology.kubernetes.io/zone";

/// Place of a zone in the table. Zones are few, and are never forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneId(pub(crate) usize);

/// The zones.
#[derive(Debug, Default)]
pub struct Zones {
    ids: HashMap<String, ZoneId>,
    groups: Vec<HashMap<Arc<str>, u32>>,
}

impl Zones {
    /// The zone that a node with these labels is in.
    pub(super) fn of(&mut self, labels: &Labels) -> Option<ZoneId> {
        let name = labels.get(LABEL)?;
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let id = ZoneId(self.groups.len());
        self.groups.push(HashMap::new());
        self.ids.insert(name.clone(), id);
        Some(id)
    }

    /// Counts pods of a group in.
    pub(super) fn enter(&mut self, zone: ZoneId, group: &Arc<str>, pods: u32) {
        *self.groups[zone.0].entry(group.clone()).or_default() += pods;
    }

    /// Counts them out again.
    pub(super) fn leave(&mut self, zone: ZoneId, group: &Arc<str>, pods: u32) {
        if let Some(count) = self.groups[zone.0].get_mut(group) {
            *count -= pods;
            if *count == 0 {
                self.groups[zone.0].remove(group);
            }
        }
    }

    /// How many pods of a group are in each zone, by [`ZoneId`].
    #[must_use]
    pub(crate) fn count(&self, group: &str) -> Vec<u32> {
        self.groups.iter().map(|zone| zone.get(group).copied().unwrap_or(0)).collect()
    }
}
