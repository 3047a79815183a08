//! Turns the API's watches into what the scheduling task wants to hear.
//!
//! Objects are decoded and reduced here, in a task per kind, so that the scheduling task only
//! applies small values. The channels are bounded: a slow scheduler slows the watch, it does not
//! fill the memory. Of pods, by far the most of what is heard, only those that matter here are read
//! ([`pods`]).

use std::borrow::Cow;
use std::sync::Arc;

use client::{Event, Follower, Raw};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{
    CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment,
};
use kube::api::Resource;
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::affinity::Labels;
use crate::dynamic_resources::{self, News};
use crate::node::Offer;
use crate::pod::{PodInfo, PodUid};
use crate::preemption::Budget;
use crate::volumes::objects::{Kind, Object, Stored};
use pods::Ours;

mod pods;

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
    /// A PodDisruptionBudget by uid as it is now.
    Budget(String, Box<Budget>),
    /// A PodDisruptionBudget that is gone.
    BudgetGone(String),
    /// A list began anew: these are all the PodDisruptionBudgets there are.
    Budgets(Vec<(String, Budget)>),
    /// An object that has to do with volumes as it is now.
    Stored(String, Box<Object>),
    /// Such an object that is gone.
    StoredGone(Kind, String),
    /// A list began anew: these are all objects of this kind.
    AllStored(Kind, Vec<(String, Object)>),
    /// Something about claims, device classes or devices.
    Devices(News),
    /// A namespace and its labels now.
    Namespace(String, Labels),
    /// A namespace that is gone.
    NamespaceGone(String),
    /// A list began anew: these are all the namespaces there are.
    Namespaces(Vec<(String, Labels)>),
}

/// Starts the watches; of pods without a node those that name one of `schedulers` are heard. They end
/// with `shutdown`.
pub(crate) fn start<'a>(
    client: &Client,
    schedulers: impl Iterator<Item = &'a str>,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
    heard: &mpsc::Sender<Heard>,
) {
    // Finished pods hold nothing; the server keeps them from us.
    let pods = watcher::Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let follower = Follower::new(client.clone(), Pod::url_path(&(), None), pods);
    let ours = Ours::new(schedulers);
    let translate = move |event| ours.translate(event);
    tracker.spawn(relay("Pod".into(), follower, shutdown.clone(), heard.clone(), translate));
    tracker.spawn(follow::<Node>(
        client.clone(),
        watcher::Config::default(),
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |node| Some(Heard::Node(node.name_any().into(), Box::new(Offer::read(&node)))),
            gone: |node| Some(Heard::NodeGone(node.name_any().into())),
            all: |nodes| {
                Heard::Nodes(nodes.map(|n| (n.name_any().into(), Offer::read(&n))).collect())
            },
        },
    ));
    tracker.spawn(follow::<PodDisruptionBudget>(
        client.clone(),
        watcher::Config::default(),
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |it| Some(Heard::Budget(it.uid()?, Box::new(Budget::read(&it)))),
            gone: |it| Some(Heard::BudgetGone(it.uid()?)),
            all: |all| {
                Heard::Budgets(all.filter_map(|it| Some((it.uid()?, Budget::read(&it)))).collect())
            },
        },
    ));
    tracker.spawn(follow::<Namespace>(
        client.clone(),
        watcher::Config::default(),
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |it| Some(Heard::Namespace(it.name_any(), it.metadata.labels.unwrap_or_default())),
            gone: |it| Some(Heard::NamespaceGone(it.name_any())),
            all: |all| {
                let read = |it: Namespace| (it.name_any(), it.metadata.labels.unwrap_or_default());
                Heard::Namespaces(all.map(read).collect())
            },
        },
    ));
    follow_stored::<PersistentVolumeClaim>(client, tracker, shutdown, heard);
    follow_stored::<PersistentVolume>(client, tracker, shutdown, heard);
    follow_stored::<StorageClass>(client, tracker, shutdown, heard);
    follow_stored::<CSINode>(client, tracker, shutdown, heard);
    follow_stored::<CSIDriver>(client, tracker, shutdown, heard);
    follow_stored::<CSIStorageCapacity>(client, tracker, shutdown, heard);
    follow_stored::<VolumeAttachment>(client, tracker, shutdown, heard);
    follow_devices(client, tracker, shutdown, heard);
}

