//! A control plane and two nodes that have joined it, each in a network namespace of its own: what
//! must hold when a cluster has more than one host.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]
#![allow(clippy::print_stdout, reason = "says what this host cannot test")]

mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use site::{Daemon, Node, Site, serve};
use tests::cluster::{PATIENCE, succeed};
use tests::images::Layout;
use tests::{postgres, program, wait};

use super::web::items;

/// A web server and a shell in every pod. A pod leaves a node that is gone after a second.
const SHOP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: shop}}}
      tolerations:
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      containers:
      - name: web
        image: test/web:v1
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
      - name: shell
        image: test/busybox:v1
        command: [sh, -c, 'echo $NODE; exec sleep infinity']
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: http}]}
";

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    let found = all.into_iter().find(|condition| condition["type"] == kind);
    found.map_or("", |condition| text(condition, "/status"))
}

/// The ready pods of the shop by name, with node and address.
fn pods(list: &Value) -> BTreeMap<String, (String, String)> {
    let ready = items(list).iter().filter(|pod| {
        condition(pod, "Ready") == "True" && pod["metadata"]["deletionTimestamp"].is_null()
    });
    let of = |pod: &Value| {
        let name = text(pod, "/metadata/name").to_owned();
        (name, (text(pod, "/spec/nodeName").to_owned(), text(pod, "/status/podIP").to_owned()))
    };
    ready.map(of).collect()
}

fn nodes_of(pods: &BTreeMap<String, (String, String)>) -> BTreeSet<&str> {
    pods.values().map(|(node, _)| node.as_str()).collect()
}

/// Waits until four pods are ready, on these nodes.
fn four_on(site: &Site, nodes: &[&str]) -> BTreeMap<String, (String, String)> {
    let wanted: BTreeSet<&str> = nodes.iter().copied().collect();
    let list = site.until(&["pods", "-l", "app=shop"], |list| {
        let pods = pods(list);
        pods.len() == 4 && nodes_of(&pods) == wanted
    });
    pods(&list)
}

/// Whether this host can run the test; says it if not.
fn possible() -> bool {
    let why_not = if !nix::unistd::geteuid().is_root() {
        Some("network namespaces need root")
    } else if program::find("ip").is_err() || program::find("nsenter").is_err() {
        Some("network namespaces need ip and nsenter")
    } else {
        None
    };
    if let Some(why_not) = why_not {
        tests::clients::absent("a cluster of two nodes", &anyhow::anyhow!(why_not));
    }
    why_not.is_none()
}

#[test]
fn two_nodes_run_one_cluster() {
    if !possible() {
        return;
    }
    let times = ["--node-monitor-grace-period", "30s", "--cluster-signing-duration", "3m"];
    let mut site = Site::start(&times).unwrap();
    let first_certificates = site.b.certificates().unwrap();
    load_images(&site);
    joined_with_certificates_and_ranges(&site);

    site.apply(SHOP).unwrap();
    let pods = four_on(&site, &["a", "b"]);
    logs_and_exec_reach(&site, &pods);
    pods_reach_each_other(&site, &pods);
    joined_again_without_a_token(&mut site.b);

    // A node dies: its pods come up on the other.
    site.a.die().unwrap();
    site.until(&["node", "a"], |node| condition(node, "Ready") == "Unknown");
    let moved = four_on(&site, &["b"]);
    assert!(moved.values().all(|(node, _)| node == "b"), "{moved:?}");
    let address = text(&site.get(&["service", "shop"]).unwrap(), "/spec/clusterIP").to_owned();
    answered_by_all(&site, "b", &address, &moved);

    // It comes back and finds that its pods are gone.
    site.a.plug_in().unwrap();
    site.a.start().unwrap();
    site.until(&["node", "a"], |node| condition(node, "Ready") == "True");
    site.until(&["pods", "-l", "app=shop"], |list| items(list).len() == 4);

    renewed(&site, &site.b, &first_certificates, moved.keys().next().unwrap());

    // A node that is deleted is forgotten by the routes of the others.
    let route = "10.42.";
    assert!(site.b.ip(&["route", "show", "proto", "119"]).unwrap().contains(route));
    site.a.agent.take().unwrap().stop().unwrap();
    site.wctl(&["delete", "node", "a"]).unwrap();
    wait::eventually("no route to a node that is gone", PATIENCE, || {
        let routes = site.b.ip(&["route", "show", "proto", "119"]).map_err(|e| e.to_string())?;
        if routes.contains(route) { Err(routes) } else { Ok(()) }
    });
    site.b.agent.take().unwrap().stop().unwrap();
    for node in [&site.a, &site.b] {
        let links = node.ip(&["-o", "link"]).unwrap();
        assert!(!links.contains("wharf-0a2a"), "the bridge is left: {links}");
        assert_eq!(node.ip(&["route", "show", "proto", "119"]).unwrap(), "");
    }
    site.stop().unwrap();
}

