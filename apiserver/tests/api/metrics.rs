//! What nodes and pods use is asked of the nodes' agents.
//!
//! The node here is a stand-in whose every answer is ten seconds and five core-seconds after the one before.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::logs::acceptor;
use crate::server::{PODS, TestServer, pod};

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

fn exposition(nth: u64) -> String {
    let (cpu, at) = (5 * nth, 10_000 * (100 + nth));
    let mut text = format!(
        "node_cpu_usage_seconds_total {cpu} {at}\nnode_memory_working_set_bytes 1048576 {at}\n"
    );
    for (pod, container) in [("p", "a"), ("p", "b"), ("q", "c"), ("elsewhere", "c")] {
        let namespace = if pod == "elsewhere" { "kube-system" } else { "default" };
        let labels =
            format!("{{container=\"{container}\",namespace=\"{namespace}\",pod=\"{pod}\"}}");
        text += &format!(
            "container_cpu_usage_seconds_total{labels} {cpu} {at}\n\
             container_memory_working_set_bytes{labels} 2048 {at}\n\
             container_start_time_seconds{labels} 500\n"
        );
    }
    text
}

/// A node that answers, and how often it was asked.
async fn node(server: &TestServer) -> (u16, Arc<AtomicU64>, AbortOnDropHandle<()>) {
    let tls = acceptor(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let tracker = TaskTracker::new();
    let (connections, asked) = (tracker.clone(), Arc::new(AtomicU64::new(0)));
    let counted = asked.clone();
    let task = tracker.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, asked) = (tls.clone(), asked.clone());
            connections.spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let asked = asked.clone();
                    async move {
                        assert_eq!(request.uri().path(), "/metrics/resource");
                        let nth = asked.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(exposition(nth)))))
                    }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, counted, AbortOnDropHandle::new(task))
}

