//! Who uses the cluster: workloads that come, change and go, and nodes that are emptied.

mod drain;
mod objects;

use std::sync::Arc;

use api::resources::Resource;
use http::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::objects::{Kind, NAMESPACE, containers};
use crate::facts::{is_active, is_leaving, name, number, owner, text};
use crate::nodes::BROKEN;
use crate::random::Random;
use crate::world::{Call, Object, State, World, row};

const USER: &str = "user";
/// The most replicas.
const REPLICAS: u64 = 5;
/// The name of the CronJob.
const CRON: &str = "minutely";
/// Enough for two StatefulSets.
const VOLUMES: u64 = 2 * REPLICAS;

/// All users.
pub(crate) struct Users {
    world: Arc<World>,
    random: Random,
    /// Whether they exist or not.
    workloads: Vec<Workload>,
    /// The workload whose template was changed last.
    changed: Option<Workload>,
    urgent: u64,
    jobs: u64,
    /// Whether there is work every minute.
    scheduled: bool,
    calm: CancellationToken,
}

/// Something that keeps pods running.
#[derive(Debug, Clone)]
struct Workload {
    kind: Kind,
    name: String,
}

impl Workload {
    fn resource(&self) -> &'static Arc<Resource> {
        row(self.kind.group(), self.kind.plural())
    }

    fn find(&self, state: &State) -> Option<Arc<Object>> {
        state.object(self.resource(), NAMESPACE, &self.name)
    }
}

impl Users {
    /// They do as `random` says.
    pub(crate) fn new(world: Arc<World>, random: Random) -> Self {
        let (workloads, calm) = (Vec::new(), CancellationToken::new());
        Self { world, random, workloads, changed: None, urgent: 0, jobs: 0, scheduled: false, calm }
    }

    fn ask(&self, method: Method, of: &'static Arc<Resource>, path: (&str, &str), body: &Value) {
        let call = Call::of_user(method, of, (path.0, path.1, ""), body);
        // What is not there any more cannot be changed.
        self.world.request(USER, &call).ok();
    }

    fn create(&self, of: &'static Arc<Resource>, object: &Value) {
        self.ask(Method::POST, of, (text(object, "/metadata/namespace"), ""), object);
    }

    fn patch(&self, workload: &Workload, patch: &Value) {
        self.ask(Method::PATCH, workload.resource(), (NAMESPACE, &workload.name), patch);
    }

    /// What there is in the beginning: a workload, sometimes a second one.
    pub(crate) fn begin(&mut self) {
        let kinds = [
            Kind::Deployment,
            Kind::Deployment,
            Kind::Deployment,
            Kind::StatefulSet,
            Kind::StatefulSet,
            Kind::DaemonSet,
            Kind::ReplicationController,
        ];
        for number in 0..1 + usize::from(self.random.happens(350)) {
            let kind = *self.random.one(&kinds);
            self.deploy(kind, number);
        }
        self.scheduled = self.random.happens(150);
        if self.scheduled {
            let cron_job = objects::cron_job(CRON, &mut self.random);
            self.create(row("batch", "cronjobs"), &cron_job);
        }
        if self.workloads.iter().any(|workload| workload.kind == Kind::StatefulSet) {
            for number in 0..VOLUMES {
                self.create(row("", "persistentvolumes"), &objects::volume(number));
            }
        }
    }

    /// A new workload, perhaps with a budget.
    fn deploy(&mut self, kind: Kind, number: usize) {
        let name = match kind {
            Kind::Deployment => format!("web{number}"),
            Kind::StatefulSet => format!("db{number}"),
            Kind::DaemonSet => format!("log{number}"),
            Kind::ReplicationController => format!("old{number}"),
        };
        let workload = Workload { kind, name };
        let object = kind.object(&workload.name, &mut self.random);
        self.create(workload.resource(), &object);
        if let Some(replicas) = object["spec"]["replicas"].as_u64()
            && self.random.happens(500)
        {
            let budget = objects::budget(&workload.name, replicas, &mut self.random);
            self.create(row("policy", "poddisruptionbudgets"), &budget);
        }
        if kind == Kind::Deployment && self.random.happens(200) {
            let autoscaler = objects::autoscaler(&workload.name, &mut self.random);
            self.create(row("autoscaling", "horizontalpodautoscalers"), &autoscaler);
        }
        self.workloads.push(workload);
    }

