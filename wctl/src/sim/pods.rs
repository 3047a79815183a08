//! The pods of all hollow nodes: one watch for all of them, and one task that knows what is to be
//! done when.
//!
//! Of a pod that needs nothing, nothing is kept but the bit of its address. A pod with something to
//! do is in one of these states:
//! - *waiting* until its step is due → under way; or the watch shows it otherwise: planned anew;
//! - *under way*: the request runs → done, or waiting again if it failed;
//! - *done*: the watch has not shown it yet → forgotten, or planned anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use client::{Event, Follower, Raw};
use kube::runtime::watcher;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::addresses::Addresses;
use super::failures::Failures;
use super::node::HollowNode;
use super::plan::{Delays, Step, plan};
use super::seen::Pod;
use super::status;
use super::write::{Nodes, WriteError, pod_path};

/// Writes under way at once.
const PARALLEL: usize = 64;
/// Pause after a write that failed.
const RETRY: Duration = Duration::from_secs(1);

type Uid = Arc<str>;
/// When something is due; the number keeps equal moments apart.
type Due = (Instant, u64);

enum State {
    Waiting(Due),
    UnderWay,
    Done,
}

/// A pod with something to do.
struct Task {
    pod: Arc<Pod>,
    node: HollowNode,
    step: Step,
    state: State,
    /// Taken for a pod that is being started.
    address: Option<Ipv4Addr>,
}

/// How a write ended.
struct Written {
    uid: Uid,
    node: HollowNode,
    step: Step,
    address: Option<Ipv4Addr>,
    pod: Arc<Pod>,
    outcome: Result<(), WriteError>,
}

/// See the module.
pub(super) struct Pods {
    api: Nodes,
    nodes: u32,
    delays: Delays,
    failures: Failures,
    begin: Instant,
    addresses: Addresses,
    tasks: HashMap<Uid, Task>,
    timers: BTreeMap<Due, Uid>,
    numbers: u64,
    tracker: TaskTracker,
    written: mpsc::Sender<Written>,
}

impl Pods {
    /// Does what pods need, from now on. Never ends.
    pub(super) async fn run(
        api: &Nodes,
        client: kube::Client,
        nodes: u32,
        delays: Delays,
        failures: Failures,
        begin: Instant,
        tracker: &TaskTracker,
    ) {
        let (sender, mut written) = mpsc::channel(PARALLEL);
        let slots = Arc::new(Semaphore::new(PARALLEL));
        let config = watcher::Config::default().fields("spec.nodeName!=");
        let mut follower = Follower::new(client, "/api/v1/pods", config);
        let mut pods = Self {
            api: api.clone(),
            nodes,
            delays,
            failures,
            begin,
            addresses: Addresses::new(nodes),
            tasks: HashMap::new(),
            timers: BTreeMap::new(),
            numbers: 0,
            tracker: tracker.clone(),
            written: sender,
        };
        loop {
            let next = pods.timers.first_key_value().map(|((due, _), _)| *due);
            let is_due = next.is_some_and(|due| due <= Instant::now());
            tokio::select! {
                Some(written) = written.recv() => pods.end(written),
                Ok(slot) = slots.clone().acquire_owned(), if is_due => pods.begin_next(slot),
                () = sleep_until(next.unwrap_or(begin)), if next.is_some() && !is_due => {}
                event = follower.next() => match event {
                    Ok(Event::Listed(all)) => pods.listed(&all),
                    Ok(Event::Applied(raw)) => pods.seen(&raw),
                    Ok(Event::Deleted(raw)) => pods.gone(&raw),
                    Err(error @ client::Error::Expired(_)) => debug!(%error, "listing anew"),
                    Err(error) => warn!(%error, "watch of pods failed, trying again"),
                },
            }
        }
    }

    /// Takes over a complete list: what is not in it is gone.
    fn listed(&mut self, all: &[Raw]) {
        self.addresses = Addresses::new(self.nodes);
        for task in self.tasks.values() {
            if let Some(address) = task.address {
                self.addresses.mark(task.node, &address.to_string());
            }
        }
        let mut there = HashSet::new();
        for pod in all.iter().filter_map(read) {
            if let Some(node) = self.node(&pod)
                && !pod.is_finished()
            {
                self.addresses.mark(node, &pod.status.pod_ip);
            }
            there.insert(Uid::from(pod.metadata.uid.as_str()));
            self.look_at(pod);
        }
        let gone: Vec<Uid> =
            self.tasks.keys().filter(|uid| !there.contains(*uid)).cloned().collect();
        for uid in gone {
            self.forget(&uid);
        }
    }

    fn seen(&mut self, raw: &Raw) {
        if let Some(pod) = read(raw) {
            self.look_at(pod);
        }
    }