fn load_images(site: &Site) {
    let folder = tempfile::tempdir().unwrap();
    // The repository may be a folder that others cannot read.
    let web = folder.path().join("http-c.wasm");
    std::fs::copy(program::repository().join("fixtures/wasm/http-c.wasm"), &web).unwrap();
    site.load(&web, "test/web:v1").unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    site.load(&layout.path(), "test/busybox:v1").unwrap();
}

fn joined_with_certificates_and_ranges(site: &Site) {
    let nodes = site.until(&["nodes"], |list| {
        items(list).len() == 2 && items(list).iter().all(|node| condition(node, "Ready") == "True")
    });
    let ranges: BTreeSet<&str> =
        items(&nodes).iter().map(|node| text(node, "/spec/podCIDR")).collect();
    assert_eq!(ranges, BTreeSet::from(["10.42.0.0/24", "10.42.1.0/24"]));
    let requests = site.get(&["certificatesigningrequests"]).unwrap();
    let signed = items(&requests).iter().filter(|request| {
        condition(request, "Approved") == "True" && request["status"]["certificate"].is_string()
    });
    let signers: Vec<&str> = signed.map(|request| text(request, "/spec/signerName")).collect();
    for signer in ["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"] {
        let certificates = signers.iter().filter(|name| **name == signer).count();
        assert!(certificates >= 2, "{signers:?}");
    }
}

/// The API server reaches both nodes' kubelet endpoints, by the certificates they have been given.
fn logs_and_exec_reach(site: &Site, pods: &BTreeMap<String, (String, String)>) {
    for (pod, (node, _)) in pods {
        let log = wait::eventually("a log", PATIENCE, || {
            let log = site.wctl(&["logs", pod, "-c", "shell"]).map_err(|e| format!("{e:#}"))?;
            if log.is_empty() { Err("empty".to_owned()) } else { Ok(log) }
        });
        assert_eq!(log.trim(), node);
    }
    if program::find("kubectl").is_err() {
        println!("not tested: there is no kubectl on this machine");
        return;
    }
    for (pod, (node, _)) in pods {
        let arguments = ["exec", pod, "-c", "shell", "--", "sh", "-c", "echo $NODE"];
        let said = site.kubectl(&arguments).unwrap();
        assert_eq!(said.trim(), node);
    }
}

/// From a pod of each node to every pod, and to all of them through the Service.
fn pods_reach_each_other(site: &Site, pods: &BTreeMap<String, (String, String)>) {
    let address = text(&site.get(&["service", "shop"]).unwrap(), "/spec/clusterIP").to_owned();
    for from in ["a", "b"] {
        let script = pods.iter().map(|(name, (_, address))| {
            format!("wget -qO- http://{address}:8080/ | grep POD_NAME={name} || exit 1; ")
        });
        let answers = run_on(site, from, "direct", &script.collect::<String>());
        assert_eq!(answers.lines().count(), 4, "{answers}");
        answered_by_all(site, from, &address, pods);
    }
}

/// Asks a Service from a node until every pod has answered.
fn answered_by_all(
    site: &Site,
    from: &str,
    address: &str,
    pods: &BTreeMap<String, (String, String)>,
) {
    wait::eventually(&format!("{address} from {from} is answered by all"), PATIENCE, || {
        let script = format!(
            "for i in 1 2 3 4 5 6 7 8; do wget -qO- http://{address}/ | grep POD_NAME=; done; true"
        );
        let answers = run_on(site, from, "service", &script);
        let answered: BTreeSet<&str> = answers
            .lines()
            .filter_map(|line| line.split_once("POD_NAME="))
            .map(|(_, pod)| pod)
            .collect();
        let wanted: BTreeSet<&str> = pods.keys().map(String::as_str).collect();
        if answered == wanted { Ok(()) } else { Err(answers) }
    });
}

