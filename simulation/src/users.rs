//! Who uses the cluster: Deployments that come, change and go, and nodes that are emptied.

use std::sync::Arc;
use std::time::Duration;

use api::resources::Resource;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::facts::{is_active, name, number, text};
use crate::laws::DRAIN;
use crate::nodes::BROKEN;
use crate::random::Random;
use crate::world::{Call, World, row};

const NAMESPACE: &str = "default";
const USER: &str = "user";

/// All users.
pub(crate) struct Users {
    world: Arc<World>,
    random: Random,
    /// Names of the Deployments, whether they exist or not.
    deployments: Vec<String>,
    made: u64,
    jobs: u64,
    calm: CancellationToken,
}

impl Users {
    /// They do as `random` says.
    pub(crate) fn new(world: Arc<World>, random: Random) -> Self {
        Self {
            world,
            random,
            deployments: Vec::new(),
            made: 0,
            jobs: 0,
            calm: CancellationToken::new(),
        }
    }

    fn ask(&self, method: Method, of: &'static Arc<Resource>, path: (&str, &str), body: &Value) {
        let call = Call::of_user(method, of, (path.0, path.1, ""), body);
        // What is not there any more cannot be changed.
        self.world.request(USER, &call).ok();
    }

    fn patch(&self, name: &str, patch: &Value) {
        self.ask(Method::PATCH, row("apps", "deployments"), (NAMESPACE, name), patch);
    }

