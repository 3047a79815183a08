//! The signs of life of all nodes, one after the other: each renews its Lease four times within the
//! grace period, as kubelets do, and reports its status every five minutes and when it comes back
//! from a silence.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::failures::Failures;
use super::node::{self, HollowNode};
use super::register::{lease, renew};
use super::status;
use super::write::{Nodes, WriteError, node_path};

/// How often a status is reported that is as before.
const REPORT: Duration = Duration::from_secs(300);
/// Renewals within the grace period.
const RENEWALS: u32 = 4;
/// A node that came back reports so often: the controller that had given it up may be writing.
const REPORTS_AFTER_SILENCE: u8 = 3;
/// Heartbeats under way at once.
const PARALLEL: usize = 16;

/// Which node is next, when, and whether its status is due.
#[derive(Debug)]
struct Beats {
    nodes: u32,
    period: Duration,
    /// Heartbeats so far, those of silent nodes included.
    count: u64,
}

impl Beats {
    fn new(nodes: u32, grace: Duration) -> Self {
        Self { nodes, period: grace / RENEWALS, count: 0 }
    }

    /// When the next is due, since the beginning.
    fn due(&self) -> Duration {
        let (round, place) = (self.round(), self.count % u64::from(self.nodes));
        let within = self.period.mul_f64(f64::from(place as u32) / f64::from(self.nodes));
        self.period * u32::try_from(round).unwrap_or(u32::MAX) + within
    }

    fn round(&self) -> u64 {
        self.count / u64::from(self.nodes)
    }

    /// The next node and whether it is its turn to report.
    fn next(&mut self) -> (HollowNode, bool) {
        let node = HollowNode((self.count % u64::from(self.nodes)) as u32);
        let every = (REPORT.as_millis() / self.period.as_millis().max(1)).max(1);
        let turn = u128::from(node.0) % every == u128::from(self.round()) % every;
        self.count += 1;
        (node, turn)
    }

    /// Leaves out whole rounds that are over: a machine that was asleep does not make up for them.
    fn catch_up(&mut self, now: Duration) {
        let missed = now.saturating_sub(self.due()).as_nanos() / self.period.as_nanos().max(1);
        self.count += u64::try_from(missed).unwrap_or(0) * u64::from(self.nodes);
    }
}

/// Keeps all nodes alive but those that `failures` silences. Never ends.
pub(super) async fn run(
    api: &Nodes,
    nodes: u32,
    failures: Failures,
    begin: Instant,
    tracker: &TaskTracker,
) {
    let mut beats = Beats::new(nodes, failures.grace);
    let mut reports = vec![0_u8; nodes as usize];
    let slots = Arc::new(Semaphore::new(PARALLEL));
    loop {
        sleep_until(begin + beats.due()).await;
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        beats.catch_up(begin.elapsed());
        let (node, turn) = beats.next();
        let left = &mut reports[node.index()];
        if failures.silent_until(node.0, begin.elapsed()).is_some() {
            *left = REPORTS_AFTER_SILENCE;
            continue;
        }
        let came_back = *left > 0;
        *left = left.saturating_sub(1);
        let (api, grace) = (api.clone(), failures.grace);
        tracker.spawn(async move {
            let _slot = slot;
            if let Err(error) = beat(&api, node, grace, turn || came_back, came_back).await {
                // The next one comes soon.
                warn!(node = node.name(), %error, "heartbeat failed");
            }
        });
    }
}

async fn beat(
    api: &Nodes,
    node: HollowNode,
    grace: Duration,
    report: bool,
    came_back: bool,
) -> Result<(), WriteError> {
    match renew(api, node).await {
        Err(error) if error.code() == 404 => match api.get(node, &node_path(node)).await {
            Ok(object) => lease(api, node, &object, grace).await?,
            // Somebody has deleted the node: it stays away, as with a kubelet.
            Err(error) if error.code() == 404 => return Ok(()),
            Err(error) => return Err(error),
        },
        renewed => renewed?,
    }
    if report {
        let path = format!("{}/status", node_path(node));
        api.patch(node, &path, &node::heartbeat(status::now(), came_back)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(40);

    #[test]
    fn nodes_take_turns_evenly() {
        let mut beats = Beats::new(4, GRACE);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let due = beats.due();
            seen.push((beats.next().0.0, due.as_millis()));
        }
        let wanted = [(0, 0), (1, 2_500), (2, 5_000), (3, 7_500), (0, 10_000), (1, 12_500)];
        assert_eq!(seen, wanted);
    }

    #[test]
    fn every_node_reports_every_five_minutes() {
        let mut beats = Beats::new(7, GRACE);
        let mut reports = [0; 7];
        // 300 s are 30 rounds.
        for _ in 0..30 * 7 {
            let (node, turn) = beats.next();
            reports[node.index()] += u32::from(turn);
        }
        assert_eq!(reports, [1; 7]);
    }

    #[test]
    fn missed_rounds_are_left_out() {
        let mut beats = Beats::new(2, GRACE);
        beats.next();
        beats.catch_up(Duration::from_secs(3600));
        assert_eq!(beats.next().0.0, 1, "the order stays");
        assert!(Duration::from_secs(3600) <= beats.due() + Duration::from_secs(10));
    }
}
