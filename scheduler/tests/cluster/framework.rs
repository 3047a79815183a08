//! Profiles, and plugins that a program adds at every point after the decision.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use scheduler::bind::BindError;
use scheduler::cache::Cache;
use scheduler::configuration::{Enabled, PluginSet, Plugins, Point, Profile};
use scheduler::framework::{
    Parts, Permission, Permit, PostBind, PreBind, Rejection, Reserve, Waiting, Work,
};
use scheduler::node::NodeInfo;
use scheduler::pod::PodInfo;
use tokio::sync::watch;

use super::*;

/// Notes what it is asked, and does what the pod's label `gate` says.
#[derive(Clone)]
struct Gate(watch::Sender<Vec<String>>);

impl Gate {
    fn note(&self, what: &str, pod: &PodInfo) {
        let note = format!("{what} {}", pod.name);
        self.0.send_modify(|notes| notes.push(note));
    }

    /// What was asked about a pod.
    fn notes(&self, pod: &str) -> Vec<String> {
        let about = |note: &String| note.strip_suffix(pod).map(|what| what.trim().to_owned());
        self.0.borrow().iter().filter_map(about).collect()
    }
}

fn wish(pod: &PodInfo) -> &str {
    pod.labels.get("gate").map_or("", String::as_str)
}

const NAME: &str = "Gate";

impl Reserve for Gate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reserve(&self, pod: &Arc<PodInfo>, _: &Arc<str>, _: &mut Cache) -> Result<(), Rejection> {
        self.note("reserve", pod);
        if wish(pod) == "taken" { Err(Rejection::unresolvable("it is taken")) } else { Ok(()) }
    }

    fn unreserve(&self, pod: &PodInfo, _: &mut Cache) {
        self.note("unreserve", pod);
    }
}

impl Permit for Gate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn permit(&self, pod: &PodInfo, node: &str) -> Permission {
        assert_eq!(node, "only");
        self.note("permit", pod);
        match wish(pod) {
            "wait" => Permission::Wait(Duration::from_secs(3600)),
            "late" => Permission::Wait(Duration::from_millis(1)),
            "deny" => Permission::Deny("not today".to_owned()),
            _ => Permission::Allow,
        }
    }
}

impl PreBind for Gate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn pre_bind(&self, pod: &Arc<PodInfo>, _: &NodeInfo, _: &Cache, _: &Client) -> Option<Work> {
        self.note("prebind", pod);
        let wish = wish(pod).to_owned();
        Some(Box::pin(async move {
            match wish.as_str() {
                "fail" => Err(BindError::Failed { reason: "no power".to_owned() }),
                "stuck" => std::future::pending().await,
                _ => Ok(()),
            }
        }))
    }
}

impl PostBind for Gate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn post_bind(&self, pod: &PodInfo, _: &str) {
        self.note("postbind", pod);
    }
}

fn enable(name: &str) -> PluginSet {
    let enabled = vec![Enabled { name: name.to_owned(), weight: None }];
    PluginSet { enabled, disabled: Vec::new() }
}

/// A cluster with one node whose only scheduler has the gate.
async fn gated() -> (Cluster, Gate, Waiting) {
    let gate = Gate(watch::Sender::new(Vec::new()));
    let mut config = Config::default();
    let plugin = Arc::new(gate.clone());
    config.registry.add(NAME, move |_| {
        Ok(Parts {
            reserve: Some(plugin.clone()),
            permit: Some(plugin.clone()),
            pre_bind: Some(plugin.clone()),
            post_bind: Some(plugin.clone()),
            ..Parts::default()
        })
    });
    let plugins = Plugins::default().with(enable(NAME), BTreeMap::new());
    config.profiles = vec![Profile { plugins, ..Profile::default() }];
    let waiting = config.waiting.clone();
    let cluster = Cluster::start_with(config).await;
    cluster.node("only", "4Gi").await;
    (cluster, gate, waiting)
}

impl Cluster {
    async fn gated_pod(&self, name: &str, gate: &str) {
        let pod = json!({"metadata": {"name": name, "labels": {"gate": gate}},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}});
        let pod = serde_json::from_value(pod).unwrap();
        self.pods.create(&PostParams::default(), &pod).await.unwrap();
    }
}

