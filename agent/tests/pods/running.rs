//! Cases of what changes and is added while a pod runs: resizes and ephemeral containers; and what its
//! status says of the containers that run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cases::{container, phase, shell};
use crate::node::{Node, PATIENCE, cgroup_root};

async fn patch(node: &Node, subresource: &str, name: &str, spec: Value) -> Result<Pod> {
    let patch = Patch::Strategic(json!({"spec": spec}));
    Ok(node.pods().patch_subresource(subresource, name, &PatchParams::default(), &patch).await?)
}

fn runs(pod: &Value) -> bool {
    container(pod)["state"]["running"].is_object()
}

fn condition<'p>(pod: &'p Value, type_: &str) -> Option<&'p Value> {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|condition| condition["type"] == type_)
}

/// A limit of the container `c`, as the kernel has it, in cgroup v1's words or v2's.
fn limit(pod: &Value, v1: &str, v2: &str) -> Result<String> {
    let inner = PathBuf::from(cgroup_root())
        .join(pod["metadata"]["uid"].as_str().unwrap_or_default())
        .join("c");
    let mounts = std::fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path());
    for mount in mounts.chain([PathBuf::from("/sys/fs/cgroup")]) {
        for name in [v1, v2] {
            if let Ok(text) = std::fs::read_to_string(mount.join(&inner).join(name)) {
                return Ok(text.trim().to_owned());
            }
        }
    }
    bail!("no cgroup has {v1} or {v2} of {}", inner.display())
}

fn memory_limit(pod: &Value) -> Result<String> {
    limit(pod, "memory.limit_in_bytes", "memory.max")
}

pub(crate) async fn resize() -> Result<()> {
    let mut node = Node::loopback().await?;
    node.load_busybox().await?;
    let mut main = shell("exec sleep 1000");
    let of = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    main["resources"] = json!({"requests": of("100m", "32Mi"), "limits": of("200m", "64Mi")});
    main["resizePolicy"] = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    node.create("grows", json!({"terminationGracePeriodSeconds": 1, "containers": [main]})).await?;
    let before = node.until("grows", "ran", runs).await?;
    ensure!(memory_limit(&before)? == (64 << 20).to_string());
    ensure!(container(&before)["resources"]["limits"] == of("200m", "64Mi"), "{before:#}");
    ensure!(container(&before)["allocatedResources"] == of("100m", "32Mi"), "{before:#}");

    // Memory changes under a process that goes on.
    let limits =
        |limits: Value| json!({"containers": [{"name": "c", "resources": {"limits": limits}}]});
    patch(&node, "resize", "grows", limits(json!({"memory": "128Mi"}))).await?;
    let done = |memory: &'static str| {
        move |pod: &Value| {
            container(pod)["resources"]["limits"]["memory"] == memory
                && condition(pod, "PodResizeInProgress").is_none()
        }
    };
    let grown = node.until("grows", "grew", done("128Mi")).await?;
    ensure!(memory_limit(&grown)? == (128 << 20).to_string());
    ensure!(container(&grown)["containerID"] == container(&before)["containerID"], "{grown:#}");
    ensure!(container(&grown)["restartCount"] == 0, "{grown:#}");
    let generation = &grown["metadata"]["generation"];
    ensure!(*generation == 2 && grown["status"]["observedGeneration"] == 2, "{grown:#}");
    let events = node.until_events("grows", &["ResizeStarted", "ResizeCompleted"]).await?;
    let started = events.iter().find(|event| event.starts_with("ResizeStarted: "));
    ensure!(started.is_some_and(|event| event.contains("\"memory\":\"128Mi\"")), "{events:#?}");

    // An agent that comes back knows what the containers have.
    node.stop_agent().await?;
    node.start_agent().await?;
    patch(&node, "resize", "grows", limits(json!({"memory": "48Mi"}))).await?;
    let shrunk = node.until("grows", "shrank", done("48Mi")).await?;
    ensure!(memory_limit(&shrunk)? == (48 << 20).to_string());
    ensure!(container(&shrunk)["containerID"] == container(&before)["containerID"], "{shrunk:#}");

    // Other CPU means a restart here, for the container says so.
    patch(&node, "resize", "grows", limits(json!({"cpu": "300m"}))).await?;
    let again = |pod: &Value| runs(pod) && container(pod)["restartCount"] == 1;
    let restarted = node.until("grows", "was restarted", again).await?;
    ensure!(container(&restarted)["resources"]["limits"]["cpu"] == "300m", "{restarted:#}");
    let quota = limit(&restarted, "cpu.cfs_quota_us", "cpu.max")?;
    ensure!(quota.split(' ').next() == Some("30000"), "{quota}");
    node.until_event("grows", "Killing: Container c resize requires restart").await?;

    // More than the node has is refused, and taken back.
    let requests = |cpu: &str| {
        let amount = json!({"cpu": cpu});
        json!({"containers": [{"name": "c", "resources": {"requests": amount, "limits": amount}}]})
    };
    patch(&node, "resize", "grows", requests("1000")).await?;
    let pending = |pod: &Value| condition(pod, "PodResizePending").is_some();
    let refused = node.until("grows", "was refused", pending).await?;
    let why = condition(&refused, "PodResizePending").cloned().unwrap_or_default();
    ensure!(why["reason"] == "Infeasible" && why["status"] == "True", "{why:#}");
    let words = "Node didn't have enough capacity: cpu, requested: 1000000, capacity: ";
    ensure!(why["message"].as_str().is_some_and(|text| text.starts_with(words)), "{why:#}");
    ensure!(container(&refused)["allocatedResources"]["cpu"] == "100m", "{refused:#}");
    ensure!(container(&refused)["restartCount"] == 1, "{refused:#}");
    patch(&node, "resize", "grows", requests("300m")).await?;
    let fits = |pod: &Value| {
        condition(pod, "PodResizePending").is_none()
            && container(pod)["allocatedResources"]["cpu"] == "300m"
    };
    node.until("grows", "fitted", fits).await?;
    node.finish().await
}

