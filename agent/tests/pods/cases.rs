//! The cases.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use serde_json::{Value, json};

use crate::node::Node;
use crate::{requests, running, tokens, usage};

type Case = fn() -> Pin<Box<dyn Future<Output = Result<()>>>>;

/// Every case with its name.
pub(crate) const CASES: &[(&str, Case)] = &[
    ("node_registers", || Box::pin(node_registers())),
    ("deleted_node_comes_back_with_its_lease", || Box::pin(deleted_node())),
    ("endpoint_serves_the_api_server_only", || Box::pin(endpoint())),
    ("wasm_command_completes", || Box::pin(wasm_command_completes())),
    ("wasm_server_is_probed_logged_and_deleted", || Box::pin(wasm_server())),
    ("native_pod_on_the_bridge", || Box::pin(native_pod_on_the_bridge())),
    ("crashing_container_backs_off", || Box::pin(crashing())),
    ("failing_liveness_restarts", || Box::pin(liveness())),
    ("init_containers_and_volumes", || Box::pin(init_and_volumes())),
    ("missing_config_map_is_waited_for", || Box::pin(missing_config_map())),
    ("changed_labels_reach_the_downward_api", || Box::pin(changed_labels())),
    ("unknown_image_backs_off", || Box::pin(unknown_image())),
    ("restarted_agent_adopts", || Box::pin(adoption())),
    ("deadline_and_force_delete", || Box::pin(deadline_and_force())),
    ("namespaces_of_the_host_and_of_the_pod", || Box::pin(requests::namespaces())),
    ("what_cannot_be_done_is_refused", || Box::pin(requests::refused())),
    ("tokens_of_accounts_are_in_volumes", || Box::pin(tokens::projected())),
    ("a_failure_is_told_by_the_log", || Box::pin(requests::fallback_to_logs())),
    ("containers_are_resized", || Box::pin(running::resize())),
    ("memory_in_use_is_not_taken_away", || Box::pin(running::shrink_below_use())),
    ("ephemeral_containers_look_into_a_pod", || Box::pin(running::ephemeral())),
    ("statuses_say_what_a_container_has", || Box::pin(running::statuses())),
    ("host_ports_lead_into_the_pod", || Box::pin(running::host_ports())),
    ("safe_sysctls_are_set_and_others_refused", || Box::pin(running::sysctls())),
    ("use_is_measured", || Box::pin(usage::measured())),
    ("use_is_told_to_who_may_know", || Box::pin(usage::guarded())),
];

pub(crate) fn phase(pod: &Value, phase: &str) -> bool {
    pod["status"]["phase"] == phase
}

fn ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

pub(crate) fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

pub(crate) fn shell(script: &str) -> Value {
    json!({"name": "c", "image": "busybox:test", "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", script]})
}

async fn node_registers() -> Result<()> {
    let node = Node::loopback().await?;
    let nodes: Api<core::Node> = Api::all(node.client.clone());
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), "kube-node-lease");
    let mut found = None;
    for _ in 0..600 {
        found = nodes.get_opt("n1").await?.zip(leases.get_opt("n1").await?);
        if found.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (registered, lease) = found.expect("node and lease appear");
    let status = serde_json::to_value(registered.status)?;
    ensure!(
        status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| c["type"] == "Ready" && c["status"] == "True"),
        "{status:#}"
    );
    ensure!(status["allocatable"]["pods"] == "110", "{status:#}");
    ensure!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64() > Some(0), "{status:#}");
    ensure!(lease.spec.unwrap().holder_identity.as_deref() == Some("n1"));
    node.finish().await
}

