//! `wctl server`: a control plane for nodes that join with `wctl agent`.
//!
//! From start to shutdown:
//!
//! 1. The data folder: lock, CA, journal ([`home`](crate::dev::home)).
//! 2. The API server is bound; scheduler and controllers reach it in process, each with its own identity.
//! 3. [`joining`]: what agents need to join is there, and a token for them.
//! 4. Scheduler and controllers each stand for their office ([`election`]): of several servers over one
//!    datastore, one runs them.
//! 5. When the API answers, `ready` is printed.
//! 6. SIGINT or SIGTERM: components stop, their offices are given up, the store closes.
//!
//! Servers that share a datastore share a CA, too: the folder `pki` of the first one goes to the others
//! before their first start.

mod election;
pub(crate) mod joining;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use apiserver::Server;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::dev::components::{self, Components};
use crate::dev::home::Home;
use crate::dev::{
    host_name, raise_descriptor_limit, running, scheduler_config, slot, stop, storage, trim,
};
use election::Office;

/// Runs the control plane until SIGINT or SIGTERM.
pub(crate) async fn run(arguments: cli::Server, data_dir: PathBuf) -> Result<()> {
    let scheduler = scheduler_config(arguments.scheduler_config.as_deref())?;
    let signals = stop::Signals::listen()?;
    raise_descriptor_limit();
    ensure!(
        arguments.cluster_cidr.trunc() == arguments.cluster_cidr
            && arguments.service_cidr.trunc() == arguments.service_cidr,
        "--cluster-cidr and --service-cidr are networks: their host bits are zero, as in 10.42.0.0/16"
    );
    let home = Home::open(data_dir, arguments.datastore.as_deref()).await?;
    let authority = home.authority();
    let advertise = arguments.advertise_address.unwrap_or_else(|| advertised(arguments.listen));
    let mut names = vec![host_name()];
    names.extend(arguments.tls_san.clone());
    let server = Server::bind(apiserver::Config {
        listen: arguments.listen,
        names,
        advertise: Some(advertise),
        service_cidr: arguments.service_cidr,
        service_accounts: true,
        ..apiserver::Config::new(home.store().clone(), authority.clone())
    })
    .await
    .context("start the API server")?;
    let address = server.local_addr();
    let kubeconfig = home.write_kubeconfig(address)?;

    let client = |component: &str, user: &str, groups: &[&str]| {
        components::local(&server, component, user, groups)
    };
    let admin = client("wctl", "wctl", &["system:masters"]);
    let url = format!("https://{}", SocketAddr::new(advertise, address.port()));
    let token = joining::prepare(&admin, &url, authority.ca_pem()).await?;
    storage::ensure_class(admin.clone()).await?;

    let mut components = Components::default();
    let identity = format!("{}_{}", host_name(), std::process::id());
    let for_scheduler = client("kube-scheduler", "system:kube-scheduler", &[]);
    let office = Office::new(for_scheduler.clone(), "kube-scheduler", &identity);
    components.spawn("scheduler", |stop| {
        election::hold(office, stop, move |stop| {
            let (config, client) = (scheduler.clone(), for_scheduler.clone());
            async move { scheduler::run(config, client, stop).await.context("scheduler") }
        })
    });
    let config = controllers_config(&arguments, &home);
    let name = "kube-controller-manager";
    let for_controllers = client(name, "system:kube-controller-manager", &[]);
    let office = Office::new(for_controllers.clone(), name, &identity);
    components.spawn("controllers", |stop| {
        election::hold(office, stop, move |stop| {
            let (config, client) = (config.clone(), for_controllers.clone());
            async move { controllers::run(config, client, stop).await.context("controllers") }
        })
    });
    let stop = CancellationToken::new();
    components.start_server(server, stop.clone());

    let hash = apiserver::pki::public_key_hash(authority.ca_pem())?;
    let join = format!("to join     wctl agent --server {url} --token {token} --ca-hash {hash}");
    let life = async {
        answers(&admin).await?;
        let _announcement = running::say_ready(home.data_dir(), &url, &kubeconfig, &[join])?;
        trim::after_start().await;
        std::future::pending().await
    };
    let outcome = components.until_stopped(&signals, life).await;
    let stopped = components.stop(stop).await;
    home.close().await;
    outcome.and(stopped)
}

fn controllers_config(arguments: &cli::Server, home: &Home) -> controllers::Config {
    let mut config = components::controllers_config(&home.authority());
    if let Some(signing) = &mut config.signing {
        signing.lifetime = arguments.cluster_signing_duration;
        signing.approve_serving = !arguments.manual_serving_approval;
    }
    controllers::Config {
        node_grace: arguments.node_monitor_grace_period,
        node_ranges: Some(controllers::NodeRanges {
            cluster: arguments.cluster_cidr,
            node_prefix: arguments.node_cidr_mask_size,
        }),
        // No node runs in this process; a claim waits for the node of its first pod.
        local_path: Some(controllers::LocalPath {
            folder: home.data_dir().join("volumes"),
            node: String::new(),
        }),
        ..config
    }
}

/// Under which address agents and pods find a server that listens on `listen`.
fn advertised(listen: SocketAddr) -> IpAddr {
    if listen.ip().is_unspecified() {
        slot::outward().unwrap_or_else(|| IpAddr::from([127, 0, 0, 1]))
    } else {
        listen.ip()
    }
}

/// Waits until the API server calls itself ready.
async fn answers(client: &kube::Client) -> Result<()> {
    let request = http::Request::get("/readyz").body(Vec::new()).context("ask for readiness")?;
    client.request_text(request).await.context("the API server is not ready").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concrete_address_is_advertised_as_it_is() {
        let text = |address: &str| advertised(address.parse().unwrap()).to_string();
        assert_eq!(text("192.0.2.7:6443"), "192.0.2.7");
        assert_ne!(text("0.0.0.0:6443"), "0.0.0.0");
    }
}
