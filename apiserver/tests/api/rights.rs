//! Who may do what: roles and bindings, reviews, impersonation, and that no route is forgotten.

use http::Method;
use serde_json::{Value, json};

use crate::server::{Answer, HttpsClient, MAPS, PODS, TestServer, config_map, read};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

fn client_of(server: &TestServer, name: &str, group: Option<&str>) -> HttpsClient {
    let identity = server.authority.client(name, group).expect("an identity");
    server.client_of(Some(&identity))
}

async fn post(client: &HttpsClient, path: &str, body: &Value) -> Answer {
    client.send(Method::POST, path, "application/json", body.to_string()).await
}

/// A ClusterRole with one rule, bound to a user everywhere, or in a namespace.
async fn grant(server: &TestServer, user: &str, namespace: &str, rule: Value) {
    let role = json!({"metadata": {"generateName": "r"}, "rules": [rule]});
    let role = server.post(&format!("{RBAC}/clusterroles"), &role).await.expect(201);
    let binding = json!({"metadata": {"generateName": "b"},
        "roleRef": {"kind": "ClusterRole", "name": role["metadata"]["name"]},
        "subjects": [{"kind": "User", "name": user}]});
    let path = match namespace {
        "" => format!("{RBAC}/clusterrolebindings"),
        namespace => format!("{RBAC}/namespaces/{namespace}/rolebindings"),
    };
    server.post(&path, &binding).await.expect(201);
    settled(server).await;
}