async fn deleted_node() -> Result<()> {
    let node = Node::loopback().await?;
    let nodes: Api<core::Node> = Api::all(node.client.clone());
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), "kube-node-lease");
    let mut seen = (None, Vec::new());
    let mut first: Option<String> = None;
    for _ in 0..1800 {
        let uid = nodes.get_opt("n1").await?.and_then(|node| node.metadata.uid);
        let lease = leases.get_opt("n1").await?.and_then(|lease| lease.metadata.owner_references);
        seen = (uid, lease.into_iter().flatten().map(|owner| owner.uid).collect());
        match (&seen, &first) {
            ((Some(uid), owners), None) if !owners.is_empty() => {
                first = Some(uid.clone());
                // What `kubectl delete node` and the garbage collector do.
                nodes.delete("n1", &DeleteParams::default()).await?;
                leases.delete("n1", &DeleteParams::default()).await?;
            }
            ((Some(uid), owners), Some(old)) if uid != old && !owners.is_empty() => break,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (uid, owners) = seen;
    ensure!(uid.is_some() && uid != first, "the node did not come back: {uid:?} after {first:?}");
    ensure!(
        owners == uid.clone().into_iter().collect::<Vec<_>>(),
        "{owners:?} own the lease of {uid:?}"
    );
    node.finish().await
}

async fn endpoint() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_wasm("hello").await?;
    node.create("hello", json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "hello", "imagePullPolicy": "Never"}]})).await?;
    node.until("hello", "succeeded", |pod| phase(pod, "Succeeded")).await?;
    let get = |path: &str| http::Request::get(path).body(Vec::new());
    let master = node.kubelet_client("kube-apiserver-kubelet-client", "system:masters").await?;
    ensure!(master.request_text(get("/healthz")?).await? == "ok");
    let pods: Value = serde_json::from_str(&master.request_text(get("/pods")?).await?)?;
    ensure!(
        pods["items"][0]["metadata"]["name"] == "hello" && pods["kind"] == "PodList",
        "{pods:#}"
    );
    let missing = master
        .request_text(get("/containerLogs/default/none/c")?)
        .await
        .expect_err("there is no such pod");
    ensure!(
        missing.to_string().contains("404") || format!("{missing:?}").contains("404"),
        "{missing:?}"
    );
    let alice = node.kubelet_client("alice", "developers").await?;
    let refused = alice.request_text(get("/pods")?).await.expect_err("alice is nobody here");
    ensure!(format!("{refused:?}").contains("403"), "{refused:?}");
    node.finish().await
}

async fn wasm_command_completes() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_wasm("hello").await?;
    node.create("hello", json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "hello", "imagePullPolicy": "Never"}]})).await?;
    let pod = node.until("hello", "succeeded", |pod| phase(pod, "Succeeded")).await?;
    ensure!(container(&pod)["state"]["terminated"]["reason"] == "Completed", "{pod:#}");
    ensure!(
        container(&pod)["containerID"].as_str().is_some_and(|id| id.starts_with("wharf://")),
        "{pod:#}"
    );
    let logs = node.logs("hello", &LogParams::default()).await?;
    ensure!(!logs.is_empty(), "the program's output is its log");
    node.finish().await
}

async fn wasm_server() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_wasm("http-c").await?;
    let spec = json!({"containers": [{
        "name": "c", "image": "http-c", "imagePullPolicy": "Never", "ports": [{"containerPort": 8080, "name": "http"}],
        "readinessProbe": {"httpGet": {"port": "http", "path": "/"}}
    }]});
    node.create("web", spec).await?;
    let pod = node.until("web", "became ready", ready).await?;
    ensure!(pod["status"]["podIP"].as_str().is_some_and(|ip| ip.starts_with("127.64.")), "{pod:#}");
    node.delete("web").await?;
    node.until_gone("web").await?;
    let events = node.events("web").await?;
    for reason in ["Pulled", "Created", "Started", "Killing"] {
        ensure!(events.iter().any(|event| event.starts_with(reason)), "no {reason} in {events:#?}");
    }
    node.finish().await
}

