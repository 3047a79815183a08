//! Which pods of a Job go when there are too many.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::facts::{index, is_indexed};
use crate::replication::rank::sort_for_deletion;

/// At least `excess` of the active pods: those without a place (no index, an index that another
/// pod has as well), then those of least use.
pub(super) fn surplus(
    job: &Job,
    active: &[Arc<Pod>],
    excess: usize,
    now: Timestamp,
) -> Vec<Arc<Pod>> {
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    if is_indexed(job) {
        let mut by_index: BTreeMap<i32, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in active {
            match index(job, pod) {
                Some(index) => by_index.entry(index).or_default().push(pod.clone()),
                None => gone.push(pod.clone()),
            }
        }
        for mut same in by_index.into_values() {
            sort_for_deletion(&mut same, active, now);
            left.extend(same.pop());
            gone.extend(same);
        }
    } else {
        left = active.to_vec();
    }
    if gone.len() < excess {
        sort_for_deletion(&mut left, active, now);
        left.truncate(excess - gone.len());
        gone.extend(left);
    }
    gone
}
