//! What comes and goes while pods are placed: a node, a pod that fits nowhere, a Service; once a
//! second, as in Kubernetes' SchedulingWithMixedChurn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use crate::client::Connection;
use crate::shapes;
use crate::sim::Sim;

const EVERY: Duration = Duration::from_secs(1);

const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"churn"},"status":{"capacity":{"cpu":"4","memory":"32Gi","pods":"110"},"conditions":[{"type":"Ready","status":"True"}]}}"#;
const SERVICE: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"churn"},"spec":{"selector":{"app":"churn"},"ports":[{"port":80}]}}"#;

/// Ends when dropped.
pub(crate) struct Churn {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Begins.
pub(crate) fn start(sim: &Sim) -> Result<Churn> {
    sim.endpoint.namespace("churn")?;
    let mut client = sim.endpoint.connect()?;
    let over = Arc::new(AtomicBool::new(false));
    let ended = over.clone();
    let thread = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            come(&mut client)?;
            std::thread::park_timeout(EVERY);
            go(&mut client)?;
        }
        Ok(())
    });
    Ok(Churn { over, thread: Some(thread) })
}

fn come(client: &mut Connection) -> Result<()> {
    let body = &mut Vec::new();
    client.expect("POST", "/api/v1/nodes", NODE, body)?;
    client.expect("POST", "/api/v1/namespaces/churn/pods", &shapes::too_large("churn"), body)?;
    client.expect("POST", "/api/v1/namespaces/churn/services", SERVICE, body)
}

fn go(client: &mut Connection) -> Result<()> {
    for path in [
        "/api/v1/nodes/churn",
        "/api/v1/namespaces/churn/pods/churn",
        "/api/v1/namespaces/churn/services/churn",
    ] {
        client.expect("DELETE", path, "", &mut Vec::new())?;
    }
    Ok(())
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => println!("  the churn ended early: {error:#}"),
            Err(_) => println!("  the churn panicked"),
        }
    }
}