/// Waits until the authorizer knows every role and binding written so far. It reads the watch
/// caches, which are a moment behind; a list without a version is answered when they are not.
async fn settled(server: &TestServer) {
    for resource in ["clusterroles", "roles", "clusterrolebindings", "rolebindings"] {
        server.get(&format!("{RBAC}/{resource}")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_closed_to_users_without_rights() {
    let server = TestServer::start().await;
    let bob = client_of(&server, "bob", None);
    // What every authenticated user may ask: about itself.
    let open = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let mut asked = 0;
    for row in api::resources::table() {
        let root = match &*row.group {
            "" => format!("/api/{}", row.version),
            group => format!("/apis/{group}/{}", row.version),
        };
        let mut paths = vec![format!("{root}/{}", row.plural)];
        if row.namespaced() {
            paths.push(format!("{root}/namespaces/default/{}", row.plural));
        }
        let collection = paths.last().expect("a path").clone();
        paths.push(format!("{collection}/x"));
        paths.extend(row.subresources.iter().map(|sub| format!("{collection}/x/{}", sub.name)));
        let watch = format!("{collection}?watch=true");
        assert_eq!(bob.send(Method::GET, &watch, "", "").await.code, 403, "{watch}");
        for path in paths {
            for method in &methods {
                if *method == Method::POST && open.contains(&&*row.plural) {
                    continue;
                }
                let status = bob.send(method.clone(), &path, "", "").await.expect(403);
                let message = status["message"].as_str().expect("a message");
                assert!(message.contains(": User \"bob\" cannot "), "{method} {path}: {message}");
                asked += 1;
            }
        }
    }
    assert!(asked > 300, "only {asked} routes");
    let paths =
        ["/metrics", "/readyz/etcd", "/openid/v1/jwks", "/.well-known/openid-configuration"];
    for path in paths.into_iter().chain(["/logs/", "/debug/pprof", "/", "/nothing"]) {
        let status = bob.send(Method::GET, path, "", "").await.expect(403);
        let message = format!("forbidden: User \"bob\" cannot get path \"{path}\"");
        assert_eq!(status["message"], message);
    }
    for path in ["/api", "/apis", "/apis/apps/v1", "/openapi/v3", "/version", "/healthz"] {
        assert_eq!(bob.send(Method::GET, path, "", "").await.code, 200, "{path}");
        assert_eq!(bob.send(Method::POST, path, "", "").await.code, 403, "POST {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_open_what_they_name() {
    let server = TestServer::start().await;
    let bob = client_of(&server, "bob", None);
    let rule = json!({"verbs": ["get", "list", "watch"], "apiGroups": [""],
        "resources": ["configmaps"], "resourceNames": ["mine"]});
    grant(&server, "bob", "default", rule).await;
    server.post(MAPS, &config_map("mine", "x")).await.expect(201);
    server.post(MAPS, &config_map("other", "x")).await.expect(201);
    let by_name = format!("{MAPS}?fieldSelector=metadata.name%3Dmine");
    let elsewhere = "/api/v1/namespaces/kube-system/configmaps/mine".to_owned();
    for (method, path, want) in [
        (Method::GET, format!("{MAPS}/mine"), 200),
        (Method::GET, by_name, 200),
        (Method::GET, format!("{MAPS}/other"), 403),
        (Method::GET, MAPS.to_owned(), 403),
        (Method::DELETE, format!("{MAPS}/mine"), 403),
        (Method::GET, elsewhere, 403),
    ] {
        assert_eq!(bob.send(method.clone(), &path, "", "").await.code, want, "{method} {path}");
    }
    // Rights in a namespace may be rights on the namespace itself.
    let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["namespaces"]});
    grant(&server, "bob", "default", rule).await;
    assert_eq!(bob.send(Method::GET, "/api/v1/namespaces/default", "", "").await.code, 200);
    let status = bob.send(Method::GET, "/api/v1/namespaces/kube-system", "", "").await.expect(403);
    assert_eq!(
        status["message"],
        "namespaces \"kube-system\" is forbidden: User \"bob\" cannot get resource \"namespaces\" \
         in API group \"\" in the namespace \"kube-system\""
    );
    // A role that is taken away opens nothing any more.
    server.delete(&format!("{RBAC}/namespaces/default/rolebindings"), &json!({})).await.expect(200);
    settled(&server).await;
    assert_eq!(bob.send(Method::GET, &format!("{MAPS}/mine"), "", "").await.code, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_say_what_the_authorizer_says() {
    let server = TestServer::start().await;
    let bob = client_of(&server, "bob", None);
    let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"]});
    grant(&server, "bob", "default", rule).await;
    let ask = |verb: &str, sub: &str, namespace: &str| json!({"verb": verb, "resource": "pods", "subresource": sub, "namespace": namespace});
    let own = format!("{REVIEWS}/selfsubjectaccessreviews");
    for (attributes, want) in [
        (ask("get", "", "default"), true),
        (ask("get", "log", "default"), true),
        (ask("get", "status", "default"), false),
        (ask("list", "", "default"), false),
        (ask("get", "", ""), false),
    ] {
        let review = json!({"spec": {"resourceAttributes": attributes}});
        let status = post(&bob, &own, &review).await.expect(201)["status"].clone();
        assert_eq!(status["allowed"], want, "{attributes}");
        let reason = status["reason"].as_str().unwrap_or_default();
        assert_eq!(reason.starts_with("RBAC: allowed by RoleBinding "), want, "{reason}");
        // Others ask about him.
        let review = json!({"spec": {"resourceAttributes": attributes, "user": "bob"}});
        let path = format!("{REVIEWS}/subjectaccessreviews");
        assert_eq!(server.post(&path, &review).await.expect(201)["status"]["allowed"], want);
        if attributes["namespace"] == "default" {
            let path = format!("{REVIEWS}/namespaces/default/localsubjectaccessreviews");
            assert_eq!(server.post(&path, &review).await.expect(201)["status"]["allowed"], want);
        }
    }
    let paths = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}});
    assert_eq!(post(&bob, &own, &paths).await.expect(201)["status"]["allowed"], false);
    assert_eq!(server.post(&own, &paths).await.expect(201)["status"]["allowed"], true);
    server.post(&own, &json!({"spec": {}})).await.expect(422);

    let path = format!("{REVIEWS}/selfsubjectrulesreviews");
    let review = json!({"spec": {"namespace": "default"}});
    let status = post(&bob, &path, &review).await.expect(201)["status"].clone();
    let has =
        |rule: Value| status["resourceRules"].as_array().is_some_and(|all| all.contains(&rule));
    assert!(
        has(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"]})),
        "{status}"
    );
    let urls = status["nonResourceRules"].to_string();
    assert!(urls.contains("/openapi/*") && status["incomplete"] == false, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_grants_what_they_do_not_have() {
    let server = TestServer::start().await;
    let bob = client_of(&server, "bob", None);
    let all = json!({"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "rolebindings"]});
    let mut write = all.clone();
    write["verbs"] = json!(["get", "create", "update", "patch"]);
    grant(&server, "bob", "default", write).await;
    let pods = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    grant(&server, "bob", "default", pods.clone()).await;

    let roles = format!("{RBAC}/namespaces/default/roles");
    let mut role = json!({"metadata": {"name": "r"}, "rules": [pods]});
    post(&bob, &roles, &role).await.expect(201);
    settled(&server).await;
    role["rules"][0]["verbs"] = json!(["get", "list", "delete"]);
    let message = "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"bob\" \
        (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently \
        held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"delete\"]}";
    let path = format!("{roles}/r");
    let json = "application/json";
    let put = bob.send(Method::PUT, &path, json, role.to_string()).await.expect(403);
    assert_eq!(put["message"], message);
    for kind in ["application/merge-patch+json", "application/apply-patch+yaml?"] {
        let kind = kind.trim_end_matches('?');
        let mut applied = role.clone();
        applied["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
        applied["kind"] = "Role".into();
        let path = format!(
            "{path}?fieldManager=m{}",
            if kind.contains("apply") { "&force=true" } else { "" }
        );
        let refused = bob.send(Method::PATCH, &path, kind, applied.to_string()).await.expect(403);
        assert_eq!(refused["message"], message, "{kind}");
    }
    // A label is no right.
    let label = json!({"metadata": {"labels": {"a": "b"}}}).to_string();
    bob.send(Method::PATCH, &path, "application/merge-patch+json", label).await.expect(200);

    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let binding = |kind: &str, role: &str| {
        json!({"metadata": {"generateName": "b"}, "roleRef": {"kind": kind, "name": role},
            "subjects": [{"kind": "User", "name": "ann"}]})
    };
    post(&bob, &bindings, &binding("Role", "r")).await.expect(201);
    post(&bob, &bindings, &binding("Role", "none")).await.expect(404);
    let refused = post(&bob, &bindings, &binding("ClusterRole", "cluster-admin")).await.expect(403);
    let told = refused["message"].as_str().expect("a message");
    assert!(
        told.contains("not currently held:\n{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"),
        "{told}"
    );
    // Unless they may.
    let mut escalate = all;
    escalate["verbs"] = json!(["escalate", "bind"]);
    escalate["resources"] = json!(["roles", "clusterroles"]);
    grant(&server, "bob", "default", escalate).await;
    bob.send(Method::PUT, &path, json, role.to_string()).await.expect(200);
    post(&bob, &bindings, &binding("ClusterRole", "cluster-admin")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_act_as_others_if_they_may() {
    let server = TestServer::start().await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let whoami = async |client: &HttpsClient, headers: &[(&str, &str)]| {
        let headers = [&[("content-type", "application/json")], headers].concat();
        read(client.open(Method::POST, path, &headers, "{}").await).await
    };
    let as_ann =
        [("impersonate-user", "ann"), ("impersonate-group", "staff"), ("impersonate-extra-k", "v")];
    let review = whoami(&server.client, &as_ann).await.expect(201);
    let user = &review["status"]["userInfo"];
    let want = json!({"username": "ann", "groups": ["staff", "system:authenticated"], "extra": {"k": ["v"]}});
    assert_eq!(user, &want);
    // Whoever acts as somebody without rights has none.
    let pods = read(server.client.open(Method::GET, PODS, &as_ann, "").await).await;
    assert!(pods.expect(403)["message"].as_str().is_some_and(|m| m.contains("User \"ann\"")));

    let bob = client_of(&server, "bob", None);
    let refused = whoami(&bob, &as_ann).await.expect(403);
    assert_eq!(
        refused["message"],
        "users \"ann\" is forbidden: User \"bob\" cannot impersonate resource \"users\" in API \
         group \"\" at the cluster scope"
    );
    let rule = json!({"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"]});
    grant(&server, "bob", "", rule).await;
    let refused = whoami(&bob, &as_ann).await.expect(403);
    assert!(
        refused["message"].as_str().is_some_and(|m| m.starts_with("groups \"staff\"")),
        "{refused}"
    );
    let review = whoami(&bob, &as_ann[..1]).await.expect(201);
    assert_eq!(review["status"]["userInfo"]["username"], "ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_the_system_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = TestServer::start_in(dir.path()).await;
    let role = format!("{RBAC}/clusterroles/system:discovery");
    let before = server.get(&role).await.expect(200);
    server.merge(&role, &json!({"rules": []})).await.expect(200);
    let binding = format!("{RBAC}/clusterrolebindings/system:basic-user");
    server.delete(&binding, &json!({})).await.expect(200);
    let kept = format!("{RBAC}/clusterrolebindings/system:discovery");
    let kept_before = server.get(&kept).await.expect(200);
    server.stop().await.expect("a clean stop");
    let server = TestServer::start_in(dir.path()).await;
    assert_eq!(server.get(&role).await.expect(200)["rules"], before["rules"]);
    server.get(&binding).await.expect(200);
    assert_eq!(server.get(&kept).await.expect(200), kept_before);
    server.get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_have_the_rights_of_their_roles() {
    let server = TestServer::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    server.post(accounts, &json!({"metadata": {"name": "robot"}})).await.expect(201);
    let made = server.post(&format!("{accounts}/robot/token"), &json!({})).await.expect(201);
    let bearer = format!("Bearer {}", made["status"]["token"].as_str().expect("a token"));
    let headers = [("authorization", bearer.as_str())];
    let nobody = server.client_of(None);
    let get = async |path: &str| read(nobody.open(Method::GET, path, &headers, "").await).await;
    get(PODS).await.expect(403);
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "system:aggregate-to-view"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]});
    server.post(&format!("{RBAC}/namespaces/default/rolebindings"), &binding).await.expect(201);
    get(PODS).await.expect(200);
    get("/openid/v1/jwks").await.expect(200);
    get("/api/v1/namespaces/default/secrets").await.expect(403);
}
