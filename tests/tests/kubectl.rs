//! The real kubectl, 1.32 where this was written, against `wctl dev`: nothing about it is changed.
//!
//! kubectl comes with the machine; where it is missing these tests say so and end. What kubectl asks of the API
//! server alone is tested beside that; here pods really run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]
#![allow(clippy::print_stdout, reason = "says when the host has no kubectl")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, succeed};
use tests::process::Guard;
use tests::wait;

struct Kubectl {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Kubectl {
    /// None, with a word on the output, where there is no kubectl.
    fn start() -> Option<Self> {
        let cluster = Cluster::start().unwrap();
        if cluster.kubectl().is_none() {
            println!("not tested: there is no kubectl on this machine");
            return None;
        }
        for (file, name) in [
            ("http-c.wasm", "test/web:v1"),
            ("spin.wasm", "test/spin:v1"),
            ("hello.wasm", "test/hello:v1"),
        ] {
            cluster.load_fixture(file, name).unwrap();
        }
        Some(Self { cluster, folder: tempfile::tempdir().unwrap() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.kubectl().expect("there was one at the start");
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// Runs kubectl with words split at spaces; it must succeed.
    #[track_caller]
    fn ok(&self, line: &str) -> String {
        succeed(&mut self.command(&line.split(' ').collect::<Vec<_>>())).unwrap()
    }

    /// Runs kubectl, which must fail; what it complains about.
    #[track_caller]
    fn refused(&self, line: &str) -> String {
        let output = self.command(&line.split(' ').collect::<Vec<_>>()).output().unwrap();
        assert!(!output.status.success(), "kubectl {line} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    fn file(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} -o json"))).unwrap()
    }

    /// Starts a kubectl that goes on; its lines as they come.
    fn follow(&self, line: &str) -> (Guard, mpsc::Receiver<String>) {
        let mut command = self.command(&line.split(' ').collect::<Vec<_>>());
        let mut guard = Guard::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null())).unwrap();
        let output = guard.child().stdout.take().unwrap();
        let (send, lines) = mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        (guard, lines)
    }
}

fn heard(lines: &mpsc::Receiver<String>, what: &str) -> String {
    wait::eventually(&format!("kubectl prints {what}"), PATIENCE, || {
        let mut seen = String::new();
        while let Ok(line) = lines.try_recv() {
            if line.contains(what) {
                return Ok(line);
            }
            seen.push_str(&line);
        }
        Err(seen)
    })
}

const WEB: &str = "apiVersion: v1
kind: ReplicationController
metadata: {name: web, labels: {tier: front}}
spec:
  replicas: 2
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: test/web:v1
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {tier: front}}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
";