/// Starts the watches of claims, device classes and devices.
fn follow_devices(
    client: &Client,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
    heard: &mpsc::Sender<Heard>,
) {
    tracker.spawn(follow::<ResourceClaim>(
        client.clone(),
        watcher::Config::default(),
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |it| Some(Heard::Devices(News::Claim(Box::new(it)))),
            gone: |it| Some(Heard::Devices(News::ClaimGone(dynamic_resources::id(&it)))),
            all: |all| Heard::Devices(News::Claims(all.collect())),
        },
    ));
    tracker.spawn(follow::<DeviceClass>(
        client.clone(),
        watcher::Config::default(),
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |it| Some(Heard::Devices(News::Class(Box::new(it)))),
            gone: |it| Some(Heard::Devices(News::ClassGone(it.name_any()))),
            all: |all| Heard::Devices(News::Classes(all.collect())),
        },
    ));
    tracker.spawn(follow::<ResourceSlice>(
        client.clone(),
        watcher::Config::default(),
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |it| Some(Heard::Devices(News::Slice(Box::new(it)))),
            gone: |it| Some(Heard::Devices(News::SliceGone(it.name_any()))),
            all: |all| Heard::Devices(News::Slices(all.collect())),
        },
    ));
}

/// Starts the watch of a kind that has to do with volumes.
fn follow_stored<K: Stored + DeserializeOwned + Send + 'static>(
    client: &Client,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
    heard: &mpsc::Sender<Heard>,
) {
    tracker.spawn(follow::<K>(
        client.clone(),
        watcher::Config::default(),
        shutdown.clone(),
        heard.clone(),
        Translate {
            now: |it| Some(Heard::Stored(it.id(), Box::new(it.reduce()))),
            gone: |it| Some(Heard::StoredGone(K::KIND, it.id())),
            all: |all| Heard::AllStored(K::KIND, all.map(|it| (it.id(), it.reduce())).collect()),
        },
    ));
}

struct Translate<K> {
    now: fn(K) -> Option<Heard>,
    gone: fn(K) -> Option<Heard>,
    all: fn(&mut dyn Iterator<Item = K>) -> Heard,
}

async fn follow<K>(
    client: Client,
    config: watcher::Config,
    shutdown: CancellationToken,
    heard: mpsc::Sender<Heard>,
    translate: Translate<K>,
) where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
{
    let follower = Follower::new(client, K::url_path(&(), None), config);
    let translate = move |event| match event {
        // One typed object at a time: a whole list of them takes many times its text's memory.
        Event::Listed(list) => Some((translate.all)(&mut list.iter().filter_map(read))),
        Event::Applied(object) => read(&object).and_then(translate.now),
        Event::Deleted(object) => read(&object).and_then(translate.gone),
    };
    relay(K::kind(&()), follower, shutdown, heard, translate).await;
}

/// Passes on what a watch says.
async fn relay(
    kind: Cow<'static, str>,
    mut follower: Follower,
    shutdown: CancellationToken,
    heard: mpsc::Sender<Heard>,
    translate: impl Fn(Event) -> Option<Heard>,
) {
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = follower.next() => event,
        };
        let message = match event {
            Ok(event) => translate(event),
            Err(error @ client::Error::Expired(_)) => {
                debug!(%kind, %error, "listing anew");
                continue;
            }
            Err(error) => {
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

/// Reads an object; what cannot be read is reported and left out.
fn read<K: Resource<DynamicType = ()> + DeserializeOwned>(object: &Raw) -> Option<K> {
    match object.parse() {
        Ok(object) => Some(object),
        Err(error) => {
            warn!(kind = %K::kind(&()), %error, "ignoring an object that cannot be read");
            None
        }
    }
}
