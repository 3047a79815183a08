//! What is used: measured on a real container, and told to who may know.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::cases::phase;
use crate::node::{Node, PATIENCE};

fn get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

/// The value of a sample, once there is a line that begins like that and has one above zero.
async fn until_sample(client: &kube::Client, start: &str) -> Result<f64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = client.request_text(get("/metrics/resource")?).await?;
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        let value = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        match value {
            Some(value) if value > 0.0 => return Ok(value),
            _ if Instant::now() > deadline => bail!("no value of {start} in\n{text}"),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A Wasm container that is busy has used CPU and memory, and so have its pod and its node.
pub(crate) async fn measured() -> Result<()> {
    let node = Node::loopback().await?;
    node.load_wasm("spin").await?;
    let container = json!({"name": "c", "image": "spin", "imagePullPolicy": "Never",
        "args": ["cpu"], "resources": {"limits": {"cpu": "100m"}}});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    let created = node.create("busy", spec).await?;
    node.until("busy", "runs", |pod| phase(pod, "Running")).await?;
    let master = node.kubelet_client("kube-apiserver-kubelet-client", "system:masters").await?;
    let of = "namespace=\"default\",pod=\"busy\"}";
    for sample in [
        format!("container_cpu_usage_seconds_total{{container=\"c\",{of}"),
        format!("container_memory_working_set_bytes{{container=\"c\",{of}"),
        format!("container_start_time_seconds{{container=\"c\",{of}"),
        format!("pod_cpu_usage_seconds_total{{{of}"),
        format!("pod_memory_working_set_bytes{{{of}"),
        "node_cpu_usage_seconds_total".to_owned(),
        "node_memory_working_set_bytes".to_owned(),
    ] {
        until_sample(&master, &sample).await?;
    }
    let text = master.request_text(get("/metrics/resource")?).await?;
    ensure!(text.contains("\nresource_scrape_error 0\n"), "{text}");

    let summary = master.request_text(get("/stats/summary")?).await?;
    let summary: Value = serde_json::from_str(&summary)?;
    let pod = &summary["pods"][0];
    let reference = json!({"name": "busy", "namespace": "default", "uid": created.metadata.uid});
    ensure!(summary["node"]["nodeName"] == "n1" && pod["podRef"] == reference, "{summary:#}");
    for stats in [&summary["node"], pod, &pod["containers"][0]] {
        ensure!(stats["cpu"]["usageNanoCores"].as_u64() > Some(0), "{summary:#}");
        ensure!(stats["memory"]["workingSetBytes"].as_u64() > Some(0), "{summary:#}");
    }
    node.finish().await
}

/// Others than the API server are asked who they are, and the API server what they may.
pub(crate) async fn guarded() -> Result<()> {
    let node = Node::loopback().await?;
    node.until_registered().await?;
    let create = PostParams::default();
    let accounts: Api<ServiceAccount> = Api::namespaced(node.client.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "scraper"}}))?;
    accounts.create(&create, &account).await?;
    let request = serde_json::from_value(json!({"spec": {"audiences": []}}))?;
    let token = accounts.create_token_request("scraper", &create, &request).await?;
    let token = token.status.context("a token")?.token;
    let alice = node.kubelet_client("alice", "developers").await?;
    let scraper = node.kubelet_client_with(&json!({"token": token})).await?;
    let stranger = node.kubelet_client_with(&json!({"token": "none"})).await?;
    let nobody = node.kubelet_client_with(&json!({})).await?;

    let metrics = "/metrics/resource";
    for (client, code) in [(&alice, "403"), (&scraper, "403"), (&stranger, "401"), (&nobody, "401")]
    {
        let refused = client.request_text(get(metrics)?).await.expect_err("nobody has rights yet");
        ensure!(format!("{refused:?}").contains(code), "{code}: {refused:?}");
    }
    let roles: Api<ClusterRole> = Api::all(node.client.clone());
    let role = json!({"metadata": {"name": "scrape"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes/metrics"]}]});
    roles.create(&create, &serde_json::from_value(role)?).await?;
    let bindings: Api<ClusterRoleBinding> = Api::all(node.client.clone());
    let binding = json!({"metadata": {"name": "scrape"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scrape"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "alice"},
            {"kind": "ServiceAccount", "namespace": "default", "name": "scraper"}]});
    bindings.create(&create, &serde_json::from_value(binding)?).await?;
    for client in [&alice, &scraper] {
        until_sample(client, "node_cpu_usage_seconds_total").await?;
        for path in ["/stats/summary", "/pods", "/containerLogs/default/a/b"] {
            let refused =
                client.request_text(get(path)?).await.expect_err("the right is to metrics");
            ensure!(format!("{refused:?}").contains("403"), "{path}: {refused:?}");
        }
    }
    node.finish().await
}

impl Node {
    /// A client of the node's own endpoint with these credentials (`user` of a kubeconfig).
    async fn kubelet_client_with(&self, user: &Value) -> Result<kube::Client> {
        let cluster = json!({"server": self.kubelet_url().await?,
            "certificate-authority-data": STANDARD.encode(self.ca_pem())});
        let file = json!({"apiVersion": "v1", "kind": "Config", "current-context": "n1",
            "clusters": [{"name": "n1", "cluster": cluster}],
            "users": [{"name": "n1", "user": user}],
            "contexts": [{"name": "n1", "context": {"cluster": "n1", "user": "n1"}}]});
        let file = kube::config::Kubeconfig::from_yaml(&file.to_string())?;
        let config = kube::Config::from_custom_kubeconfig(file, &Default::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Waits until the node says where its endpoint is.
    async fn until_registered(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.kubelet_url().await {
            ensure!(Instant::now() < deadline, "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