#[tokio::test]
async fn plugins_are_asked_point_after_point() {
    let (cluster, gate, _) = gated().await;
    cluster.gated_pod("plain", "").await;
    assert_eq!(cluster.bound("plain").await, "only");
    eventually("it is told", || async {
        let notes = gate.notes("plain");
        if notes == ["reserve", "permit", "prebind", "postbind"] { Ok(()) } else { Err(notes) }
    })
    .await;
    for (wish, message, notes) in [
        ("taken", "0/1 nodes are available: 1 it is taken.", &["reserve", "unreserve"][..]),
        ("deny", "0/1 nodes are available: 1 not today.", &["reserve", "permit", "unreserve"]),
        (
            "late",
            "0/1 nodes are available: 1 rejected due to timeout after waiting 1ms at plugin Gate.",
            &["reserve", "permit", "prebind", "unreserve"],
        ),
        (
            "fail",
            "running PreBind plugin \"Gate\": no power",
            &["reserve", "permit", "prebind", "unreserve"],
        ),
    ] {
        cluster.gated_pod(wish, wish).await;
        let event = cluster.event(wish, "FailedScheduling").await;
        assert_eq!(event.message.as_deref(), Some(message));
        assert_eq!(gate.notes(wish)[..notes.len()], *notes, "{wish}");
        assert_eq!(cluster.pods.get(wish).await.unwrap().spec.unwrap().node_name, None);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_pod_waits_for_permission_and_holds_its_place() {
    let (cluster, gate, waiting) = gated().await;
    cluster.gated_pod("patient", "wait").await;
    let held = eventually("it waits", || async {
        waiting.pods().into_iter().next().ok_or("nobody waits")
    })
    .await;
    assert_eq!((held.0.name.as_str(), &*held.1), ("patient", "only"));
    // Others go on meanwhile.
    cluster.gated_pod("plain", "").await;
    cluster.bound("plain").await;
    assert_eq!(cluster.pods.get("patient").await.unwrap().spec.unwrap().node_name, None);
    assert!(waiting.allow(&held.0.uid, NAME));
    assert_eq!(cluster.bound("patient").await, "only");

    // One that is deleted meanwhile gives everything back, whatever it is waited for.
    for (name, wish) in [("leaving", "wait"), ("hopeless", "stuck")] {
        cluster.gated_pod(name, wish).await;
        let last = |wanted: &'static str| {
            let gate = gate.clone();
            async move {
                eventually(&format!("{wanted} of {name}"), || async {
                    let notes = gate.notes(name);
                    if notes.last().is_some_and(|n| n == wanted) { Ok(()) } else { Err(notes) }
                })
                .await;
            }
        };
        last("prebind").await;
        cluster.pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
        last("unreserve").await;
    }
    assert!(waiting.pods().is_empty());
    cluster.stop().await;
}

#[tokio::test]
async fn every_profile_has_its_own_plugins() {
    let disabled = PluginSet { disabled: vec!["NodeUnschedulable".into()], ..PluginSet::default() };
    let points = BTreeMap::from([(Point::Filter, disabled)]);
    let careless = Profile {
        scheduler_name: "careless".to_owned(),
        plugins: Plugins::default().with(PluginSet::default(), points),
        ..Profile::default()
    };
    let profiles = vec![Profile::default(), careless];
    let cluster = Cluster::start_with(Config { profiles, ..Config::default() }).await;
    cluster.node("only", "4Gi").await;
    let patch = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    cluster.nodes.patch("only", &PatchParams::default(), &patch).await.unwrap();
    cluster.pod("careful", "1Mi", json!({})).await;
    let event = cluster.event("careful", "FailedScheduling").await;
    assert_eq!(event.source.unwrap().component.as_deref(), Some("default-scheduler"));
    let tolerant = json!({"schedulerName": "careless", "tolerations": [{"operator": "Exists"}]});
    cluster.pod("other", "1Mi", tolerant).await;
    assert_eq!(cluster.bound("other").await, "only");
    let event = cluster.event("other", "Scheduled").await;
    assert_eq!(event.source.unwrap().component.as_deref(), Some("careless"));
    cluster.stop().await;
}

#[tokio::test]
async fn room_kept_for_a_pod_goes_to_one_that_matters_more() {
    let cluster = Cluster::start().await;
    let classes: Api<PriorityClass> = Api::all(cluster.pods.clone().into_client());
    for (name, value) in [("mid", 500), ("high", 1000)] {
        let class = json!({"metadata": {"name": name}, "value": value});
        let class = serde_json::from_value(class).unwrap();
        classes.create(&PostParams::default(), &class).await.unwrap();
    }
    cluster.node("only", "1Gi").await;
    cluster.pod("low", "800Mi", json!({})).await;
    cluster.bound("low").await;
    let nominated = |name: &'static str, wanted: Option<&'static str>| {
        let pods = cluster.pods.clone();
        async move {
            eventually(&format!("the nomination of {name}"), || async {
                let status = pods.get(name).await.unwrap().status.unwrap();
                let has = status.nominated_node_name.clone();
                if has.as_deref() == wanted { Ok(()) } else { Err(status) }
            })
            .await;
        }
    };
    for name in ["mid", "high"] {
        cluster.pod(name, "800Mi", json!({"priorityClassName": name})).await;
        nominated(name, Some("only")).await;
    }
    nominated("mid", None).await;
    cluster.pods.delete("low", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(cluster.bound("high").await, "only");
    // Bound, it needs no room any more.
    nominated("high", None).await;
    cluster.stop().await;
}
