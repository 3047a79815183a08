//! What goes on while pods are placed; see [`Beside`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use crate::client::Connection;
use crate::shapes::{self, Beside};
use crate::sim::Sim;

const MIXED_EVERY: Duration = Duration::from_secs(1);
const PREEMPTORS_EVERY: Duration = Duration::from_millis(200);

const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"churn"},"status":{"capacity":{"cpu":"4","memory":"32Gi","pods":"110"},"conditions":[{"type":"Ready","status":"True"}]}}"#;
const SERVICE: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"churn"},"spec":{"selector":{"app":"churn"},"ports":[{"port":80}]}}"#;

/// Ends when dropped.
pub(crate) struct Churn {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Begins, if there is anything to do.
pub(crate) fn start(sim: &Sim, beside: Beside) -> Result<Option<Churn>> {
    if beside == Beside::Nothing {
        return Ok(None);
    }
    sim.endpoint.namespace("churn")?;
    let mut client = sim.endpoint.connect()?;
    let over = Arc::new(AtomicBool::new(false));
    let ended = over.clone();
    let thread = std::thread::spawn(move || {
        let mut number = 0;
        while !ended.load(Ordering::Relaxed) {
            if beside == Beside::Preemptors {
                let pod = shapes::preemptor(&format!("p-{number}"));
                let path = "/api/v1/namespaces/churn/pods";
                client.expect("POST", path, &pod, &mut Vec::new())?;
                number += 1;
                std::thread::park_timeout(PREEMPTORS_EVERY);
                continue;
            }
            come(&mut client)?;
            std::thread::park_timeout(MIXED_EVERY);
            go(&mut client)?;
        }
        Ok(())
    });
    Ok(Some(Churn { over, thread: Some(thread) }))
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
