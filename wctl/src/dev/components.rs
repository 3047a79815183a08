//! Components as tasks of this process, and the order in which they end.
//!
//! Every mode is made of them: `wctl dev` starts all, `wctl server` the control plane, `wctl agent` what
//! a node needs.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use apiserver::pki::Authority;
use apiserver::{Server, User};
use kube::Client;
use runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::stop::Signals;

/// Tasks per pod: far more than programs have, far fewer than a host has.
pub(crate) const POD_PIDS_LIMIT: u64 = 4096;

/// The domain of Services' names.
pub(crate) const CLUSTER_DOMAIN: &str = "cluster.local";

/// Running components.
#[derive(Default)]
pub(crate) struct Components {
    /// Everything but the API server: clients end before the server does.
    clients: JoinSet<(&'static str, Result<()>)>,
    server: JoinSet<Result<()>>,
    stop_clients: CancellationToken,
}

impl Components {
    /// Starts something that ends when it is told to.
    pub(crate) fn spawn<Run>(
        &mut self,
        name: &'static str,
        run: impl FnOnce(CancellationToken) -> Run,
    ) where
        Run: Future<Output = Result<()>> + Send + 'static,
    {
        let running = run(self.stop_clients.child_token());
        self.clients.spawn(async move { (name, running.await) });
    }

    /// Starts the scheduler.
    pub(crate) fn scheduler(&mut self, config: scheduler::Config, client: Client) {
        self.spawn("scheduler", |stop| async {
            scheduler::run(config, client, stop).await.context("scheduler")
        });
    }

    /// Starts the controllers.
    pub(crate) fn controllers(&mut self, config: controllers::Config, client: Client) {
        self.spawn("controllers", |stop| async {
            controllers::run(config, client, stop).await.context("controllers")
        });
    }

    /// Starts the Service proxy.
    pub(crate) fn proxy(&mut self, config: proxy::Config, client: Client) {
        self.spawn("proxy", |stop| async {
            proxy::run(config, client, stop).await.context("proxy")
        });
    }

    /// Starts the node agent.
    pub(crate) fn agent(&mut self, config: agent::Config, runtime: Runtime, client: Client) {
        self.spawn("agent", |stop| async {
            agent::run(config, runtime, client, stop).await.context("agent")
        });
    }

    /// Starts answering connections.
    pub(crate) fn start_server(&mut self, server: Server, stop: CancellationToken) {
        self.server.spawn(async move { server.run(stop).await.context("API server") });
    }

    /// Lives `life` until a signal comes or a component ends although nobody asked it to.
    pub(crate) async fn until_stopped(
        &mut self,
        signals: &Signals,
        life: impl Future<Output = Result<Infallible>>,
    ) -> Result<()> {
        let outcome = tokio::select! {
            outcome = life => outcome.map(|never| match never {}),
            () = signals.received() => Ok(()),
            ended = self.first_to_end() => Err(ended),
        };
        tracing::info!("stopping");
        outcome
    }

    async fn first_to_end(&mut self) -> anyhow::Error {
        tokio::select! {
            Some(ended) = self.clients.join_next() => match ended {
                Ok((name, Ok(()))) => anyhow!("the {name} ended by itself"),
                Ok((_, Err(error))) => error,
                Err(panic) => anyhow!(panic).context("a component panicked"),
            },
            Some(ended) = self.server.join_next() => match ended {
                Ok(Ok(())) => anyhow!("the API server ended by itself"),
                Ok(Err(error)) => error,
                Err(panic) => anyhow!(panic).context("the API server panicked"),
            },
        }
    }

    /// Ends the clients, then the server; the first error of any.
    pub(crate) async fn stop(mut self, stop_server: CancellationToken) -> Result<()> {
        self.stop_clients.cancel();
        let mut outcome = Ok(());
        while let Some(ended) = self.clients.join_next().await {
            let ended = ended.context("a component panicked").and_then(|(_, ended)| ended);
            outcome = outcome.and(ended);
        }
        stop_server.cancel();
        while let Some(ended) = self.server.join_next().await {
            outcome = outcome.and(ended.context("the API server panicked").and_then(|ended| ended));
        }
        outcome
    }
}

/// The way of a component to the API server of this process, without a socket: who it is, and what it
/// is called where a client would name its program.
pub(crate) fn local(server: &Server, component: &str, user: &str, groups: &[&str]) -> Client {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Client::new(server.local(User::new(user, groups)).named(component), "default")
}

/// The controllers of a cluster with this authority, and with defaults for the rest. Serving certificates
/// are left to the operator.
pub(crate) fn controllers_config(authority: &Arc<Authority>) -> controllers::Config {
    controllers::Config {
        root_ca: Some(authority.ca_pem().to_owned()),
        signing: Some(controllers::Signing {
            certificate_pem: authority.ca_pem().to_owned(),
            key_pem: authority.ca_key_pem(),
            lifetime: controllers::Signing::LIFETIME,
            approve_serving: false,
        }),
        ..controllers::Config::default()
    }
}

/// What a node says of its version.
pub(crate) fn version() -> String {
    format!("{}+wharf{}", api::discovery::KUBERNETES_VERSION, env!("CARGO_PKG_VERSION"))
}