pub(crate) async fn shrink_below_use() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_busybox().await?;
    let mut main = shell(
        "dd if=/dev/zero of=/memory/much bs=1M count=32 2>/dev/null; echo full; exec sleep 1000",
    );
    main["resources"] = json!({"limits": {"memory": "64Mi"}});
    main["volumeMounts"] = json!([{"name": "memory", "mountPath": "/memory"}]);
    let volumes = json!([{"name": "memory", "emptyDir": {"medium": "Memory"}}]);
    let spec =
        json!({"terminationGracePeriodSeconds": 1, "containers": [main], "volumes": volumes});
    node.create("full", spec).await?;
    node.until_logs("full", |log| log == "full\n").await?;
    let less = json!({"containers": [{"name": "c", "resources":
        {"requests": {"memory": "16Mi"}, "limits": {"memory": "16Mi"}}}]});
    patch(&node, "resize", "full", less).await?;
    let failed =
        |pod: &Value| condition(pod, "PodResizeInProgress").is_some_and(|c| c["reason"] == "Error");
    let pod = node.until("full", "did not shrink", failed).await?;
    let condition = condition(&pod, "PodResizeInProgress").cloned().unwrap_or_default();
    let words = "attempting to set container \"c\" memory limit (16777216) below current usage (";
    ensure!(condition["message"].as_str().is_some_and(|m| m.starts_with(words)), "{condition:#}");
    ensure!(runs(&pod) && container(&pod)["restartCount"] == 0, "{pod:#}");
    ensure!(container(&pod)["resources"]["limits"]["memory"] == "64Mi", "{pod:#}");
    node.until_events("full", &["ResizeError"]).await?;
    node.finish().await
}

