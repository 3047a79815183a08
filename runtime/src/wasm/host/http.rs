//! An HTTP component: every request gets a fresh instance.
//!
//! Connections are HTTP/1.1 or HTTP/2 without TLS (h2c), whichever the client begins with. A request waits
//! in line until one of a bounded number of instances is free ([`instances`]); then an instance is made
//! from the pre-linked component, handles it ([`exchange`]) and is dropped. A trap, a refused allocation
//! or a client that goes away ends that instance and nothing else.
//!
//! Told to stop, the server closes its listener, lets every begun exchange finish and returns; idle
//! connections are closed at once.

mod body;
mod exchange;

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::config::HostConfig;
use super::guest::{self, Guest};
use super::limits::Budget;
use super::outcome::Outcome;
use super::stdio::Stdio;
use super::ticker::Activity;
use crate::wasm::engine::MAX_INSTANCES;

/// Rest after an accept that failed for want of descriptors or memory, until something is given back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A Wasm page, the unit of a memory's declared size.
const PAGE: u64 = 64 * 1024;

/// What all requests share.
pub(super) struct Server {
    pre: ProxyPre<Guest>,
    engine: Engine,
    config: HostConfig,
    settings: Arc<[(String, String)]>,
    stdio: Stdio,
    budget: Arc<Budget>,
    activity: Arc<Activity>,
    free: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// How many instances the engine's pool must hold for `config`.
pub(super) fn instances(config: &HostConfig) -> u32 {
    let asked = config.http.as_ref().and_then(|http| http.max_concurrency);
    asked.map_or(MAX_INSTANCES, |asked| asked.clamp(1, MAX_INSTANCES))
}

impl Server {
    /// Links the component; nothing of it runs yet.
    pub(super) fn new(
        config: &HostConfig,
        engine: &Engine,
        component: &Component,
        stdio: Stdio,
        activity: Arc<Activity>,
    ) -> Result<Arc<Self>, Outcome> {
        let linker =
            guest::component_linker(engine).map_err(|error| Outcome::unlinkable(&error))?;
        let pre = linker.instantiate_pre(component).and_then(ProxyPre::new);
        let pre = pre.map_err(|error| Outcome::unlinkable(&error))?;
        // Found out now rather than by every request.
        guest::surroundings(config, &config.args, &stdio)
            .map_err(|message| Outcome::not_started("open volumes", message))?;
        let budget = Budget::new(config.memory_limit_bytes);
        let initial = initial_memory(component);
        let fitting = budget.instances(initial);
        if fitting == 0 {
            return Err(Outcome::not_started(
                "instantiate",
                format!(
                    "one instance starts with {} KiB of memory, more than the container's limit leaves \
                     it ({} KiB are kept for the host)",
                    initial / 1024,
                    super::limits::HOST_RESERVE / 1024
                ),
            ));
        }
        Ok(Arc::new(Self {
            pre,
            engine: engine.clone(),
            settings: config.env.clone().into(),
            config: config.clone(),
            stdio,
            budget,
            activity,
            free: Arc::new(Semaphore::new(fitting.min(instances(config)) as usize)),
            tasks: TaskTracker::new(),
        }))
    }
}

/// What one instance takes from the memory budget when it is made, in bytes.
fn initial_memory(component: &Component) -> u64 {
    // Components that instantiate modules of their imports cannot say; Wharf provides no such imports.
    let Some(needs) = component.resources_required() else { return PAGE };
    needs.max_initial_memory_size.unwrap_or(1) * PAGE * u64::from(needs.num_memories.max(1))
}

/// Serves until `stop`, then drains.
pub(super) async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    stop: CancellationToken,
    ready: impl FnOnce(),
) -> Outcome {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return Outcome::not_started("listen", error),
    };
    ready();
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                server.tasks.spawn(connection(Arc::clone(&server), stream, graceful.watcher()));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
    drop(listener);
    graceful.shutdown().await;
    server.tasks.close();
    // Instances may still be at work after their response was sent.
    server.tasks.wait().await;
    Outcome::exit(0)
}

async fn connection(server: Arc<Server>, stream: TcpStream, watcher: Watcher) {
    // Responses are written whole; waiting to fill a packet would only delay them.
    _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(exchange::handle(server, request).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // A connection ends in an error when the client breaks it off, or when an instance ended in the
    // middle of its response, which was logged there.
    _ = watcher.watch(connection).await;
}
