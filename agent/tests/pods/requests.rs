//! Cases of what a pod's spec may ask for, and may not.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, LogParams, PostParams};
use serde_json::{Value, json};

use crate::cases::{container, phase, shell};
use crate::node::Node;

async fn output(node: &Node, name: &str) -> Result<String> {
    let ended = |pod: &Value| phase(pod, "Succeeded") || phase(pod, "Failed");
    node.until(name, "ended", ended).await?;
    node.logs(name, &LogParams::default()).await
}

pub(crate) async fn namespaces() -> Result<()> {
    let node = Node::bridge().await?;
    node.load_busybox().await?;
    let here = std::process::id();
    let look = format!(
        "hostname; cat /etc/hostname; readlink /proc/self/ns/ipc; cat /proc/{here}/comm 2>/dev/null || cat /proc/1/comm"
    );
    let spec = |fields: Value| {
        let mut spec = json!({"restartPolicy": "Never", "containers": [shell(&look)]});
        for (name, value) in fields.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        spec
    };
    node.create("own", spec(json!({}))).await?;
    node.create("host", spec(json!({"hostNetwork": true, "hostPID": true, "hostIPC": true})))
        .await?;
    node.create("shared", spec(json!({"shareProcessNamespace": true}))).await?;
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let ipc = std::fs::read_link("/proc/self/ns/ipc")?.display().to_string();
    let comm = std::fs::read_to_string("/proc/self/comm")?;
    let host = output(&node, "host").await?;
    ensure!(host == format!("{name}\n{name}\n{ipc}\n{comm}"), "{host:?}");
    // The last command may take the place of the shell.
    for (pod, first) in [("own", &["sh", "cat"][..]), ("shared", &["wharf-pause"])] {
        let text = output(&node, pod).await?;
        let lines: Vec<&str> = text.lines().collect();
        let as_asked = lines[..2] == [pod, pod] && lines[2] != ipc && first.contains(&lines[3]);
        ensure!(as_asked, "{pod}: {text:?}");
    }
    node.finish().await
}

pub(crate) async fn refused() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_busybox().await?;
    let with = |field: &str, value: Value| {
        let mut container = shell("exec sleep 1000");
        container[field] = value;
        container
    };
    let maps: Api<ConfigMap> = Api::namespaced(node.client.clone(), "default");
    let map = json!({"metadata": {"name": "nul"}, "data": {"key": "a\0b"}});
    maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
    let source = json!({"configMapKeyRef": {"name": "nul", "key": "key"}});
    let variable = json!({"name": "A", "valueFrom": source});
    let profile = json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"}});
    for (name, container_spec, words) in [
        (
            "env",
            with("env", json!([variable])),
            "env \"A\" of container \"c\" holds a NUL character",
        ),
        (
            "apparmor",
            with("securityContext", profile),
            "AppArmor profile \"mine\" cannot be enforced",
        ),
    ] {
        let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container_spec]});
        node.create(name, spec).await?;
        let pod = node
            .until(name, "was refused", |pod| {
                container(pod)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
            })
            .await?;
        let message = container(&pod)["state"]["waiting"]["message"].as_str().unwrap_or_default();
        ensure!(message.contains(words), "{name}: {message}");
        node.until_event(name, &format!("Failed: Error: {message}")).await?;
    }
    node.finish().await
}

pub(crate) async fn fallback_to_logs() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_busybox().await?;
    let mut fails = shell("echo what went wrong; exit 3");
    fails["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    node.create("fails", json!({"restartPolicy": "Never", "containers": [fails]})).await?;
    let pod = node.until("fails", "failed", |pod| phase(pod, "Failed")).await?;
    let ended = &container(&pod)["state"]["terminated"];
    ensure!(ended["message"] == "what went wrong\n" && ended["exitCode"] == 3, "{pod:#}");
    node.finish().await
}