pub(crate) async fn ephemeral() -> Result<()> {
    let node = Node::bridge().await?;
    node.load_busybox().await?;
    let main = shell("exec httpd -f -p 127.0.0.1:8080 -h /etc");
    node.create("web", json!({"terminationGracePeriodSeconds": 1, "containers": [main]})).await?;
    let before = node.until("web", "ran", runs).await?;
    let add = |name: &str, target: Value, script: &str| {
        let mut added = shell(script);
        added["name"] = json!(name);
        added["targetContainerName"] = target;
        json!({"ephemeralContainers": [added]})
    };
    // Its network is the pod's, its processes those of the target: busybox httpd is the first of them.
    let look = "while ! wget -q -O /tmp/group http://127.0.0.1:8080/group; do sleep 0.1; done; \
                tr '\\0' ' ' < /proc/1/cmdline; head -n 1 /tmp/group; exit 3";
    patch(&node, "ephemeralcontainers", "web", add("look", json!("c"), look)).await?;
    let status = |pod: &Value, name: &str| -> Value {
        let all = pod["status"]["ephemeralContainerStatuses"].as_array();
        let found = all.into_iter().flatten().find(|status| status["name"] == name);
        found.cloned().unwrap_or_default()
    };
    let ended = |pod: &Value| status(pod, "look")["state"]["terminated"].is_object();
    let pod = node.until("web", "was looked at", ended).await?;
    let look = status(&pod, "look");
    ensure!(look["state"]["terminated"]["exitCode"] == 3, "{look:#}");
    ensure!(look["ready"] == false && look["restartCount"] == 0, "{look:#}");
    ensure!(look["started"].is_null(), "{look:#}");
    let of = |name: &str| LogParams { container: Some(name.to_owned()), ..LogParams::default() };
    let log = node.logs("web", &of("look")).await?;
    ensure!(log.ends_with("httpd -f -p 127.0.0.1:8080 -h /etc root:x:0:\n"), "{log:?}");
    ensure!(container(&pod)["containerID"] == container(&before)["containerID"], "{pod:#}");
    ensure!(phase(&pod, "Running"), "{pod:#}");
    node.until_event("web", "Started: Started container look").await?;

    // Without a target it has its own, and it goes with the pod.
    let own = "tr '\\0' ' ' < /proc/1/cmdline; echo; exec sleep 1000";
    patch(&node, "ephemeralcontainers", "web", add("own", Value::Null, own)).await?;
    let running = |pod: &Value| status(pod, "own")["state"]["running"].is_object();
    let pod = node.until("web", "had another one", running).await?;
    ensure!(status(&pod, "look") == look, "the first one is not started again: {pod:#}");
    let deadline = Instant::now() + PATIENCE;
    let log = loop {
        let log = node.logs("web", &of("own")).await?;
        if !log.is_empty() || Instant::now() > deadline {
            break log;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(log.starts_with("/bin/sh -c tr"), "{log:?}");
    node.finish().await
}

pub(crate) async fn statuses() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_busybox().await?;
    let mut main = shell("id; exec sleep 1000");
    main["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 3000});
    main["volumeMounts"] = json!([
        {"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/r", "readOnly": true}]);
    let spec = json!({
        "terminationGracePeriodSeconds": 1, "containers": [main],
        "securityContext": {"supplementalGroups": [4000]},
        "volumes": [{"name": "v", "emptyDir": {}}]
    });
    node.create("who", spec).await?;
    let told = |pod: &Value| runs(pod) && container(pod)["user"].is_object();
    let pod = node.until("who", "told who it is", told).await?;
    let status = container(&pod);
    // The image puts user 1000 into the group 2000.
    let user =
        json!({"linux": {"uid": 1000, "gid": 3000, "supplementalGroups": [2000, 3000, 4000]}});
    ensure!(status["user"] == user, "{status:#}");
    ensure!(status["image"] == "docker.io/library/busybox:test", "{status:#}");
    ensure!(status["resources"] == json!({}), "{status:#}");
    let mounts = status["volumeMounts"].as_array().cloned().unwrap_or_default();
    let of = |path: &str| mounts.iter().find(|mount| mount["mountPath"] == path).cloned();
    ensure!(of("/v") == Some(json!({"name": "v", "mountPath": "/v"})), "{status:#}");
    let read_only =
        json!({"name": "v", "mountPath": "/r", "readOnly": true, "recursiveReadOnly": "Disabled"});
    ensure!(of("/r") == Some(read_only), "{status:#}");
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    ensure!(conditions.iter().all(|c| c["observedGeneration"] == 1), "{conditions:#?}");
    node.finish().await
}

pub(crate) async fn sysctls() -> Result<()> {
    let node = Node::bridge().await?;
    node.load_busybox().await?;
    let look = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced \
                /proc/sys/net/ipv4/ip_local_port_range";
    let spec = |sysctls: Value| {
        json!({"restartPolicy": "Never", "containers": [shell(look)],
            "securityContext": {"sysctls": sysctls}})
    };
    let set = |name: &str, value: &str| json!({"name": name, "value": value});
    let safe = json!([
        set("net.ipv4.ip_unprivileged_port_start", "1000"),
        set("kernel/shm_rmid_forced", "1"),
        set("net.ipv4.ip_local_port_range", "40000 40100"),
    ]);
    node.create("safe", spec(safe)).await?;
    node.until("safe", "ended", |pod| phase(pod, "Succeeded") || phase(pod, "Failed")).await?;
    let log = node.logs("safe", &LogParams::default()).await?;
    ensure!(log == "1000\n1\n40000\t40100\n", "{log:?}");

    node.create("unsafe", spec(json!([set("kernel.msgmax", "65536")]))).await?;
    let pod = node.until("unsafe", "was rejected", |pod| phase(pod, "Failed")).await?;
    let why = "forbidden sysctl: \"kernel.msgmax\" not allowlisted";
    ensure!(pod["status"]["reason"] == "SysctlForbidden", "{pod:#}");
    ensure!(pod["status"]["message"] == format!("Pod was rejected: {why}"), "{pod:#}");
    ensure!(pod["status"]["containerStatuses"].is_null(), "{pod:#}");
    node.until_event("unsafe", &format!("SysctlForbidden: {why}")).await?;

    let users = json!({"hostUsers": false, "containers": [shell("exec sleep 1000")]});
    node.create("users", users).await?;
    let refused = "FailedCreatePodSandBox: Failed to create pod sandbox: can't set `spec.hostUsers: \
                   false`, this node does not support user namespaces";
    node.until_event("users", refused).await?;
    node.finish().await
}

pub(crate) async fn host_ports() -> Result<()> {
    let node = Node::bridge().await?;
    node.load_busybox().await?;
    let web = |name: &str| {
        let mut main = shell(&format!(
            "mkdir /www; echo {name} > /www/index.html; exec httpd -f -p 8000 -h /www"
        ));
        main["ports"] = json!([{"containerPort": 8000, "hostPort": 18000}]);
        json!({"terminationGracePeriodSeconds": 1, "containers": [main]})
    };
    let says = async |name: &str| -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = ask("127.0.0.1:18000").await;
            if said.as_ref().is_ok_and(|said| said.ends_with(&format!("\r\n\r\n{name}\n"))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("nobody says {name} on the node: {said:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    node.create("one", web("one")).await?;
    says("one").await?;
    // Who comes second waits for the first to go.
    node.create("two", web("two")).await?;
    node.until("two", "ran", runs).await?;
    node.until_events("two", &["HostPortConflict"]).await?;
    says("one").await?;
    node.delete("one").await?;
    says("two").await?;
    node.delete("two").await?;
    node.until_gone("two").await?;
    // The listener goes when its task has seen that its pod is gone.
    let deadline = Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect("127.0.0.1:18000").await.is_ok() {
        ensure!(Instant::now() < deadline, "somebody listens where no pod is");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.finish().await
}

/// The whole answer of an HTTP server to a simple question.
async fn ask(address: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}