    /// Whether there is work every minute.
    pub(crate) fn have_schedule(&self) -> bool {
        self.scheduled
    }

    /// Work that ends.
    pub(crate) fn job(&mut self) {
        self.jobs += 1;
        let job = objects::job(self.jobs, &mut self.random);
        self.create(row("batch", "jobs"), &job);
    }

    fn some(&mut self) -> Workload {
        self.random.one(&self.workloads).clone()
    }

    /// Another number of replicas.
    pub(crate) fn scale(&mut self) {
        let (workload, replicas) = (self.some(), self.random.below(REPLICAS + 1));
        if workload.kind != Kind::DaemonSet {
            self.patch(&workload, &json!({"spec": {"replicas": replicas}}));
        }
    }

    /// Another template, or one of before.
    pub(crate) fn change(&mut self) {
        self.changed = Some(self.some());
        self.change_again();
    }

    /// Another template for the workload that was changed last.
    pub(crate) fn change_again(&mut self) {
        let Some(workload) = self.changed.clone() else { return };
        let version = self.random.below(5).to_string();
        let template = json!({"metadata": {"annotations": {"version": version}},
            "spec": {"containers": containers(true)}});
        self.patch(&workload, &json!({"spec": {"template": template}}));
    }

    /// A template whose pods are never ready.
    pub(crate) fn break_image(&mut self) {
        let workload = self.some();
        let template = json!({"spec": {"containers": containers(false)}});
        self.patch(&workload, &json!({"spec": {"template": template}}));
    }

    /// Stops a rollout, or goes on.
    pub(crate) fn pause(&mut self) {
        let (workload, paused) = (self.some(), self.random.happens(500));
        if workload.kind == Kind::Deployment {
            self.patch(&workload, &json!({"spec": {"paused": paused}}));
        }
    }

    /// Deletes a workload, or makes one of its name again.
    pub(crate) fn recreate(&mut self) {
        let workload = self.some();
        if self.world.read(|state| workload.find(state)).is_none() {
            let object = workload.kind.object(&workload.name, &mut self.random);
            return self.create(workload.resource(), &object);
        }
        let policy = *self.random.one(&["Background", "Foreground", "Orphan"]);
        let options = json!({"propagationPolicy": policy});
        self.ask(Method::DELETE, workload.resource(), (NAMESPACE, &workload.name), &options);
    }

    fn some_pod(&mut self) -> Option<String> {
        let pods = self.world.read(|state| {
            let all = state.all(row("", "pods")).filter(|pod| is_active(pod));
            all.map(|pod| name(pod).to_owned()).collect::<Vec<_>>()
        });
        (!pods.is_empty()).then(|| self.random.one(&pods).clone())
    }

    fn delete_pod(&self, pod: &str, options: &Value) {
        self.ask(Method::DELETE, row("", "pods"), (NAMESPACE, pod), options);
    }

    /// Deletes a pod.
    pub(crate) fn remove_pod(&mut self) {
        if let Some(pod) = self.some_pod() {
            self.delete_pod(&pod, &json!({}));
        }
    }

    /// A pod fails for good, as when its node has no memory left.
    pub(crate) fn fail_pod(&mut self) {
        if let Some(pod) = self.some_pod() {
            self.world.edit(USER, row("", "pods"), (NAMESPACE, &pod), |pod, _| {
                if !text(pod, "/spec/nodeName").is_empty() {
                    pod["status"]["phase"] = "Failed".into();
                    pod["status"]["conditions"] = json!([]);
                }
            });
        }
    }

    /// A pod before which others have to give way.
    pub(crate) fn urgent(&mut self) {
        self.urgent += 1;
        self.create(row("", "pods"), &objects::urgent(&urgent_name(self.urgent)));
    }

    fn cordon(&self, node: &str, cordoned: bool) {
        let patch = json!({"spec": {"unschedulable": cordoned}});
        self.ask(Method::PATCH, row("", "nodes"), ("", node), &patch);
    }

    /// Lets a node have pods again.
    pub(crate) fn uncordon(&self, node: &str) {
        self.cordon(node, false);
    }