/// Three pods on the node, of which `q` does not run yet.
async fn cluster(server: &TestServer, port: u16) {
    let made = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n1", "labels": {"zone": "z"}}});
    server.post("/api/v1/nodes", &made).await.expect(201);
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    server.merge("/api/v1/nodes/n1/status", &status).await.expect(200);
    for (namespace, name, phase) in [
        ("default", "p", "Running"),
        ("default", "q", "Pending"),
        ("kube-system", "elsewhere", "Running"),
    ] {
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        server.post(&pods, &pod(name)).await.expect(201);
        let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}});
        server.post(&format!("{pods}/{name}/binding"), &binding).await.expect(201);
        let status = json!({"status": {"phase": phase}});
        server.merge(&format!("{pods}/{name}/status"), &status).await.expect(200);
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items").iter();
    items.map(|item| item["metadata"]["name"].as_str().expect("a name")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pods_and_nodes_use_is_asked_of_their_nodes() {
    let server = TestServer::start().await;
    let (port, asked, _node) = node(&server).await;
    cluster(&server, port).await;
    let pods = format!("{METRICS}/namespaces/default/pods");
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody has wanted to know");

    let list = server.get(&pods).await.expect(200);
    assert_eq!((&list["kind"], names(&list)), (&json!("PodMetricsList"), vec!["p"]));
    let item = &list["items"][0];
    assert_eq!(item["metadata"]["labels"], json!({"app": "p"}));
    assert_eq!((&item["window"], item.get("kind")), (&json!("10s"), None));
    let usage = json!({"cpu": "500m", "memory": "2Ki"});
    let containers = json!([{"name": "a", "usage": usage}, {"name": "b", "usage": usage}]);
    assert_eq!(item["containers"], containers);
    assert!(asked.load(Ordering::SeqCst) >= 2, "a rate needs two answers");

    for (query, want) in [
        ("?labelSelector=app%3Dp", vec!["p"]),
        ("?labelSelector=app%3Dq", vec![]),
        ("?fieldSelector=metadata.name%3Dp", vec!["p"]),
        ("?fieldSelector=metadata.name%21%3Dp", vec![]),
    ] {
        assert_eq!(
            names(&server.get(&format!("{pods}{query}")).await.expect(200)),
            want,
            "{query}"
        );
    }
    let all = server.get(&format!("{METRICS}/pods")).await.expect(200);
    assert_eq!(names(&all), ["p", "elsewhere"]);
    server.get(&format!("{pods}?fieldSelector=spec.nodeName%3Dn1")).await.expect(400);
    server.get(&format!("{pods}?watch=true")).await.expect(405);
    server.post(&pods, &all).await.expect(405);
    server.delete(&format!("{pods}/p"), &json!({})).await.expect(405);

    let one = server.get(&format!("{pods}/p")).await.expect(200);
    assert_eq!(
        (&one["kind"], &one["apiVersion"]),
        (&json!("PodMetrics"), &json!("metrics.k8s.io/v1beta1"))
    );
    assert_eq!(one["containers"], containers);
    for name in ["q", "nobody"] {
        let status = server.get(&format!("{pods}/{name}")).await.expect(404);
        assert_eq!(status["message"], format!("pods.metrics.k8s.io \"default/{name}\" not found"));
    }

    let nodes = server.get(&format!("{METRICS}/nodes?labelSelector=zone%3Dz")).await.expect(200);
    assert_eq!((&nodes["kind"], names(&nodes)), (&json!("NodeMetricsList"), vec!["n1"]));
    assert_eq!(nodes["items"][0]["usage"], json!({"cpu": "500m", "memory": "1Mi"}));
    server.get(&format!("{METRICS}/nodes/n2")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_shown_in_every_form() {
    let server = TestServer::start().await;
    let (port, _asked, _node) = node(&server).await;
    cluster(&server, port).await;
    let pods = format!("{METRICS}/namespaces/default/pods");
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    for path in [pods.clone(), format!("{pods}/p")] {
        let shown = server.client.get_as(&path, table).await.expect(200);
        assert_eq!(shown["rows"][0]["cells"], json!(["p", "1", "4Ki", "10s"]), "{path}");
        let columns = shown["columnDefinitions"].as_array().expect("columns").iter();
        let columns: Vec<_> = columns.map(|column| column["name"].as_str().unwrap()).collect();
        assert_eq!(columns, ["Name", "cpu", "memory", "Window"]);
    }
    // What typed Go clients ask for.
    let go = "application/vnd.kubernetes.protobuf,application/json";
    let shown = server.client.get_as(&format!("{pods}/p"), go).await;
    assert_eq!(shown.headers["content-type"], "application/vnd.kubernetes.protobuf");
    let read = api::protobuf::read(&shown.bytes).expect("a message");
    assert_eq!((&read["kind"], &read["window"]), (&json!("PodMetrics"), &json!("10s")));
    assert_eq!(read["containers"][1]["usage"]["cpu"], "500m");
    let shown = server.client.get_as(&format!("{METRICS}/nodes"), go).await;
    let envelope = api::protobuf::envelope::open(&shown.bytes).expect("a message");
    assert_eq!(envelope.kind, "NodeMetricsList");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_says_nothing_is_left_out() {
    let server = TestServer::start().await;
    let (port, asked, _node) = node(&server).await;
    cluster(&server, port).await;
    let gone = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    server.merge("/api/v1/nodes/n1/status", &gone).await.expect(200);
    for path in ["nodes", "pods"] {
        let list = server.get(&format!("{METRICS}/{path}")).await.expect(200);
        assert_eq!(list["items"], json!([]));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "whoever is not ready is not waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_with_their_role_and_their_service() {
    let server = TestServer::start().await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = server.get(&format!("{roles}/system:aggregated-metrics-reader")).await.expect(200);
    let want = json!([{"verbs": ["get", "list", "watch"], "apiGroups": ["metrics.k8s.io"],
        "resources": ["pods", "nodes"]}]);
    assert_eq!(role["rules"], want);
    for to in ["admin", "edit", "view"] {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
        assert_eq!(role["metadata"]["labels"][&label], "true", "{role}");
    }
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let service = server.get(&format!("{services}/v1beta1.metrics.k8s.io")).await.expect(200);
    assert_eq!(service["spec"]["groupPriorityMinimum"], 100);
    assert_eq!(service["status"]["conditions"][0]["status"], "True");
    let pods = server.client.send(Method::GET, PODS, "", "").await.expect(200);
    assert_eq!(pods["kind"], "PodList");
}