    /// A new Deployment, perhaps with a budget.
    pub(crate) fn deploy(&mut self) {
        let name = format!("web{}", self.deployments.len());
        self.deployments.push(name.clone());
        let replicas = self.create(&name);
        if self.random.happens(500) {
            // Most have one or two pods to spare.
            let fewest = replicas.saturating_sub(1 + self.random.below(2)).max(1);
            let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"minAvailable": fewest,
                    "selector": {"matchLabels": {"app": name}}}});
            let budgets = row("policy", "poddisruptionbudgets");
            self.ask(Method::POST, budgets, (NAMESPACE, ""), &budget);
        }
    }

    /// Returns the number of replicas.
    fn create(&mut self, name: &str) -> u64 {
        let random = &mut self.random;
        let replicas = 1 + random.below(6);
        let shares = [json!(0), json!(1), json!(1), json!(2), json!("25%"), json!("50%")];
        let (surge, missing) = (random.one(&shares).clone(), random.one(&shares).clone());
        // Validation refuses nothing at all.
        let missing = if surge == 0 && missing == 0 { json!(1) } else { missing };
        let rolling = json!({"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}});
        let strategy = if random.happens(150) { json!({"type": "Recreate"}) } else { rolling };
        let toleration = |key: &str, seconds: u64| {
            json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists",
                "effect": "NoExecute", "tolerationSeconds": seconds})
        };
        let seconds = 1 + random.below(30);
        let tolerations = [toleration("not-ready", seconds), toleration("unreachable", seconds)];
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"replicas": replicas, "strategy": strategy,
                "minReadySeconds": if random.happens(300) { random.below(6) } else { 0 },
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {
                    "terminationGracePeriodSeconds": 1 + random.below(5),
                    "tolerations": tolerations, "containers": containers("good")}}}});
        self.ask(Method::POST, row("apps", "deployments"), (NAMESPACE, ""), &deployment);
        replicas
    }

    /// Work that ends.
    pub(crate) fn job(&mut self) {
        self.jobs += 1;
        let random = &mut self.random;
        let mut job = json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": format!("job-{}", self.jobs), "namespace": NAMESPACE},
            "spec": {"completions": 1 + random.below(5), "parallelism": 1 + random.below(3),
                "backoffLimit": 4, "completionMode": *random.one(&["Indexed", "NonIndexed"]),
                "template": {"spec": {"restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 2, "containers": containers("good")}}}});
        if random.happens(500) {
            job["spec"]["ttlSecondsAfterFinished"] = random.below(30).into();
        }
        self.ask(Method::POST, row("batch", "jobs"), (NAMESPACE, ""), &job);
    }

    fn some(&mut self) -> String {
        self.random.one(&self.deployments).clone()
    }

    /// Another number of replicas.
    pub(crate) fn scale(&mut self) {
        let (name, replicas) = (self.some(), self.random.below(7));
        self.patch(&name, &json!({"spec": {"replicas": replicas}}));
    }

    /// Another template, or one of before.
    pub(crate) fn change(&mut self) {
        let (name, version) = (self.some(), self.random.below(5).to_string());
        let template = json!({"metadata": {"annotations": {"version": version}},
            "spec": {"containers": containers("good")}});
        self.patch(&name, &json!({"spec": {"template": template}}));
    }

    /// A template whose pods are never ready.
    pub(crate) fn break_image(&mut self) {
        let name = self.some();
        let template = json!({"spec": {"containers": containers(BROKEN)}});
        self.patch(&name, &json!({"spec": {"template": template}}));
    }

    /// Stops a rollout, or goes on.
    pub(crate) fn pause(&mut self) {
        let (name, paused) = (self.some(), self.random.happens(500));
        self.patch(&name, &json!({"spec": {"paused": paused}}));
    }

    /// Deletes a Deployment, or makes one of its name again.
    pub(crate) fn recreate(&mut self) {
        let (name, deployments) = (self.some(), row("apps", "deployments"));
        let exists = |state: &crate::world::State| state.object(deployments, NAMESPACE, &name);
        if self.world.read(exists).is_none() {
            self.create(&name);
            return;
        }
        let policy = *self.random.one(&["Background", "Foreground"]);
        let options = json!({"propagationPolicy": policy});
        self.ask(Method::DELETE, deployments, (NAMESPACE, &name), &options);
    }

    fn some_pod(&mut self) -> Option<String> {
        let pods = self.world.read(|state| {
            let all = state.all(row("", "pods")).filter(|pod| is_active(pod));
            all.map(|pod| name(pod).to_owned()).collect::<Vec<_>>()
        });
        (!pods.is_empty()).then(|| self.random.one(&pods).clone())
    }

    /// Deletes a pod.
    pub(crate) fn remove_pod(&mut self) {
        if let Some(pod) = self.some_pod() {
            self.ask(Method::DELETE, row("", "pods"), (NAMESPACE, &pod), &json!({}));
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
        self.made += 1;
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("urgent-{}", self.made), "namespace": NAMESPACE},
            "spec": {"priority": 1000, "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "c", "image": "good",
                    "resources": {"requests": {"cpu": "1500m"}}}]}});
        self.ask(Method::POST, row("", "pods"), (NAMESPACE, ""), &pod);
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

    /// Empties a node, as `kubectl drain` does, and opens it again.
    pub(crate) fn drain(&self, node: String) -> impl Future<Output = ()> + Send + use<> {
        self.cordon(&node, true);
        let (world, calm) = (self.world.clone(), self.calm.clone());
        let mut random = self.random.of(&node);
        // Some take all pods at once.
        let longest = if random.happens(500) { 20 } else { 200 };
        async move {
            for _ in 0..20 {
                let pods: Vec<Value> = world.read(|state| {
                    let all = state.all(row("", "pods"));
                    let here = |pod: &&Value| text(pod, "/spec/nodeName") == node;
                    all.filter(here).filter(|pod| is_active(pod)).cloned().collect()
                });
                if pods.is_empty() {
                    break;
                }
                for pod in &pods {
                    let pause = random.millis(0, longest);
                    sleep(pause).await;
                    if calm.is_cancelled() {
                        return;
                    }
                    let path = (NAMESPACE, name(pod), "eviction");
                    let call = Call::of_user(Method::POST, row("", "pods"), path, &json!({}));
                    // The budget says when.
                    world.request(DRAIN, &call).ok();
                }
                sleep(Duration::from_secs(2)).await;
            }
            if !calm.is_cancelled() {
                let patch = json!({"spec": {"unschedulable": false}});
                let path = ("", &*node, "");
                let call = Call::of_user(Method::PATCH, row("", "nodes"), path, &patch);
                world.request(USER, &call).ok();
            }
        }
    }

    /// Makes up their minds: what fits into the cluster, and works. `room` is in pods.
    pub(crate) fn settle(&mut self, room: u64) {
        self.calm.cancel();
        for number in 1..=self.made {
            let options = json!({"gracePeriodSeconds": 0});
            let name = format!("urgent-{number}");
            self.ask(Method::DELETE, row("", "pods"), (NAMESPACE, &name), &options);
        }
        let share = room / self.deployments.len().max(1) as u64;
        for name in self.deployments.clone() {
            let found =
                self.world.read(|state| state.object(row("apps", "deployments"), NAMESPACE, &name));
            let Some(found) = found else { continue };
            let had = number(&found.value, "/spec/replicas").unwrap_or(1);
            // A rollout needs room for half as many pods again.
            let replicas = u64::try_from(had).unwrap_or(1).min(share * 2 / 3 - 1);
            let template = json!({"spec": {"containers": containers("good")}});
            let spec = json!({"paused": false, "replicas": replicas, "template": template});
            self.patch(&name, &json!({"spec": spec}));
        }
    }
}

fn containers(image: &str) -> Value {
    json!([{"name": "c", "image": image, "resources": {"requests": {"cpu": "500m"}}}])
}
