//! Workloads from one version to the next, with real pods: under load without a lost request, and by
//! `kubectl rollout`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]
#![allow(clippy::print_stdout, reason = "says when the host has no kubectl")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::{http, wait};

use super::web::{Kubectl, items, with_web, workload};

/// The names of the web server.
const VERSIONS: [&str; 2] = ["test/web:v1", "test/web:v2"];

/// A pod on its way out goes on serving for a while, as everywhere with Kubernetes: until everybody
/// who sends requests has heard of it.
const SHOP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: web
        image: test/web:VERSION
        env: [{name: RELEASE, value: VERSION}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 8}}}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: http}]}
";

/// Waits until the rollout of the version is over, pods on their way out included.
fn rolled_out(cluster: &Cluster, version: &str) {
    let replicas = |count: &Value| count.as_u64() == Some(3);
    cluster.until(&["deployment", "shop"], |object| {
        let status = &object["status"];
        status["observedGeneration"] == object["metadata"]["generation"]
            && replicas(&status["updatedReplicas"])
            && replicas(&status["replicas"])
            && replicas(&status["availableReplicas"])
    });
    cluster.until(&["pods", "-l", "app=shop"], |list| {
        items(list).len() == 3
            && items(list).iter().all(|pod| {
                let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
                image.ends_with(version) && pod["metadata"]["deletionTimestamp"].is_null()
            })
    });
}

#[test]
fn a_rolling_update_under_load_loses_no_request() {
    let cluster = with_web(&VERSIONS);
    cluster.apply(&SHOP.replace("VERSION", "v1")).unwrap();
    rolled_out(&cluster, "v1");
    let service = cluster.get(&["service", "shop"]).unwrap();
    let address = format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap());
    let asks = |version: &str| {
        wait::eventually(&format!("{version} answers"), PATIENCE, || {
            let answer = http::get(&address, "/").map_err(|error| format!("{error:#}"))?;
            let told = format!("env RELEASE={version}");
            if answer.body.lines().any(|line| line == told) { Ok(()) } else { Err(answer.body) }
        });
    };
    asks("v1");

    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let load = || {
            let mut failures = Vec::new();
            while !over.load(Ordering::Relaxed) {
                match http::get(&address, "/") {
                    Ok(answer) if answer.status == 200 => {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(answer) => failures.push(format!("{answer:?}")),
                    Err(error) => failures.push(format!("{error:#}")),
                }
            }
            failures
        };
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(load)).collect();
        // The clients end, whatever becomes of the rollouts.
        let rollouts = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for version in ["v2", "v1"] {
                cluster.apply(&SHOP.replace("VERSION", version)).unwrap();
                rolled_out(&cluster, version);
                asks(version);
            }
        }));
        over.store(true, Ordering::Relaxed);
        let failures: Vec<String> =
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        if let Err(panic) = rollouts {
            std::panic::resume_unwind(panic);
        }
        let answered = answered.load(Ordering::Relaxed);
        println!("{answered} requests answered");
        assert!(failures.is_empty(), "{} of {answered}: {failures:#?}", failures.len());
        assert!(answered > 0);
    });
}

impl Kubectl {
    /// The images of the pods with a label, without repetition.
    fn images(&self, app: &str) -> Vec<String> {
        let list = self.0.get(&["pods", "-l", &format!("app={app}")]).unwrap();
        let image = |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().map(str::to_owned);
        let here = items(&list).iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let mut images: Vec<String> = here.filter_map(image).collect();
        images.sort_unstable();
        images.dedup();
        images
    }
}

