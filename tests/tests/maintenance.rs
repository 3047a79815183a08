//! What an administrator does with a node and with workloads by single commands of the real kubectl.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::Value;
use tests::process::Guard;

use super::web::{Kubectl, items, workload};

impl Kubectl {
    /// Runs kubectl, which must fail and complain of this.
    #[track_caller]
    fn complains(&self, line: &str, what: &str) {
        let output = self.command(line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(what), "kubectl {line}: {said:?}");
    }

    /// Names of the pods with a label that are not on their way out.
    fn pods(&self, app: &str) -> Vec<String> {
        let list = self.0.get(&["pods", "-l", &format!("app={app}")]).unwrap();
        let here = items(&list).iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        here.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }
}

const BUDGET: &str = "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
";

#[test]
fn a_node_is_drained_as_far_as_budgets_allow() {
    let Some(kubectl) = Kubectl::start(&["test/web:v1"]) else { return };
    let web = workload("Deployment", "web", "replicas: 2");
    let agent = workload("DaemonSet", "agent", "minReadySeconds: 0");
    kubectl.0.apply(&[web, agent, BUDGET.to_owned()].concat()).unwrap();
    kubectl.says("rollout status deployment/web --timeout=90s", "successfully rolled out");
    kubectl.says("rollout status daemonset/agent --timeout=90s", "successfully rolled out");
    kubectl.0.until(&["pdb", "web"], |budget| budget["status"]["disruptionsAllowed"] == 1);
    let nodes = kubectl.0.get(&["nodes"]).unwrap();
    let node = items(&nodes)[0]["metadata"]["name"].as_str().unwrap().to_owned();

    kubectl.says(&format!("cordon {node}"), "cordoned");
    kubectl.says(&format!("get node {node}"), "Ready,SchedulingDisabled");
    kubectl.says(&format!("uncordon {node}"), "uncordoned");
    let daemons = "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)";
    kubectl.complains(&format!("drain {node}"), daemons);

    let (before, daemon) = (kubectl.pods("web"), kubectl.pods("agent"));
    let mut drain = kubectl.command(&format!("drain {node} --ignore-daemonsets --timeout=180s"));
    let mut drain = Guard::spawn(drain.stdout(Stdio::piped()).stderr(Stdio::piped())).unwrap();
    // The budget lets one go; the next one has to wait for what takes its place, which has nowhere to go.
    let refused = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut heard = String::new();
    let mut complaints = BufReader::new(drain.child().stderr.take().unwrap()).lines();
    let waits = complaints.by_ref().map_while(Result::ok).any(|line| {
        heard.push_str(&line);
        line.contains(refused) && line.contains("will retry after")
    });
    assert!(waits, "{heard}");
    let replaced = |list: &Value| {
        let pending = |pod: &&Value| pod["status"]["phase"] == "Pending";
        items(list).len() == 2 && items(list).iter().filter(pending).count() == 1
    };
    kubectl.0.until(&["pods", "-l", "app=web"], replaced);
    kubectl.says(&format!("uncordon {node}"), "uncordoned");
    let mut said = String::new();
    drain.child().stdout.take().unwrap().read_to_string(&mut said).unwrap();
    heard.extend(complaints.map_while(Result::ok));
    assert!(drain.child().wait().unwrap().success(), "{said}{heard}");
    assert!(said.contains(&format!("node/{node} drained")), "{said}{heard}");

    kubectl.says("rollout status deployment/web --timeout=90s", "successfully rolled out");
    let after = kubectl.pods("web");
    assert!(before.iter().all(|name| !after.contains(name)), "{before:?} are gone: {after:?}");
    assert_eq!(kubectl.pods("agent"), daemon, "of the DaemonSet nothing was touched");
}

#[test]
fn workloads_are_made_and_scaled_by_commands() {
    let Some(kubectl) = Kubectl::start(&["test/web:v1"]) else { return };
    kubectl.says("create deployment web --image=test/web:v1", "deployment.apps/web created");
    kubectl.says("autoscale deployment web --min=2 --max=4 --cpu-percent=80", "autoscaled");
    kubectl.says(
        "wait --for=jsonpath={.status.availableReplicas}=2 deployment/web --timeout=90s",
        "condition met",
    );
    let scaler = kubectl.0.get(&["hpa", "web"]).unwrap();
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "web");
    kubectl.says("get hpa web", "Deployment/web");
    kubectl.says(
        "wait --for=condition=AbleToScale hpa/web --timeout=90s",
        "horizontalpodautoscaler.autoscaling/web condition met",
    );
    kubectl.says("delete hpa web", "deleted");
    kubectl.says("delete deployment web", "deleted");
    kubectl.says("wait --for=delete pod -l app=web --timeout=90s", "");
}
