//! Turns the API's watches into what the scheduling task wants to hear.
//!
//! Objects are decoded and reduced here, in a task per kind, so that the scheduling task only
//! applies small values. The channels are bounded: a slow scheduler slows the watch, it does not
//! fill the memory.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, Resource};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::node::Offer;
use crate::pod::{PodInfo, PodUid};

/// What the scheduling task hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A pod as it is now.
    Pod(Arc<PodInfo>),
    /// A pod that is gone, or finished.
    PodGone(PodUid),
    /// A list began anew: these are all the pods there are.
    Pods(Vec<Arc<PodInfo>>),
    /// A node as it is now.
    Node(Arc<str>, Box<Offer>),
    /// A node that is gone.
    NodeGone(Arc<str>),
    /// A list began anew: these are all the nodes there are.
    Nodes(Vec<(Arc<str>, Offer)>),
}

/// Starts both watches. They end with `shutdown`.
pub(crate) fn start(
    client: &Client,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
    heard: &mpsc::Sender<Heard>,
) {
    // Finished pods hold nothing; the server keeps them from us.
    let pods = watcher::Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    tracker.spawn(follow::<Pod>(
        client.clone(),
        pods,
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |pod| Some(Heard::Pod(Arc::new(PodInfo::read(&pod)?))),
            gone: |pod| Some(Heard::PodGone(PodUid(pod.uid()?.into()))),
            all: |pods| Heard::Pods(pods.iter().filter_map(PodInfo::read).map(Arc::new).collect()),
        },
    ));
    tracker.spawn(follow::<Node>(
        client.clone(),
        watcher::Config::default(),
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |node| Some(Heard::Node(node.name_any().into(), Box::new(Offer::read(&node)))),
            gone: |node| Some(Heard::NodeGone(node.name_any().into())),
            all: |nodes| {
                Heard::Nodes(nodes.iter().map(|n| (n.name_any().into(), Offer::read(n))).collect())
            },
        },
    ));
}

struct Translate<K> {
    now: fn(K) -> Option<Heard>,
    gone: fn(K) -> Option<Heard>,
    all: fn(Vec<K>) -> Heard,
}

async fn follow<K>(
    client: Client,
    config: watcher::Config,
    shutdown: CancellationToken,
    heard: mpsc::Sender<Heard>,
    translate: Translate<K>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let kind = K::kind(&());
    let open = || watcher::watcher(Api::<K>::all(client.clone()), config.clone()).default_backoff();
    let mut events = open().boxed();
    let mut listed = Vec::new();
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        let message = match event {
            None => return,
            Some(Ok(Event::Init)) => {
                listed.clear();
                continue;
            }
            Some(Ok(Event::InitApply(object))) => {
                listed.push(object);
                continue;
            }
            Some(Ok(Event::InitDone)) => Some((translate.all)(std::mem::take(&mut listed))),
            Some(Ok(Event::Apply(object))) => (translate.now)(object),
            Some(Ok(Event::Delete(object))) => (translate.gone)(object),
            Some(Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))))
                if status.code == 410 =>
            {
                // The stream would go on asking for a revision that is compacted away.
                debug!(%kind, "watch expired, listing anew");
                events = open().boxed();
                continue;
            }
            Some(Err(error)) => {
                warn!(%kind, %error, "watch failed, retrying");
                continue;
            }
        };
        if let Some(message) = message
            && heard.send(message).await.is_err()
        {
            return;
        }
    }
}
