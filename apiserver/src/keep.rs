//! What follows from other objects and is written by the API server itself, while it runs:
//!
//! | what | follows from |
//! |---|---|
//! | [`api_services`] | the groups and versions that definitions serve |
//! | [`flow_schemas`] | whether the priority level that a FlowSchema names exists |
//! | [`ip_addresses`] | the addresses that Services have |
//!
//! Each is a plan, made when one of its resources changes, and a thin part that carries it out.
//! Several servers may do this at once: whoever comes second finds that it is done.

mod api_services;
mod flow_schemas;
pub(crate) mod ip_addresses;

use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use tokio_util::sync::CancellationToken;

use crate::cacher::{Cacher, Filter, Subscription};
use crate::context::Context;

/// How long after a failure, or after the cache has sent its watchers away, to look again.
const AGAIN: Duration = Duration::from_secs(1);

/// Keeps everything until `shutdown`.
pub(crate) async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let cache = |group: &str, plural: &str| {
        let row = api::resources::by_path(group, "v1", plural);
        row.and_then(|row| context.cache(row)).cloned()
    };
    let definitions = cache("apiextensions.k8s.io", "customresourcedefinitions");
    let services = cache("apiregistration.k8s.io", "apiservices");
    let schemas = cache("flowcontrol.apiserver.k8s.io", "flowschemas");
    let levels = cache("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations");
    let addresses = cache("networking.k8s.io", "ipaddresses");
    let (Some(definitions), Some(services)) = (definitions, services) else { return };
    let (Some(schemas), Some(levels), Some(addresses)) = (schemas, levels, addresses) else {
        return;
    };
    let owners = context.core("services").clone();
    let known = ip_addresses::Known::default();
    let all = async {
        tokio::join!(
            follow([&definitions, &services], || api_services::pass(
                &context,
                &definitions,
                &services
            )),
            follow([&schemas, &levels], || flow_schemas::pass(&context, &schemas, &levels)),
            follow([&owners, &addresses], || ip_addresses::pass(
                &context, &owners, &addresses, &known
            )),
        )
    };
    shutdown.run_until_cancelled(all).await;
}

/// Passes now, and whenever one of two resources has changed.
async fn follow<Pass>(caches: [&Arc<Cacher>; 2], pass: impl Fn() -> Pass)
where
    Pass: Future<Output = Result<(), Status>>,
{
    let open = || caches.map(watch);
    let mut changes = open();
    loop {
        let passed = pass().await;
        if let Err(status) = &passed {
            tracing::debug!(%status, "cannot keep what follows from other objects yet");
        }
        let [a, b] = &mut changes;
        let told = tokio::select! {
            told = a.queue.recv() => told.is_some(),
            told = b.queue.recv() => told.is_some(),
            () = tokio::time::sleep(AGAIN), if passed.is_err() => true,
        };
        if !told {
            tokio::time::sleep(AGAIN).await;
            changes = open();
        }
        // One pass does for all that has come meanwhile.
        for change in &mut changes {
            while change.queue.try_recv().is_ok() {}
        }
    }
}

fn watch(cache: &Arc<Cacher>) -> Subscription {
    cache.watch_from_now("", &Filter::default(), false, false)
}
