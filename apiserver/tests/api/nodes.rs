//! What a node may read and write, and what the cluster's own components may.

use http::Method;
use serde_json::{Value, json};

use crate::server::{Answer, HttpsClient, MAPS, PODS, TestServer, config_map, pod};

const NODES: &str = "/api/v1/nodes";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

async fn send(client: &HttpsClient, method: Method, path: &str, body: &Value) -> Answer {
    let kind =
        if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    client.send(method, path, kind, body.to_string()).await
}

fn node_client(server: &TestServer, name: &str) -> HttpsClient {
    let user = format!("system:node:{name}");
    let identity = server.authority.client(&user, Some("system:nodes")).expect("an identity");
    server.client_of(Some(&identity))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reads_what_its_pods_name() {
    let server = TestServer::start().await;
    let (one, two) = (node_client(&server, "n1"), node_client(&server, "n2"));
    for name in ["used", "other"] {
        server.post(SECRETS, &json!({"metadata": {"name": name}})).await.expect(201);
        server.post(MAPS, &config_map(name, "x")).await.expect(201);
    }
    let mut bound = pod("p");
    bound["spec"]["nodeName"] = "n1".into();
    bound["spec"]["volumes"] = json!([{"name": "s", "secret": {"secretName": "used"}},
        {"name": "m", "configMap": {"name": "used"}}]);
    server.post(PODS, &bound).await.expect(201);
    server.get(PODS).await.expect(200);
    let list =
        |resource: &str, name: &str| format!("{resource}?fieldSelector=metadata.name%3D{name}");
    for (path, open) in [
        (format!("{SECRETS}/used"), true),
        (format!("{SECRETS}/other"), false),
        (list(SECRETS, "used"), true),
        (list(SECRETS, "other"), false),
        (SECRETS.to_owned(), false),
        (format!("{MAPS}/used"), true),
        (format!("{MAPS}/other"), false),
        (format!("{PODS}/p"), true),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1".to_owned(), true),
        ("/api/v1/pods".to_owned(), false),
    ] {
        let code = one.send(Method::GET, &path, "", "").await.code;
        assert_eq!(code, if open { 200 } else { 403 }, "{path}");
        assert_eq!(two.send(Method::GET, &path, "", "").await.code, 403, "{path}");
    }
    let refused = one.send(Method::GET, &format!("{SECRETS}/other"), "", "").await.expect(403);
    assert_eq!(
        refused["message"],
        "secrets \"other\" is forbidden: User \"system:node:n1\" cannot get resource \"secrets\" in \
         API group \"\" in the namespace \"default\": no relationship found between node 'n1' and \
         this object"
    );
    // Whoever asks about the node is told the same.
    for (attributes, want) in [
        (json!({"verb": "list", "resource": "pods"}), false),
        (
            json!({"verb": "list", "resource": "pods",
                "fieldSelector": {"rawSelector": "spec.nodeName=n1"}}),
            true,
        ),
        (
            json!({"verb": "list", "resource": "pods", "fieldSelector": {"requirements":
                [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}}),
            true,
        ),
    ] {
        let review = json!({"spec": {"user": "system:node:n1", "groups": ["system:nodes"],
            "resourceAttributes": attributes}});
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        assert_eq!(server.post(path, &review).await.expect(201)["status"]["allowed"], want);
    }
    for path in ["/api/v1/services", "/apis/node.k8s.io/v1/runtimeclasses", "/apis"] {
        assert_eq!(one.send(Method::GET, path, "", "").await.code, 200, "{path}");
    }
    assert_eq!(send(&one, Method::DELETE, &format!("{SECRETS}/used"), &json!({})).await.code, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_writes_what_is_its_own() {
    let server = TestServer::start().await;
    let one = node_client(&server, "n1");
    let node = |name: &str| json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
    let refused = send(&one, Method::POST, NODES, &node("n2")).await.expect(403);
    let message = "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"";
    assert_eq!(refused["message"], message);
    send(&one, Method::POST, NODES, &node("n1")).await.expect(201);
    server.post(NODES, &node("n2")).await.expect(201);
    let status = json!({"status": {"phase": "Running"}});
    let own = format!("{NODES}/n1");
    send(&one, Method::PATCH, &format!("{own}/status"), &status).await.expect(200);
    send(&one, Method::PATCH, &own, &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    for (path, body) in [
        (format!("{NODES}/n2/status"), status),
        (own.clone(), json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}})),
        (own.clone(), json!({"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}})),
    ] {
        send(&one, Method::PATCH, &path, &body).await.expect(403);
    }
    send(&one, Method::DELETE, &own, &json!({})).await.expect(403);

    let lease = |name: &str| json!({"metadata": {"name": name}, "spec": {"holderIdentity": name}});
    send(&one, Method::POST, LEASES, &lease("n1")).await.expect(201);
    send(&one, Method::PATCH, &format!("{LEASES}/n1"), &lease("n1")).await.expect(200);
    send(&one, Method::POST, LEASES, &lease("n2")).await.expect(403);
    send(&one, Method::PATCH, &format!("{LEASES}/n2"), &lease("n2")).await.expect(403);

    for (name, node) in [("mine", "n1"), ("theirs", "n2")] {
        let mut bound = pod(name);
        bound["spec"]["nodeName"] = node.into();
        server.post(PODS, &bound).await.expect(201);
    }
    server.get(PODS).await.expect(200);
    let running = json!({"status": {"phase": "Running"}});
    send(&one, Method::PATCH, &format!("{PODS}/mine/status"), &running).await.expect(200);
    let refused = send(&one, Method::PATCH, &format!("{PODS}/theirs/status"), &running).await;
    assert_eq!(
        refused.expect(403)["message"],
        "pods \"theirs\" is forbidden: node \"n1\" can only update pod status for pods with \
         spec.nodeName set to itself"
    );
    send(&one, Method::POST, PODS, &pod("new")).await.expect(403);
    let now = json!({"gracePeriodSeconds": 0});
    send(&one, Method::DELETE, &format!("{PODS}/theirs"), &now).await.expect(403);
    send(&one, Method::DELETE, &format!("{PODS}/mine"), &now).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn components_have_the_roles_of_the_policy() {
    let server = TestServer::start().await;
    let client = |name: &str| {
        let identity = server.authority.client(name, None).expect("an identity");
        server.client_of(Some(&identity))
    };
    let lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    for (name, method, path, open) in [
        ("system:kube-scheduler", Method::GET, PODS, true),
        ("system:kube-scheduler", Method::GET, SECRETS, false),
        ("system:kube-scheduler", Method::POST, lease, true),
        ("system:kube-scheduler", Method::DELETE, "/api/v1/nodes/n", false),
        ("system:kube-proxy", Method::GET, "/api/v1/services", true),
        ("system:kube-proxy", Method::GET, PODS, false),
        ("system:kube-controller-manager", Method::GET, SECRETS, true),
        // Of the replication controller, and of the namespace controller.
        ("system:kube-controller-manager", Method::POST, PODS, true),
        ("system:kube-controller-manager", Method::DELETE, PODS, true),
        ("system:kube-controller-manager", Method::POST, "/api/v1/nodes", false),
    ] {
        let code = client(name).send(method.clone(), path, "application/json", "x").await.code;
        assert_eq!(code != 403, open, "{name} {method} {path}: {code}");
    }
}