    /// Takes a node out of the cluster.
    pub(crate) fn remove_node(&self, node: &str) {
        self.ask(Method::DELETE, row("", "nodes"), ("", node), &json!({}));
    }

    /// Empties a node and opens it again.
    pub(crate) fn drain(&self, node: String) -> impl Future<Output = ()> + Send + use<> {
        self.cordon(&node, true);
        let random = self.random.of(&node);
        drain::drain(self.world.clone(), self.calm.clone(), node, random)
    }

    /// Makes up their minds: what fits into the cluster, and works. Of `nodes` nodes each has room for
    /// `room` pods.
    pub(crate) fn settle(&mut self, nodes: u64, room: u64) {
        self.calm.cancel();
        for number in 1..=self.urgent {
            self.delete_pod(&urgent_name(number), &json!({"gracePeriodSeconds": 0}));
        }
        if self.scheduled {
            let path = (NAMESPACE, CRON);
            let patch = json!({"spec": {"suspend": true}});
            self.ask(Method::PATCH, row("batch", "cronjobs"), path, &patch);
        }
        let daemons = self.workloads.iter().filter(|it| it.kind == Kind::DaemonSet).count();
        // One more while it is updated.
        let room = nodes * room.saturating_sub(2 * daemons as u64);
        let share = room / (self.workloads.len() - daemons).max(1) as u64;
        for workload in self.workloads.clone() {
            let Some(found) = self.world.read(|state| workload.find(state)) else { continue };
            let template = json!({"spec": {"containers": containers(true)}});
            let mut spec = json!({"template": template});
            // A rollout needs room for half as many pods again.
            let most = (share * 2 / 3).saturating_sub(1);
            if let Some(had) = number(&found.value, "/spec/replicas") {
                spec["replicas"] = u64::try_from(had).unwrap_or(1).min(most).into();
            }
            if workload.kind == Kind::Deployment {
                spec["paused"] = false.into();
                // An autoscaler has to keep to it as well, if there is one.
                let path = (NAMESPACE, workload.name.as_str());
                let limit = json!({"spec": {"minReplicas": 1, "maxReplicas": most.max(1)}});
                let of = row("autoscaling", "horizontalpodautoscalers");
                self.ask(Method::PATCH, of, path, &limit);
            }
            self.patch(&workload, &json!({"spec": spec}));
        }
    }

    /// Takes away what belongs to nobody any more: autoscalers, and what a workload that was deleted
    /// has left behind, unless another one of its name has adopted it.
    pub(crate) fn clear(&self) {
        let autoscalers = row("autoscaling", "horizontalpodautoscalers");
        for workload in &self.workloads {
            let gone = self.world.read(|state| workload.find(state).is_none());
            let path = (NAMESPACE, workload.name.as_str());
            if gone && self.world.read(|state| state.object(autoscalers, path.0, path.1).is_some())
            {
                self.ask(Method::DELETE, autoscalers, path, &json!({}));
            }
        }
        for of in [row("apps", "replicasets"), row("", "pods")] {
            let loose = self.world.read(|state| {
                let all = state.all(of).filter(|it| owner(it).is_none() && !is_leaving(it));
                let left = all.filter(|it| it["metadata"]["labels"]["app"].is_string());
                left.map(|it| name(it).to_owned()).collect::<Vec<_>>()
            });
            for name in loose {
                self.ask(Method::DELETE, of, (NAMESPACE, &name), &json!({}));
            }
        }
    }

    /// Takes away pods of StatefulSets that will never be ready: an ordered update waits for them for
    /// ever, and people are told to do so.
    ///
    /// Source: <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback>.
    pub(crate) fn help(&self) {
        let stuck = self.world.read(|state| {
            let all = state.all(row("", "pods")).filter(|pod| is_active(pod));
            let stuck = all.filter(|pod| {
                text(pod, "/metadata/ownerReferences/0/kind") == "StatefulSet"
                    && pod["spec"]["containers"][0]["image"] == BROKEN
            });
            stuck.map(|pod| name(pod).to_owned()).collect::<Vec<_>>()
        });
        for pod in stuck {
            self.delete_pod(&pod, &json!({}));
        }
    }
}

fn urgent_name(number: u64) -> String {
    format!("urgent-{number}")
}