async fn native_pod_on_the_bridge() -> Result<()> {
    let node = Node::bridge().await?;
    node.load_busybox().await?;
    let mut server = shell(
        "hostname; cat /etc/hosts; echo $WHO $KUBERNETES_SERVICE_HOST; exec httpd -f -p 8080 -h /etc",
    );
    server["env"] =
        json!([{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]);
    server["readinessProbe"] = json!({"tcpSocket": {"port": 8080}});
    node.create("srv", json!({"containers": [server], "terminationGracePeriodSeconds": 1})).await?;
    let pod = node.until("srv", "became ready", ready).await?;
    let ip = pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    ensure!(ip.starts_with("10.244.0."), "{pod:#}");
    let logs = node.logs("srv", &LogParams::default()).await?;
    ensure!(logs.starts_with("srv\n") && logs.contains(&format!("{ip}\tsrv\n")), "{logs}");
    ensure!(logs.contains(&format!("{ip} 10.96.0.1")), "{logs}");
    let last = node
        .logs("srv", &LogParams { tail_lines: Some(1), timestamps: true, ..LogParams::default() })
        .await?;
    ensure!(
        last.lines().count() == 1 && last.contains('T') && last.contains("10.96.0.1"),
        "{last}"
    );
    node.finish().await
}

async fn crashing() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_busybox().await?;
    node.create("crash", json!({"containers": [shell("echo bye > /dev/termination-log; exit 3")]}))
        .await?;
    let pod = node
        .until("crash", "backed off", |pod| {
            container(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await?;
    let last = &container(&pod)["lastState"]["terminated"];
    ensure!(last["exitCode"] == 3 && last["message"] == "bye\n", "{pod:#}");
    ensure!(container(&pod)["restartCount"].as_u64() >= Some(1), "{pod:#}");
    node.until("crash", "kept phase Running", |pod| phase(pod, "Running")).await?;
    node.finish().await
}

async fn liveness() -> Result<()> {
    let node = Node::bridge().await?;
    node.load_busybox().await?;
    let mut sick = shell("exec sleep 1000");
    sick["livenessProbe"] =
        json!({"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1});
    node.create("sick", json!({"terminationGracePeriodSeconds": 1, "containers": [sick]})).await?;
    node.until("sick", "restarted", |pod| container(pod)["restartCount"].as_u64() >= Some(1))
        .await?;
    let events = node.events("sick").await?;
    ensure!(
        events.iter().any(|event| event.starts_with("Unhealthy: Liveness probe failed: dial tcp")),
        "{events:#?}"
    );
    ensure!(
        events
            .contains(&"Killing: Container c failed liveness probe, will be restarted".to_owned()),
        "{events:#?}"
    );
    node.finish().await
}

async fn init_and_volumes() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_busybox().await?;
    let mounts = json!([{"name": "shared", "mountPath": "/shared"}, {"name": "memory", "mountPath": "/memory"}]);
    let mut init = shell("echo from-init > /shared/file");
    init["name"] = json!("init");
    init["volumeMounts"] = mounts.clone();
    let mut main = shell("cat /shared/file && grep -c ' /memory tmpfs ' /proc/mounts");
    main["volumeMounts"] = mounts;
    node.create("vols", json!({
        "restartPolicy": "Never", "initContainers": [init], "containers": [main],
        "volumes": [{"name": "shared", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
    }))
    .await?;
    let pod =
        node.until("vols", "ended", |pod| phase(pod, "Succeeded") || phase(pod, "Failed")).await?;
    let logs = node.logs("vols", &LogParams::default()).await?;
    ensure!(logs == "from-init\n1\n", "{logs:?} {pod:#}");
    ensure!(pod["status"]["initContainerStatuses"][0]["ready"] == true, "{pod:#}");
    node.finish().await
}

async fn missing_config_map() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_busybox().await?;
    let mut main = shell("echo $COLOR; cat /config/color; echo; exec sleep 1000");
    main["env"] = json!([{"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "color"}}}]);
    node.create("needs", json!({"terminationGracePeriodSeconds": 1, "containers": [main.clone()]}))
        .await?;
    let pod = node
        .until("needs", "waited", |pod| {
            container(pod)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
        })
        .await?;
    ensure!(
        container(&pod)["state"]["waiting"]["message"] == "configmap \"cm\" not found",
        "{pod:#}"
    );
    main["volumeMounts"] = json!([{"name": "v", "mountPath": "/config"}]);
    node.create("mounts", json!({"terminationGracePeriodSeconds": 1, "containers": [main], "volumes": [{"name": "v", "configMap": {"name": "cm"}}]})).await?;
    let maps: Api<core::ConfigMap> = Api::namespaced(node.client.clone(), "default");
    let map =
        serde_json::from_value(json!({"metadata": {"name": "cm"}, "data": {"color": "blue"}}))?;
    maps.create(&PostParams::default(), &map).await?;
    node.until("needs", "became ready", ready).await?;
    node.until("mounts", "became ready", ready).await?;
    node.until_logs("mounts", |logs| logs == "blue\nblue\n").await?;
    node.finish().await
}

async fn changed_labels() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_wasm("http-c").await?;
    let pod = node
        .create("labelled", json!({
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "http-c", "imagePullPolicy": "Never"}],
            "volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]
        }))
        .await?;
    node.until("labelled", "became ready", ready).await?;
    let patch = json!({"metadata": {"labels": {"colour": "green"}}});
    node.pods().patch("labelled", &Default::default(), &kube::api::Patch::Merge(patch)).await?;
    let uid = pod.metadata.uid.unwrap_or_default();
    let file = node.dir().join(format!("agent/pods/{uid}/volumes/v/labels"));
    let mut text = String::new();
    for _ in 0..1800 {
        text = std::fs::read_to_string(&file)?;
        if text == "colour=\"green\"" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(text == "colour=\"green\"", "the file says {text:?}");
    node.finish().await
}

async fn unknown_image() -> Result<()> {
    let node = Node::loopback().await?;
    node.create("pull", json!({"containers": [{"name": "c", "image": "127.0.0.1:1/no/such:1"}]}))
        .await?;
    let pod = node
        .until("pull", "backed off", |pod| {
            container(pod)["state"]["waiting"]["reason"] == "ImagePullBackOff"
        })
        .await?;
    let message =
        container(&pod)["state"]["waiting"]["message"].as_str().unwrap_or_default().to_owned();
    ensure!(
        message.starts_with("Back-off pulling image \"127.0.0.1:1/no/such:1\": ErrImagePull: "),
        "{message}"
    );
    ensure!(phase(&pod, "Pending"), "{pod:#}");
    node.create(
        "never",
        json!({"containers": [{"name": "c", "image": "nothing:1", "imagePullPolicy": "Never"}]}),
    )
    .await?;
    node.until("never", "waited", |pod| {
        container(pod)["state"]["waiting"]["reason"] == "ErrImageNeverPull"
    })
    .await?;
    node.finish().await
}

async fn adoption() -> Result<()> {
    let mut node = Node::loopback().await?;
    node.load_busybox().await?;
    let mut main = shell("echo begun; exec sleep 1000");
    main["startupProbe"] =
        json!({"tcpSocket": {"port": 1, "host": "127.0.0.1"}, "failureThreshold": 1000});
    let plain = shell("echo begun; exec sleep 1000");
    node.create("stays", json!({"terminationGracePeriodSeconds": 1, "containers": [plain]}))
        .await?;
    node.create("starting", json!({"terminationGracePeriodSeconds": 1, "containers": [main]}))
        .await?;
    let before = node.until("stays", "became ready", ready).await?;
    node.until("starting", "ran", |pod| container(pod)["state"]["running"].is_object()).await?;
    node.create(
        "goes",
        json!({"terminationGracePeriodSeconds": 1, "containers": [shell("exec sleep 1000")]}),
    )
    .await?;
    node.until("goes", "became ready", ready).await?;
    node.stop_agent().await?;
    node.pods()
        .delete("goes", &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
        .await?;
    node.start_agent().await?;
    let after = node.until("stays", "stayed ready", ready).await?;
    ensure!(container(&before)["containerID"] == container(&after)["containerID"], "{after:#}");
    ensure!(container(&before)["state"] == container(&after)["state"], "{after:#}");
    let starting =
        node.until("starting", "ran", |pod| container(pod)["state"]["running"].is_object()).await?;
    ensure!(
        container(&starting)["started"] == false && container(&starting)["restartCount"] == 0,
        "{starting:#}"
    );
    for _ in 0..600 {
        if node.runtime().sandboxes().await.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left: Vec<_> = node
        .runtime()
        .sandboxes()
        .await
        .into_iter()
        .map(|sandbox| sandbox.spec.labels["name"].clone())
        .collect();
    ensure!(
        !left.contains(&"goes".to_owned()),
        "the sandbox of a pod deleted meanwhile is removed: {left:?}"
    );
    node.finish().await
}

async fn deadline_and_force() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_busybox().await?;
    let sleeper = || json!([shell("exec sleep 1000")]);
    node.create("late", json!({"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 1, "containers": sleeper()})).await?;
    let pod = node
        .until("late", "failed", |pod| {
            phase(pod, "Failed") && container(pod)["state"]["terminated"].is_object()
        })
        .await?;
    ensure!(pod["status"]["reason"] == "DeadlineExceeded", "{pod:#}");
    node.create("forced", json!({"containers": sleeper()})).await?;
    node.until("forced", "became ready", ready).await?;
    node.pods()
        .delete(
            "forced",
            &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() },
        )
        .await?;
    node.until_gone("forced").await?;
    node.until_no_sandbox().await;
    node.finish().await
}
