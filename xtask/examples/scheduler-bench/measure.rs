//! Creating pods and waiting until they are bound, as a watch shows it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::CONNECTIONS;
use crate::client::Connection;
use crate::load::{self, Until};
use crate::shapes::{self, Kind};
use crate::sim::Sim;

/// A watch that shows pods as `ADDED` when they come to match a field selector.
struct Arrivals {
    client: Connection,
    read: Vec<u8>,
    count: usize,
}

impl Arrivals {
    /// Opens the watch on a namespace that has no such pod.
    fn watch(sim: &Sim, namespace: &str, selector: &str) -> Result<Self> {
        let mut client = sim.endpoint.connect()?;
        client.watch(&format!(
            "/api/v1/namespaces/{namespace}/pods?watch=true&fieldSelector={selector}"
        ))?;
        Ok(Self { client, read: Vec::new(), count: 0 })
    }

    /// Waits until so many pods have come in all.
    fn until(&mut self, count: usize) -> Result<()> {
        while self.count < count {
            let more = self.client.chunk(&mut self.read);
            let more = more.with_context(|| format!("{} of {count} pods came", self.count))?;
            ensure!(more, "the server ended the watch after {} of {count} pods", self.count);
            let mut begin = 0;
            while let Some(length) = self.read[begin..].iter().position(|byte| *byte == b'\n') {
                let line = &self.read[begin..begin + length];
                self.count += usize::from(line.starts_with(br#"{"type":"ADDED""#));
                begin += length + 1;
            }
            self.read.drain(..begin);
        }
        Ok(())
    }
}

/// Any node at all.
const BOUND: &str = "spec.nodeName!=";
const RUNNING: &str = "status.phase%3DRunning";

/// Creates `count` pods and waits until all are bound. Gives the time from the first create to the last
/// binding.
pub(crate) fn create_and_wait(
    sim: &Sim,
    namespace: &str,
    kind: Kind,
    count: usize,
) -> Result<Duration> {
    create_until(sim, namespace, kind, count, BOUND)
}

/// The same until all run.
pub(crate) fn create_and_wait_running(
    sim: &Sim,
    namespace: &str,
    count: usize,
) -> Result<Duration> {
    create_until(sim, namespace, shapes::plain(), count, RUNNING)
}

fn create_until(
    sim: &Sim,
    namespace: &str,
    kind: Kind,
    count: usize,
    selector: &str,
) -> Result<Duration> {
    if count == 0 {
        return Ok(Duration::ZERO);
    }
    let mut arrivals = Arrivals::watch(sim, namespace, selector)?;
    let mut clients = sim.endpoint.connections(CONNECTIONS)?;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || arrivals.until(count).map(|()| begin.elapsed()));
        load::run(&mut clients, Until::Count(count as u64), |client, number| {
            create(client, namespace, kind, &format!("p-{number}"))
        })?;
        waiting.join().map_err(|_| anyhow!("the watcher panicked"))?
    })
}

fn create(client: &mut Connection, namespace: &str, kind: Kind, name: &str) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    client.expect("POST", &path, &shapes::pod(kind, name), &mut Vec::new())
}

/// Creates pods one after the other, each when the last is bound. Gives the times from sending the
/// create to the watch event, sorted.
pub(crate) fn one_by_one(sim: &Sim, namespace: &str, count: usize) -> Result<Vec<Duration>> {
    let mut arrivals = Arrivals::watch(sim, namespace, BOUND)?;
    let mut client = sim.endpoint.connect()?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let begin = Instant::now();
        create(&mut client, namespace, shapes::plain(), &format!("p-{number}"))?;
        arrivals.until(number + 1)?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times)
}

/// Makes the PriorityClass of the pods that matter.
pub(crate) fn classes(sim: &Sim) -> Result<()> {
    let class = r#"{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"high"},"value":10}"#;
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses";
    sim.endpoint.connect()?.expect("POST", path, class, &mut Vec::new())
}