    fn gone(&mut self, raw: &Raw) {
        let Some(pod) = read(raw) else { return };
        self.forget(pod.metadata.uid.as_str());
        // A finished pod has given its address back already.
        if let Some(node) = self.node(&pod).filter(|_| !pod.is_finished()) {
            self.addresses.free(node, &pod.status.pod_ip);
        }
    }

    fn node(&self, pod: &Pod) -> Option<HollowNode> {
        HollowNode::named(&pod.spec.node_name, self.nodes)
    }

    fn look_at(&mut self, pod: Pod) {
        let Some(node) = self.node(&pod) else { return };
        let uid = Uid::from(pod.metadata.uid.as_str());
        let Some((delay, step)) = plan(&pod, self.delays) else { return self.forget(&uid) };
        match self.tasks.get_mut(&uid) {
            Some(task) if task.step == step => task.pod = Arc::new(pod),
            _ => {
                self.forget(&uid);
                let due = self.set_timer(&uid, Instant::now() + delay);
                let (pod, state) = (Arc::new(pod), State::Waiting(due));
                self.tasks.insert(uid, Task { pod, node, step, state, address: None });
            }
        }
    }

    fn set_timer(&mut self, uid: &Uid, at: Instant) -> Due {
        self.numbers += 1;
        let due = (at, self.numbers);
        self.timers.insert(due, uid.clone());
        due
    }

    fn forget(&mut self, uid: &str) {
        if let Some(Task { state: State::Waiting(due), .. }) = self.tasks.remove(uid) {
            self.timers.remove(&due);
        }
    }

    /// Carries out the step that is due, unless its node is silent: then after that.
    fn begin_next(&mut self, slot: OwnedSemaphorePermit) {
        let Some((_, uid)) = self.timers.pop_first() else { return };
        let Some(node) = self.tasks.get(&uid).map(|task| task.node) else { return };
        let silence = self.failures.silent_until(node.0, self.begin.elapsed());
        let later = silence.map(|until| self.begin + until);
        let later = later.map(|at| self.set_timer(&uid, at));
        let Some(task) = self.tasks.get_mut(&uid) else { return };
        if let Some(due) = later {
            task.state = State::Waiting(due);
            return;
        }
        task.state = State::UnderWay;
        if task.step == Step::Start && !task.pod.spec.host_network {
            task.address = self.addresses.take(node);
        }
        let written = Written {
            uid,
            node,
            step: task.step,
            address: task.address,
            pod: task.pod.clone(),
            outcome: Ok(()),
        };
        let (api, sender) = (self.api.clone(), self.written.clone());
        self.tracker.spawn(async move {
            let outcome = carry_out(&api, &written).await;
            drop(slot);
            // Nobody listens any more only when the simulation ends.
            sender.send(Written { outcome, ..written }).await.ok();
        });
    }

    fn end(&mut self, written: Written) {
        let Written { uid, node, step, address, pod, outcome } = written;
        if outcome.is_err() {
            if let Some(address) = address {
                self.addresses.free(node, &address.to_string());
            }
        } else if matches!(step, Step::End { .. } | Step::Fail) {
            self.addresses.free(node, &pod.status.pod_ip);
        }
        let again = match outcome {
            Ok(()) => None,
            // It is gone: the watch tells.
            Err(error) if error.code() == 404 => None,
            // Somebody else was faster, or another pod has the name: the watch tells that, too.
            Err(error) if error.code() == 409 => Some(Instant::now() + RETRY),
            Err(error) => {
                let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
                warn!(namespace, name, %error, "hollow node failed to write, trying again");
                Some(Instant::now() + RETRY)
            }
        };
        // The watch may have shown something else meanwhile.
        let current = |task: &&mut Task| task.step == step && matches!(task.state, State::UnderWay);
        if self.tasks.get_mut(&uid).filter(current).is_none() {
            return;
        }
        let state = again.map_or(State::Done, |at| State::Waiting(self.set_timer(&uid, at)));
        if let Some(task) = self.tasks.get_mut(&uid) {
            (task.state, task.address) = (state, None);
        }
    }
}

async fn carry_out(api: &Nodes, what: &Written) -> Result<(), WriteError> {
    let (pod, now) = (&*what.pod, status::now());
    let patch = match what.step {
        Step::Remove => return api.remove(what.node, pod).await,
        Step::Start => {
            let host = what.node.address();
            status::running(pod, host, what.address.unwrap_or(host), now)
        }
        Step::Ready => status::ready(pod, now),
        Step::End { code } => status::ended(pod, code, now),
        Step::Fail => status::never_ran(pod, now),
    };
    api.patch(what.node, &format!("{}/status", pod_path(pod)), &patch).await
}

/// Reads a pod; what cannot be read is reported and left alone.
fn read(raw: &Raw) -> Option<Pod> {
    match raw.parse() {
        Ok(pod) => Some(pod),
        Err(error) => {
            warn!(%error, "ignoring a pod that cannot be read");
            None
        }
    }
}
