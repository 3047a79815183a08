//! Admission that reads other objects: what pods, claims and Ingresses get from classes and limits,
//! and what is refused.

use http::Method;
use serde_json::{Value, json};

use crate::server::{HttpsClient, PODS, TestServer, pod};

const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// Creates an object and waits until admission can see it: a list without a version is answered
/// when the caches show what has been written.
async fn make(server: &TestServer, path: &str, object: Value) -> Value {
    let made = server.post(path, &object).await.expect(201);
    server.get(path).await.expect(200);
    made
}

fn with(mut pod: Value, field: &str, value: Value) -> Value {
    pod["spec"][field] = value;
    pod
}

fn needing(name: &str, resources: Value) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}

#[track_caller]
fn told(refused: crate::server::Answer, want: &str) {
    let status = refused.expect(403);
    assert_eq!((&status["reason"], &status["message"]), (&json!("Forbidden"), &json!(want)));
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_have_the_priority_of_their_class() {
    let server = TestServer::start().await;
    let plain = server.post(PODS, &pod("plain")).await.expect(201);
    assert_eq!(plain["spec"]["priority"], 0);
    assert!(plain["spec"]["priorityClassName"].is_null());
    let critical = with(pod("critical"), "priorityClassName", "system-node-critical".into());
    let critical = server.post(PODS, &critical).await.expect(201);
    assert_eq!(critical["spec"]["priority"], 2_000_001_000);
    let unknown = with(pod("p"), "priorityClassName", "none".into());
    let message = "pods \"p\" is forbidden: no PriorityClass with name none was found";
    told(server.post(PODS, &unknown).await, message);

    let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value, "globalDefault": true, "preemptionPolicy": "Never"});
    make(&server, CLASSES, class("usual", 7)).await;
    let made = server.post(PODS, &pod("usual")).await.expect(201);
    let spec = &made["spec"];
    let have = [&spec["priority"], &spec["priorityClassName"], &spec["preemptionPolicy"]];
    assert_eq!(have, [&json!(7), &json!("usual"), &json!("Never")]);
    // Nobody owns what admission adds.
    assert!(!made["metadata"]["managedFields"].to_string().contains("f:priority"));
    let message = "priorityclasses.scheduling.k8s.io \"other\" is forbidden: PriorityClass usual is \
        already marked as default. Only one default can exist";
    told(server.post(CLASSES, &class("other", 8)).await, message);
    let mut other = class("other", 8);
    other["globalDefault"] = false.into();
    make(&server, CLASSES, other).await;
    let path = format!("{CLASSES}/other");
    told(server.merge(&path, &json!({"globalDefault": true})).await, message);
    let path = format!("{CLASSES}/usual");
    server.merge(&path, &json!({"description": "still the default"})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_namespace_are_kept() {
    let server = TestServer::start().await;
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "2"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}}]}});
    make(&server, "/api/v1/namespaces/default/limitranges", range).await;
    let made = server.post(PODS, &pod("p")).await.expect(201);
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(resources, &json!({"limits": {"cpu": "1"}, "requests": {"cpu": "100m"}}));
    assert_eq!(made["status"]["qosClass"], "Burstable");
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    // A limit of its own is also the request, as everywhere.
    let own = server.post(PODS, &needing("own", json!({"limits": {"cpu": "2"}}))).await.expect(201);
    assert_eq!(own["spec"]["containers"][0]["resources"]["requests"]["cpu"], "2");
    let much = needing("much", json!({"limits": {"cpu": "3"}}));
    let message =
        "pods \"much\" is forbidden: maximum cpu usage per Container is 2, but limit is 3";
    told(server.post(PODS, &much).await, message);
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "6Gi"}}}});
    let message = "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per \
        PersistentVolumeClaim is 5Gi, but request is 6Gi";
    told(server.post(CLAIMS, &claim).await, message);
    let path = "/api/v1/namespaces/kube-public/pods";
    server.post(path, &much).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_class_gets_the_default() {
    let server = TestServer::start().await;
    let claim = |name: &str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let without = server.post(CLAIMS, &claim("a")).await.expect(201);
    assert!(without["spec"]["storageClassName"].is_null());
    let class = json!({"metadata": {"name": "fast", "annotations":
        {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "x/y"});
    make(&server, "/apis/storage.k8s.io/v1/storageclasses", class).await;
    let with = server.post(CLAIMS, &claim("b")).await.expect(201);
    assert_eq!(with["spec"]["storageClassName"], "fast");

    let class = json!({"metadata": {"name": "web", "annotations":
        {"ingressclass.kubernetes.io/is-default-class": "true"}}, "spec": {"controller": "x/y"}});
    make(&server, "/apis/networking.k8s.io/v1/ingressclasses", class).await;
    let ingress = json!({"metadata": {"name": "i"}, "spec": {"defaultBackend":
        {"service": {"name": "s", "port": {"number": 80}}}}});
    let path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let made = server.post(path, &ingress).await.expect(201);
    assert_eq!(made["spec"]["ingressClassName"], "web");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_pay_for_their_runtime_and_say_where_they_are() {
    let server = TestServer::start().await;
    let class = json!({"metadata": {"name": "vm"}, "handler": "vm",
        "overhead": {"podFixed": {"memory": "64Mi"}}, "scheduling": {"nodeSelector": {"vm": "yes"}}});
    make(&server, "/apis/node.k8s.io/v1/runtimeclasses", class).await;
    let made = with(pod("p"), "runtimeClassName", "vm".into());
    let made = server.post(PODS, &made).await.expect(201);
    assert_eq!(made["spec"]["overhead"], json!({"memory": "64Mi"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"vm": "yes"}));
    let unknown = with(pod("q"), "runtimeClassName", "none".into());
    let message = "pods \"q\" is forbidden: pod rejected: RuntimeClass \"none\" not found";
    told(server.post(PODS, &unknown).await, message);

    let node = json!({"metadata": {"name": "n", "labels":
        {"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1", "x": "y"}}});
    make(&server, "/api/v1/nodes", node).await;
    let binding = json!({"target": {"kind": "Node", "name": "n"}});
    server.post(&format!("{PODS}/p/binding"), &binding).await.expect(201);
    let bound = server.get(&format!("{PODS}/p")).await.expect(200);
    let want = json!({"app": "p", "topology.kubernetes.io/zone": "z1",
        "topology.kubernetes.io/region": "r1"});
    assert_eq!(bound["metadata"]["labels"], want);
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_used_up() {
    let server = TestServer::start().await;
    let quota =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2", "requests.cpu": "1"}}});
    make(&server, QUOTAS, quota).await;
    // What the quota controller says of it.
    let status = json!({"status": {"hard": {"pods": "2", "requests.cpu": "1"},
        "used": {"pods": "0", "requests.cpu": "0"}}});
    server.merge(&format!("{QUOTAS}/q/status"), &status).await.expect(200);
    server.get(QUOTAS).await.expect(200);
    let message = "pods \"p\" is forbidden: failed quota: q: must specify requests.cpu for: c";
    told(server.post(PODS, &pod("p")).await, message);
    let cpu = |name: &str, amount: &str| needing(name, json!({"requests": {"cpu": amount}}));
    server.post(&format!("{PODS}?dryRun=All"), &cpu("a", "600m")).await.expect(201);
    make(&server, PODS, cpu("a", "600m")).await;
    let used = server.get(&format!("{QUOTAS}/q")).await.expect(200)["status"]["used"].clone();
    assert_eq!(used, json!({"pods": "1", "requests.cpu": "600m"}));
    let message = "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: \
        requests.cpu=600m, limited: requests.cpu=1";
    told(server.post(PODS, &cpu("b", "600m")).await, message);
    server.post(PODS, &cpu("b", "400m")).await.expect(201);
    told(
        server.post(PODS, &cpu("c", "0")).await,
        "pods \"c\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: \
         pods=2",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grows_is_charged_too() {
    let server = TestServer::start().await;
    let hard = json!({"services.loadbalancers": "1", "services.nodeports": "1",
        "requests.storage": "2Gi", "requests.cpu": "1"});
    make(&server, QUOTAS, json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await;
    let none = json!({"services.loadbalancers": "0", "services.nodeports": "0",
        "requests.storage": "0", "requests.cpu": "0"});
    let status = json!({"status": {"hard": hard, "used": none}});
    server.merge(&format!("{QUOTAS}/q/status"), &status).await.expect(200);
    server.get(QUOTAS).await.expect(200);
    let used =
        async || server.get(&format!("{QUOTAS}/q")).await.expect(200)["status"]["used"].clone();

    let services = "/api/v1/namespaces/default/services";
    for name in ["a", "b"] {
        let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        make(&server, services, service).await;
    }
    let balanced = json!({"spec": {"type": "LoadBalancer"}});
    let dry = format!("{services}/a?dryRun=All");
    server.merge(&dry, &balanced).await.expect(200);
    assert_eq!(used().await["services.loadbalancers"], "0");
    server.merge(&format!("{services}/a"), &balanced).await.expect(200);
    assert_eq!(used().await["services.loadbalancers"], "1");
    assert_eq!(used().await["services.nodeports"], "1");
    // What costs no more is not charged again.
    let labels = json!({"metadata": {"labels": {"x": "y"}}});
    server.merge(&format!("{services}/a"), &labels).await.expect(200);
    told(
        server.merge(&format!("{services}/b"), &json!({"spec": {"type": "NodePort"}})).await,
        "services \"b\" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: \
         services.nodeports=1, limited: services.nodeports=1",
    );

    let resize = |amount: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]}});
    make(&server, PODS, needing("p", json!({"requests": {"cpu": "500m"}}))).await;
    let kind = "application/strategic-merge-patch+json";
    let path = format!("{PODS}/p/resize");
    let patch = async |amount: &str| {
        server.client.send(Method::PATCH, &path, kind, resize(amount).to_string()).await
    };
    patch("800m").await.expect(200);
    assert_eq!(used().await["requests.cpu"], "800m");
    told(
        patch("1500m").await,
        "pods \"p\" is forbidden: exceeded quota: q, requested: requests.cpu=700m, used: \
         requests.cpu=800m, limited: requests.cpu=1",
    );
}

async fn decide(client: &HttpsClient, part: &str, body: &Value) -> crate::server::Answer {
    let path = format!("{REQUESTS}/r/{part}");
    client.send(Method::PATCH, &path, "application/merge-patch+json", body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signers_are_for_those_who_may_sign() {
    let server = TestServer::start().await;
    let request = crate::certificates::request();
    server.post(REQUESTS, &request).await.expect(201);
    let identity = server.authority.client("bob", None).expect("an identity");
    let bob = server.client_of(Some(&identity));
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let grant = async |rule: Value| {
        let role = json!({"metadata": {"generateName": "r"}, "rules": [rule]});
        let role = server.post(&format!("{rbac}/clusterroles"), &role).await.expect(201);
        let binding = json!({"metadata": {"generateName": "b"}, "subjects": [{"kind": "User",
            "name": "bob"}], "roleRef": {"kind": "ClusterRole", "name": role["metadata"]["name"]}});
        make(&server, &format!("{rbac}/clusterrolebindings"), binding).await;
    };
    let resources = ["certificatesigningrequests/approval", "certificatesigningrequests/status"];
    grant(
        json!({"verbs": ["patch"], "apiGroups": ["certificates.k8s.io"], "resources": resources}),
    )
    .await;
    let approve = json!({"status": {"conditions": [{"type": "Approved", "status": "True"}]}});
    let fail = json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}});
    let head = "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not \
        permitted to";
    let signer = "requests with signerName \"example.com/signer\"";
    told(decide(&bob, "approval", &approve).await, &format!("{head} approve {signer}"));
    told(decide(&bob, "status", &fail).await, &format!("{head} sign {signer}"));
    grant(json!({"verbs": ["approve"], "apiGroups": ["certificates.k8s.io"],
        "resources": ["signers"], "resourceNames": ["example.com/*"]}))
    .await;
    decide(&bob, "approval", &approve).await.expect(200);
    told(decide(&bob, "status", &fail).await, &format!("{head} sign {signer}"));
}
