//! When a pod is available: ready for at least `minReadySeconds`.
//!
//! Source: k8s.io/kubernetes/pkg/api/v1/pod (IsPodAvailable).

use std::time::Duration;

use api::pod as pods;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

/// A pod is not looked at again sooner than this because of its age alone.
const SHORTEST_RECHECK: Duration = Duration::from_millis(100);

/// `minReadySeconds` of a spec; absent or negative is 0.
pub(crate) fn min_ready(seconds: Option<i32>) -> Duration {
    Duration::from_secs(u64::try_from(seconds.unwrap_or(0)).unwrap_or(0))
}

/// Whether the pod has been ready for long enough.
pub(crate) fn is_available(pod: &Pod, min_ready: Duration, now: Timestamp) -> bool {
    pods::is_ready(pod) && (min_ready.is_zero() || until_available(pod, min_ready, now).is_none())
}

/// How long until a ready pod is available. None: not ready, or available already.
fn until_available(pod: &Pod, min_ready: Duration, now: Timestamp) -> Option<Duration> {
    let ready = pods::condition(pod, "Ready").filter(|c| c.status == "True")?;
    let since = ready.last_transition_time.as_ref()?.0;
    let elapsed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    min_ready.checked_sub(elapsed).filter(|wait| !wait.is_zero())
}

/// When the next of the pods becomes available without anything else happening.
pub(crate) fn recheck<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    min_ready: Duration,
    now: Timestamp,
) -> Option<Duration> {
    let waits = pods.into_iter().filter_map(|pod| until_available(pod, min_ready, now));
    waits.min().map(|wait| wait.max(SHORTEST_RECHECK))
}