/// Runs a script in a pod of a node to its end; what it printed.
fn run_on(site: &Site, node: &str, name: &str, script: &str) -> String {
    let name = format!("{name}-{node}");
    let script = serde_json::to_string(script).unwrap();
    site.apply(&format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  nodeName: {node}
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: c, image: test/busybox:v1, command: [sh, -c, {script}]}}
"
    ))
    .unwrap();
    let ended = site
        .until(&["pod", &name], |pod| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed"));
    let printed = site.wctl(&["logs", &name]).unwrap();
    assert_eq!(text(&ended, "/status/phase"), "Succeeded", "{printed}");
    site.wctl(&["delete", "pod", &name, "--grace-period", "0", "--force"]).unwrap();
    printed
}

/// A node that has joined comes back without a token. It was killed: its pods have run on.
fn joined_again_without_a_token(node: &mut Node) {
    node.forget_token();
    node.agent = None;
    node.start().unwrap();
}

/// Waits until a node has other certificates than `before`, and is still reached by them.
fn renewed(site: &Site, node: &Node, before: &[String; 2], pod: &str) {
    wait::eventually("certificates are renewed", PATIENCE * 2, || {
        let now = node.certificates().map_err(|error| format!("{error:#}"))?;
        let same = now.iter().zip(before).any(|(now, before)| now == before);
        if same { Err("not both yet") } else { Ok(()) }.map_err(str::to_owned)
    });
    let log = site.wctl(&["logs", pod, "-c", "shell"]).unwrap();
    assert_eq!(log.trim(), node.name);
}

/// Who holds the office of the controllers, as a server tells it.
fn leader(kubeconfig: &Path) -> Result<String, String> {
    let mut command = Command::new(tests::cluster::wctl().unwrap());
    command.arg("--kubeconfig").arg(kubeconfig);
    command.args(["-n", "kube-system", "get", "lease", "kube-controller-manager", "-o", "json"]);
    let lease = succeed(command.stdin(Stdio::null())).map_err(|error| format!("{error:#}"))?;
    let lease: Value = serde_json::from_str(&lease).map_err(|error| error.to_string())?;
    Ok(text(&lease, "/spec/holderIdentity").to_owned())
}

fn led_by(kubeconfig: &Path, server: &Daemon) {
    wait::eventually("the other server leads", PATIENCE, || {
        let leader = leader(kubeconfig)?;
        if leader.ends_with(&format!("_{}", server.id())) { Ok(()) } else { Err(leader) }
    });
}

#[test]
fn of_two_servers_one_leads_and_the_other_takes_over() {
    let folder = tempfile::Builder::new().prefix("wharf-servers-").tempdir().unwrap();
    let url = postgres::database().unwrap();
    let arguments = ["--datastore", &url, "--service-cidr", "10.43.0.0/16"];
    let start = |name: &str| serve(folder.path(), name, "127.0.0.1:0", &arguments);
    let kubeconfig = |name: &str| folder.path().join(name).join("kubeconfig");
    let mut first = start("first").unwrap();
    led_by(&kubeconfig("first"), &first);

    // A server with a CA of its own is none of this cluster.
    let refused = format!("{:#}", start("stranger").err().unwrap());
    assert!(refused.contains("another certificate authority"), "{refused}");
    let pki = folder.path().join("second/pki");
    std::fs::create_dir_all(&pki).unwrap();
    for file in ["ca.crt", "ca.key", "sa.key"] {
        let from = folder.path().join("first/pki").join(file);
        std::fs::copy(from, pki.join(file)).unwrap();
    }
    let mut second = start("second").unwrap();
    assert!(leader(&kubeconfig("second")).unwrap().ends_with(&format!("_{}", first.id())));

    // Killed: after the time of its lease the other leads, and its controllers work.
    drop(first);
    led_by(&kubeconfig("second"), &second);
    let manifest = folder.path().join("namespace.yaml");
    std::fs::write(&manifest, "{apiVersion: v1, kind: Namespace, metadata: {name: later}}")
        .unwrap();
    let wctl = |arguments: &[&str]| {
        let mut command = Command::new(tests::cluster::wctl().unwrap());
        command.arg("--kubeconfig").arg(kubeconfig("second")).args(arguments);
        succeed(command.stdin(Stdio::null())).map_err(|error| format!("{error:#}"))
    };
    wctl(&["apply", "-f", manifest.to_str().unwrap()]).unwrap();
    wait::eventually("the account of a new namespace", PATIENCE, || {
        wctl(&["-n", "later", "get", "serviceaccount", "default"])
    });

    // Stopped: the office is given up.
    first = start("first").unwrap();
    second.terminate().unwrap();
    led_by(&kubeconfig("first"), &first);
    first.stop().unwrap();
}