#[test]
fn kubectl_rolls_deployments_out_and_back() {
    let Some(kubectl) = Kubectl::start(&VERSIONS) else { return };
    kubectl.0.apply(&workload("Deployment", "web", "replicas: 2")).unwrap();
    let status = "rollout status deployment/web --timeout=90s";
    let done = "deployment \"web\" successfully rolled out";
    kubectl.says(status, done);
    kubectl.says("annotate deployment/web kubernetes.io/change-cause=second", "annotated");
    kubectl.says("set image deployment/web web=test/web:v2", "image updated");
    kubectl.says(status, done);
    assert_eq!(kubectl.images("web"), ["test/web:v2"]);
    kubectl.says("rollout history deployment/web", "2         second");
    kubectl.says("rollout history deployment/web --revision=1", "test/web:v1");
    kubectl.says("rollout undo deployment/web", "deployment.apps/web rolled back");
    kubectl.says(status, done);
    assert_eq!(kubectl.images("web"), ["test/web:v1"]);
    kubectl.says("rollout history deployment/web --revision=3", "test/web:v1");
    kubectl.says("rollout undo deployment/web --to-revision=2", "rolled back");
    kubectl.says(status, done);
    assert_eq!(kubectl.images("web"), ["test/web:v2"]);

    kubectl.says("rollout pause deployment/web", "deployment.apps/web paused");
    kubectl.says("set image deployment/web web=test/web:v1", "image updated");
    kubectl.says("scale deployment/web --replicas=3", "deployment.apps/web scaled");
    kubectl.says(
        "wait --for=jsonpath={.status.availableReplicas}=3 deployment/web --timeout=90s",
        "condition met",
    );
    assert_eq!(kubectl.images("web"), ["test/web:v2"], "nothing rolls while paused");
    kubectl.says("rollout resume deployment/web", "deployment.apps/web resumed");
    kubectl.says(status, done);
    assert_eq!(kubectl.images("web"), ["test/web:v1"]);

    kubectl.says("rollout restart deployment/web", "deployment.apps/web restarted");
    kubectl.says(status, done);
    kubectl.says("wait --for=condition=Available deployment/web --timeout=90s", "condition met");
    kubectl.says("get deployment web", "3/3     3            3");
    kubectl.says("describe deployment web", "NewReplicaSetAvailable");
    kubectl.says("get events --field-selector=reason=ScalingReplicaSet", "Scaled up replica set");
    kubectl.says("delete deployment web --cascade=foreground", "deployment.apps \"web\" deleted");
    kubectl.0.until(&["pods,replicasets", "-l", "app=web"], |list| items(list).is_empty());
}

#[test]
fn kubectl_rolls_stateful_sets_and_daemon_sets_out_and_back() {
    let Some(kubectl) = Kubectl::start(&VERSIONS) else { return };
    let db = workload("StatefulSet", "db", "replicas: 2\n  serviceName: db");
    let agent = workload("DaemonSet", "agent", "minReadySeconds: 0");
    kubectl.0.apply(&[db, agent].concat()).unwrap();
    for (workload, app, done) in [
        ("statefulset/db", "db", "complete"),
        ("daemonset/agent", "agent", "daemon set \"agent\" successfully rolled out"),
    ] {
        let run = |line: &str, what: &str| kubectl.says(&line.replace("X", workload), what);
        // A StatefulSet that is there already says so in other words.
        run("rollout status X --timeout=90s", "roll");
        run("set image X web=test/web:v2", "image updated");
        run("rollout status X --timeout=90s", done);
        assert_eq!(kubectl.images(app), ["test/web:v2"]);
        run("rollout history X", "2 ");
        run("rollout history X --revision=1", "test/web:v1");
        run("rollout undo X", "rolled back");
        run("rollout status X --timeout=90s", done);
        assert_eq!(kubectl.images(app), ["test/web:v1"]);
        run("rollout restart X", "restarted");
        run("rollout status X --timeout=90s", done);
    }
    kubectl.says("scale statefulset/db --replicas=1", "scaled");
    let pods = kubectl.0.until(&["pods", "-l", "app=db"], |list| items(list).len() == 1);
    assert_eq!(items(&pods)[0]["metadata"]["name"], "db-0");
    kubectl.says("get pods -l app=db", "db-0   1/1     Running");
    kubectl.says("get statefulset db", "1/1");
    kubectl.says("get daemonset agent", "1         1         1       1            1");
}