#[test]
fn looking_at_what_runs_and_changing_it() {
    let Some(kubectl) = Kubectl::start() else { return };
    kubectl.file("web.yaml", WEB);
    let (_watch, events) = kubectl.follow("get pods -w --no-headers");
    assert_eq!(
        kubectl.ok("apply -f web.yaml"),
        "replicationcontroller/web created\nservice/web created\n"
    );
    assert_eq!(
        kubectl.ok("apply -f web.yaml"),
        "replicationcontroller/web unchanged\nservice/web unchanged\n"
    );
    kubectl.ok("wait --for=jsonpath={.status.readyReplicas}=2 rc/web --timeout=90s");
    kubectl.ok("wait --for=condition=Ready pod -l app=web --timeout=90s");
    for state in ["Pending", "Running"] {
        heard(&events, state);
    }

    // get, in every form.
    let pods = kubectl.ok("get pods");
    assert!(pods.starts_with("NAME ") && pods.matches("1/1     Running").count() == 2, "{pods}");
    let wide = kubectl.ok("get pods -o wide -l app=web --sort-by=.metadata.name");
    assert!(wide.contains("NOMINATED NODE") && wide.contains("10.244."), "{wide}");
    assert_eq!(kubectl.ok("get pods -o name").lines().count(), 2);
    assert_eq!(
        kubectl.ok("get pods --field-selector=status.phase=Running -o name").lines().count(),
        2
    );
    assert!(kubectl.ok("get all -A").contains("replicationcontroller/web"));
    assert_eq!(kubectl.ok("get rc web -o jsonpath={.status.readyReplicas}"), "2");
    assert_eq!(
        kubectl.ok("get rc -o custom-columns=N:.metadata.name,R:.spec.replicas --no-headers"),
        "web   2\n"
    );
    assert_eq!(kubectl.ok("get svc web -o go-template={{.spec.type}}"), "ClusterIP");
    assert!(kubectl.ok("get pods,svc,rc,ep,endpointslices --show-labels").contains("app=web"));
    assert!(kubectl.ok("get svc web -o yaml").contains("targetPort: http"));
    let nodes = kubectl.ok("get nodes -o wide");
    assert!(nodes.contains(" Ready ") && nodes.contains("wharf://"), "{nodes}");
    let node = kubectl.ok("get nodes -o jsonpath={.items[0].metadata.name}");
    assert!(kubectl.ok("get leases -A").contains(&node));
    assert!(kubectl.ok("api-resources").contains("replicationcontrollers"));
    let events = kubectl.ok("get events --sort-by=.lastTimestamp");
    for reason in ["Scheduled", "SuccessfulCreate", "Started"] {
        assert!(events.contains(reason), "{reason} in {events}");
    }
    assert!(kubectl.ok("events --for rc/web").contains("Created pod"));

    // describe.
    let pod = kubectl.ok("get pods -o jsonpath={.items[0].metadata.name}");
    let described = kubectl.ok(&format!("describe pod {pod}"));
    for words in [
        "Controlled By:  ReplicationController/web",
        "wharf://",
        "Ready:          True",
        "Readiness:      http-get",
        "Successfully assigned default/",
        "Started container web",
    ] {
        assert!(described.contains(words), "{words} in {described}");
    }
    let described = kubectl.ok(&format!("describe node {node}"));
    for words in [
        "KubeletReady",
        "Allocated resources:",
        &pod,
        "HolderIdentity:",
        "Unschedulable:      false",
    ] {
        assert!(described.contains(words), "{words} in {described}");
    }
    let described = kubectl.ok("describe svc web");
    assert!(
        described.contains("TargetPort:               http/TCP") && described.contains(":8080"),
        "{described}"
    );
    assert!(kubectl.ok("describe rc web").contains("2 Running / 0 Waiting"));

    // Changing: label, annotate, three patches, edit, scale.
    kubectl.ok(&format!("label pod {pod} tier=front"));
    assert_eq!(kubectl.ok("get pods -l tier=front -o name"), format!("pod/{pod}\n"));
    kubectl.ok(&format!("label pod {pod} tier-"));
    kubectl.ok(&format!("annotate pod {pod} note=seen"));
    let labels = |rc: &Value| rc["metadata"]["labels"].to_string();
    kubectl.ok(r#"patch rc web -p {"metadata":{"labels":{"by":"strategic"}}}"#);
    assert_eq!(labels(&kubectl.json("get rc web")), r#"{"by":"strategic","tier":"front"}"#);
    kubectl.ok(r#"patch rc web --type=merge -p {"metadata":{"labels":{"by":null,"m":"1"}}}"#);
    kubectl.ok(r#"patch rc web --type=json -p [{"op":"test","path":"/metadata/labels/m","value":"1"},{"op":"move","from":"/metadata/labels/m","path":"/metadata/labels/j"}]"#);
    assert_eq!(labels(&kubectl.json("get rc web")), r#"{"j":"1","tier":"front"}"#);
    let failed = kubectl.refused(
        r#"patch rc web --type=json -p [{"op":"test","path":"/metadata/labels/j","value":"2"}]"#,
    );
    assert!(
        failed.contains("the server rejected our request") || failed.contains("test"),
        "{failed}"
    );
    kubectl.file("editor", "#!/bin/sh\nsed -i 's/^  replicas: 2/  replicas: 1/' \"$1\"\n");
    let editor = kubectl.folder.path().join("editor");
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let edited =
        succeed(kubectl.command(&["edit", "rc", "web"]).env("KUBE_EDITOR", &editor)).unwrap();
    assert_eq!(edited, "replicationcontroller/web edited\n");
    kubectl.ok("wait --for=jsonpath={.status.replicas}=1 rc/web --timeout=90s");
    assert_eq!(
        kubectl.ok("scale rc web --replicas=3 --current-replicas=1"),
        "replicationcontroller/web scaled\n"
    );
    kubectl.ok("wait --for=jsonpath={.status.readyReplicas}=3 rc/web --timeout=90s");
    assert!(
        kubectl
            .refused("scale rc web --replicas=1 --current-replicas=9")
            .contains("Expected replicas to be 9, was 3")
    );

    // Applying again takes back what the file says, and leaves what it does not speak of.
    kubectl.file(
        "web.yaml",
        &WEB.replace("replicas: 2", "replicas: 1").replace("{tier: front}", "{tier: back}"),
    );
    kubectl.ok("apply -f web.yaml");
    assert_eq!(labels(&kubectl.json("get rc web")), r#"{"j":"1","tier":"back"}"#);
    kubectl.ok("wait --for=jsonpath={.status.replicas}=1 rc/web --timeout=90s");
    assert!(kubectl.refused("create -f web.yaml").contains("(AlreadyExists)"));
    assert_eq!(
        kubectl.ok("delete -f web.yaml"),
        "replicationcontroller \"web\" deleted\nservice \"web\" deleted\n"
    );
    kubectl.ok("wait --for=delete pod -l app=web --timeout=90s");
}

#[test]
fn logs_and_restarts() {
    let Some(kubectl) = Kubectl::start() else { return };
    kubectl.file(
        "pods.yaml",
        "apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: ticks, image: test/spin:v1, args: [tick, '50', '100000']}
  - {name: lines, image: test/spin:v1, args: [log, '20']}
---
apiVersion: v1
kind: Pod
metadata: {name: crasher}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: test/hello:v1, args: [--exit, '3']}]
",
    );
    assert_eq!(kubectl.ok("create -f pods.yaml"), "pod/talker created\npod/crasher created\n");
    kubectl.ok("wait --for=jsonpath={.status.containerStatuses[0].restartCount}=1 pod/crasher --timeout=90s");
    let (following, lines) = kubectl.follow("logs -f talker -c ticks --tail=1");
    let number = |line: &str| line.trim_start_matches("tick ").parse::<u64>().unwrap();
    let first = number(&heard(&lines, "tick"));
    assert_eq!(number(&heard(&lines, "tick")), first + 1);
    drop(following);
    let last = kubectl.ok("logs talker -c lines --tail=2");
    let starts: Vec<&str> = last.lines().filter_map(|line| line.split(" .").next()).collect();
    assert_eq!(starts, ["line 18", "line 19"]);
    assert_eq!(kubectl.ok("logs talker lines").lines().count(), 20);
    assert!(kubectl.ok("logs talker -c lines --timestamps --tail=1").starts_with("20"));
    assert!(
        kubectl.ok("logs talker --all-containers --prefix --tail=3").contains("[pod/talker/lines]")
    );
    assert!(kubectl.ok("logs talker -c ticks --since=1h --limit-bytes=20").len() <= 20);
    assert!(kubectl.ok("logs crasher --previous").contains("arg[1]=--exit"));
    assert!(
        kubectl
            .refused("logs talker -c ticks --previous")
            .contains("previous terminated container \"ticks\" in pod \"talker\" not found")
    );
    assert!(kubectl.refused("logs talker -c nobody").contains("nobody"));
    let state = kubectl.ok(
        "get pod crasher -o jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}",
    );
    assert_eq!(state, "3");
    assert!(kubectl.ok("describe pod crasher").contains("Exit Code:    3"));

    // Following ends with the container.
    let (mut following, lines) = kubectl.follow("logs -f talker -c ticks --tail=1");
    heard(&lines, "tick");
    kubectl.ok("delete pod talker --now");
    assert!(following.child().wait().unwrap().success());
    kubectl.ok("delete pod crasher --grace-period=0 --force");
    kubectl.ok("wait --for=delete pod/crasher pod/talker --timeout=90s");
}

#[test]
fn nodes_can_be_closed() {
    let Some(kubectl) = Kubectl::start() else { return };
    let node = kubectl.ok("get nodes -o jsonpath={.items[0].metadata.name}");
    let pod = |name: &str, rest: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  {rest}\n  containers: [{{name: c, image: test/web:v1}}]\n"
        )
    };
    let unschedulable = |name: &str, why: &str| {
        let pod = kubectl.cluster.until(&["pod", name], |pod| {
            pod["status"]["conditions"][0]["reason"] == "Unschedulable"
        });
        let message = pod["status"]["conditions"][0]["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    };
    kubectl.file("early.yaml", &pod("early", ""));
    kubectl.ok("apply -f early.yaml");
    kubectl.ok("wait --for=condition=Ready pod/early --timeout=90s");

    assert_eq!(kubectl.ok(&format!("cordon {node}")), format!("node/{node} cordoned\n"));
    assert!(kubectl.ok("get nodes").contains("Ready,SchedulingDisabled"));
    kubectl.file("cordoned.yaml", &pod("cordoned", ""));
    kubectl.ok("apply -f cordoned.yaml");
    unschedulable("cordoned", "1 node(s) were unschedulable");
    kubectl.ok(&format!("uncordon {node}"));
    kubectl.ok("wait --for=condition=Ready pod/cordoned --timeout=90s");

    kubectl.ok(&format!("taint node {node} gpu=yes:NoSchedule"));
    assert!(kubectl.ok(&format!("describe node {node}")).contains("gpu=yes:NoSchedule"));
    kubectl.file("plain.yaml", &pod("plain", ""));
    kubectl.file("tolerant.yaml", &pod("tolerant", "tolerations: [{key: gpu, operator: Exists}]"));
    kubectl.ok("apply -f plain.yaml -f tolerant.yaml");
    kubectl.ok("wait --for=condition=Ready pod/tolerant --timeout=90s");
    unschedulable("plain", "1 node(s) had untolerated taint(s)");
    let events = kubectl.ok("get events --field-selector reason=FailedScheduling");
    assert!(events.contains("pod/plain") && events.contains("0/1 nodes are available"), "{events}");
    kubectl.ok(&format!("taint node {node} gpu-"));
    kubectl.ok("wait --for=condition=Ready pod/plain --timeout=90s");
    // A pod that ran before is not touched by any of it.
    assert_eq!(
        kubectl.ok("get pod early -o jsonpath={.status.containerStatuses[0].restartCount}"),
        "0"
    );
    kubectl.ok("delete pods --all");
    assert_eq!(kubectl.ok("get pods -o name"), "");
}
