//! Pods that no selector can tell apart.
//!
//! Pods of one workload have the same labels: counted per class and node, a selector is asked once
//! per class and not once per pod.

use std::collections::HashMap;
use std::sync::Arc;

use crate::affinity::Labels;
use crate::pod::PodInfo;

/// Place of a class in the table; given again once no pod is in it.
pub type ClassId = u32;

/// What the pods of a class share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Class {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    pub labels: Arc<Labels>,
    /// Whether they are being deleted: such pods are not spread any more.
    pub deleting: bool,
}

/// The classes of all placed pods.
#[derive(Debug, Default)]
pub(super) struct Classes {
    ids: HashMap<Class, ClassId>,
    table: Vec<(Class, usize)>,
    free: Vec<ClassId>,
}

impl Classes {
    /// Counts a pod in and names its class.
    pub(super) fn enter(&mut self, pod: &PodInfo) -> ClassId {
        let class = Class {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            deleting: pod.deleting,
        };
        if let Some(id) = self.ids.get(&class) {
            self.table[*id as usize].1 += 1;
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.table.push((class.clone(), 0));
            ClassId::try_from(self.table.len() - 1).expect("fewer classes than pods")
        });
        self.table[id as usize] = (class.clone(), 1);
        self.ids.insert(class, id);
        id
    }

    /// Counts a pod out.
    pub(super) fn leave(&mut self, id: ClassId) {
        let (class, pods) = &mut self.table[id as usize];
        *pods -= 1;
        if *pods == 0 {
            self.ids.remove(class);
            self.free.push(id);
        }
    }

    /// The labels the class keeps, to be shared by its pods.
    pub(super) fn labels(&self, id: ClassId) -> &Arc<Labels> {
        &self.table[id as usize].0.labels
    }

    /// For every id whether `matches` says so of its class.
    pub(super) fn select(&self, matches: impl Fn(&Class) -> bool) -> Vec<bool> {
        self.table.iter().map(|(class, pods)| *pods > 0 && matches(class)).collect()
    }
}
