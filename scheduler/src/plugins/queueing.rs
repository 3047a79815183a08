//! Who may wait in the queue, and in which order.

use crate::cache::Cache;
use crate::framework::{PreEnqueue, QueueSort};
use crate::pod::PodInfo;

/// Pods with scheduling gates are not tried.
///
/// Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/>.
#[derive(Debug)]
pub struct SchedulingGates;

impl PreEnqueue for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn pre_enqueue(&self, pod: &PodInfo, _: &Cache) -> bool {
        pod.demands.gates.is_empty()
    }
}

/// Higher priority first, then the older pod.
#[derive(Debug)]
pub struct PrioritySort;

impl QueueSort for PrioritySort {
    fn name(&self) -> &'static str {
        "PrioritySort"
    }

    fn rank(&self, pod: &PodInfo) -> (i64, i64) {
        (-i64::from(pod.demands.priority), pod.created.as_microsecond())
    }
}
