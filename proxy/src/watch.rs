//! Follows Services, EndpointSlices and the own Node and keeps the listeners in step.
//!
//! Changes are gathered for a moment before the table is computed: a rollout changes many slices
//! within milliseconds. The first table is made when both lists are complete; before that nothing is
//! listened on. When the API server is away, the last table stands.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Resource};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::Config;
use crate::listeners::{Listeners, RETRY};
use crate::plan::{self, Place};

/// Label of a node: the zone it is in.
const ZONE: &str = "topology.kubernetes.io/zone";

/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(5);

/// A kind's objects by (namespace, name), as last told.
struct Followed<K> {
    open: Box<dyn Fn() -> Events<K> + Send>,
    events: Events<K>,
    objects: HashMap<(String, String), K>,
    list: HashMap<(String, String), K>,
    listed: bool,
}

type Events<K> = BoxStream<'static, watcher::Result<Event<K>>>;

impl<K> Followed<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    fn new(client: Client, config: watcher::Config) -> Self {
        let open: Box<dyn Fn() -> Events<K> + Send> = Box::new(move || {
            let api: Api<K> = Api::all(client.clone());
            watcher::watcher(api, config.clone()).default_backoff().boxed()
        });
        let events = open();
        Self { open, events, objects: HashMap::new(), list: HashMap::new(), listed: false }
    }

    /// Takes one event in. Returns whether the objects changed.
    fn take(&mut self, event: Option<watcher::Result<Event<K>>>) -> bool {
        let key = |object: &K| (object.namespace().unwrap_or_default(), object.name_any());
        let kind = K::kind(&());
        match event {
            Some(Ok(Event::Init)) => self.list.clear(),
            Some(Ok(Event::InitApply(object))) => {
                self.list.insert(key(&object), object);
            }
            Some(Ok(Event::InitDone)) => {
                self.objects = std::mem::take(&mut self.list);
                self.listed = true;
                return true;
            }
            Some(Ok(Event::Apply(object))) => {
                self.objects.insert(key(&object), object);
                return true;
            }
            Some(Ok(Event::Delete(object))) => {
                self.objects.remove(&key(&object));
                return true;
            }
            Some(Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))))
                if status.code == 410 =>
            {
                // The stream would go on asking for a revision that is compacted away.
                debug!(%kind, "watch expired, listing anew");
                self.events = (self.open)();
            }
            Some(Err(error)) => warn!(%kind, %error, "watch failed, retrying"),
            None => self.events = (self.open)(),
        }
        false
    }
}

/// Keeps `listeners` in step until `shutdown`, then closes them.
pub(crate) async fn follow(
    config: &Config,
    client: Client,
    mut listeners: Listeners,
    shutdown: &CancellationToken,
) {
    let all = watcher::Config::default();
    let mut services: Followed<Service> = Followed::new(client.clone(), all.clone());
    let mut slices: Followed<EndpointSlice> = Followed::new(client.clone(), all.clone());
    let own = all.fields(&format!("metadata.name={}", config.node_name));
    let mut nodes: Followed<Node> = Followed::new(client, own);
    // Nothing waits for it: without a zone, hints for zones do not count.
    let mut zone: Option<String> = None;
    let mut due: Option<Instant> = None;
    loop {
        let changed = tokio::select! {
            () = shutdown.cancelled() => break,
            event = services.events.next() => services.take(event),
            event = slices.events.next() => slices.take(event),
            event = nodes.events.next() => {
                // Nodes change often, their zones hardly ever.
                nodes.take(event);
                let before = std::mem::replace(&mut zone, zone_of(nodes.objects.values().next()));
                before != zone
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                due = None;
                let table = plan::table(
                    services.objects.values(),
                    slices.objects.values(),
                    Place { node: &config.node_name, zone: zone.as_deref() },
                    &config.service_cidr,
                );
                listeners.apply(&table);
                if listeners.has_failed() {
                    due = Some(Instant::now() + RETRY);
                }
                false
            }
        };
        if changed && services.listed && slices.listed {
            let soon = Instant::now() + GATHER;
            due = Some(due.map_or(soon, |earlier| earlier.min(soon)));
        }
    }
    listeners.close();
}

/// The zone that the node says it is in.
fn zone_of(node: Option<&Node>) -> Option<String> {
    node?.labels().get(ZONE).filter(|zone| !zone.is_empty()).cloned()
}
