//! `Warning` headers about objects that are accepted: which writes earn them, and which do not. The
//! words are tried beside the kinds.

use http::Method;
use serde_json::{Value, json};

use crate::server::{Answer, MAPS, PODS, TestServer, config_map, pod};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

/// The warnings of an answer that must have this code, and its body.
#[track_caller]
fn told(answer: Answer, code: u16) -> (Vec<String>, Value) {
    let all = answer.headers.get_all("warning").iter();
    let all = all.map(|warning| warning.to_str().expect("text").to_owned()).collect();
    (all, answer.expect(code))
}

/// A pod in which a variable hides another.
fn hiding(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "A"}, {"name": "A"}]);
    pod
}

fn hidden(path: &str) -> String {
    format!(
        "299 - \"{path}spec.containers[0].env[1]: hides previous definition of \\\"A\\\", which may be \
         dropped when using apply\""
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_warned_about_when_they_are_made() {
    let server = TestServer::start().await;
    let (dry, _) = told(server.post(&format!("{PODS}?dryRun=All"), &hiding("p")).await, 201);
    assert_eq!(dry, [hidden("")]);
    let mut odd = hiding("p");
    odd["spec"]["odd"] = 1.into();
    let (made, created) = told(server.post(PODS, &odd).await, 201);
    assert_eq!(made, ["299 - \"unknown field \\\"spec.odd\\\"\"".to_owned(), hidden("")]);
    let path = format!("{PODS}/p");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let (changed, _) = told(server.merge(&path, &label).await, 200);
    assert!(changed.is_empty(), "{changed:?}");
    let (replaced, _) = told(server.put(&path, &created).await, 409);
    assert!(replaced.is_empty(), "{replaced:?}");
    let status = json!({"status": {"podIPs": [{"ip": "FD00::1"}]}});
    let (reported, _) = told(server.merge(&format!("{path}/status"), &status).await, 200);
    assert_eq!(
        reported,
        [
            "299 - \"status.podIPs[0].ip: IPv6 address \\\"FD00::1\\\" should be in RFC 5952 canonical \
             format (\\\"fd00::1\\\")\""
        ]
    );
    let (none, _) = told(server.post(PODS, &pod("plain")).await, 201);
    assert!(none.is_empty(), "{none:?}");
}

/// What is odd about a body is told even if the object in it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_what_was_found_before() {
    let server = TestServer::start().await;
    let odd = "299 - \"unknown field \\\"spec.odd\\\"\"";
    let mut pod = pod("p");
    pod["spec"]["odd"] = 1.into();
    let path = format!("{PODS}/p");
    let mut invalid = pod.clone();
    invalid["spec"]["restartPolicy"] = "Sometimes".into();
    assert_eq!(told(server.post(PODS, &invalid).await, 422).0, [odd]);
    assert_eq!(told(server.post(PODS, &pod).await, 201).0, [odd]);
    assert_eq!(told(server.post(PODS, &pod).await, 409).0, [odd]);
    assert_eq!(told(server.put(&path, &invalid).await, 422).0, [odd]);
    let patch = json!({"spec": {"odd": 1, "restartPolicy": "Never"}});
    assert_eq!(told(server.merge(&path, &patch).await, 422).0, [odd]);
    let strict = format!("{PODS}?fieldValidation=Strict");
    assert!(told(server.post(&strict, &invalid).await, 400).0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_counts_once() {
    let server = TestServer::start().await;
    let says = |when: &str| {
        format!(
            "299 - \".metadata.ownerReferences contains duplicate entries{when}; API server dedups \
             owner references in 1.20+, and may reject such requests as early as 1.24; please fix your \
             requests; duplicate UID(s) observed: u\""
        )
    };
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"});
    let mut map = config_map("m", "1");
    map["metadata"]["ownerReferences"] = json!([owner, owner]);
    let (made, object) = told(server.post(MAPS, &map).await, 201);
    assert_eq!((made, &object["metadata"]["ownerReferences"]), (vec![says("")], &json!([owner])));
    let path = format!("{MAPS}/m");
    let (replaced, object) = told(server.put(&path, &map).await, 200);
    assert_eq!(
        (replaced, &object["metadata"]["ownerReferences"]),
        (vec![says("")], &json!([owner]))
    );
    let patch = json!({"metadata": {"ownerReferences": [owner, owner]}});
    let (patched, object) = told(server.merge(&path, &patch).await, 200);
    let want = says(" after mutating admission happens");
    assert_eq!((patched, &object["metadata"]["ownerReferences"]), (vec![want], &json!([owner])));
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_warned_about_when_their_spec_changes() {
    let server = TestServer::start().await;
    let hidden = [hidden("spec.template.")];
    let mut template = hiding("d");
    template
        .as_object_mut()
        .expect("a pod")
        .retain(|field, _| field != "apiVersion" && field != "kind");
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d.e"},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": template},
    });
    let (made, created) = told(server.post(DEPLOYMENTS, &deployment).await, 201);
    assert_eq!(made.len(), 2, "{made:?}");
    assert!(made[0].contains("metadata.name: this is used in Pod names and hostnames"), "{made:?}");
    assert_eq!(made[1..], hidden);
    let path = format!("{DEPLOYMENTS}/d.e");
    let (same, _) = told(server.put(&path, &created).await, 200);
    assert!(same.is_empty(), "{same:?}");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let (labelled, _) = told(server.merge(&path, &label).await, 200);
    assert!(labelled.is_empty(), "{labelled:?}");
    let (reported, _) = told(
        server.merge(&format!("{path}/status"), &json!({"status": {"replicas": 1}})).await,
        200,
    );
    assert!(reported.is_empty(), "{reported:?}");
    let replicas = json!({"spec": {"replicas": 2}});
    let (scaled, _) = told(server.merge(&format!("{path}/scale"), &replicas).await, 200);
    assert_eq!(scaled, hidden);
    let (changed, _) = told(server.merge(&path, &json!({"spec": {"paused": true}})).await, 200);
    assert_eq!(changed, hidden);
    let applied = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d.e"},
        "spec": {"replicas": 3},
    });
    let kind = "application/apply-patch+yaml";
    let apply = format!("{path}?fieldManager=m&force=true");
    let apply =
        |config: &Value| server.client.send(Method::PATCH, &apply, kind, config.to_string());
    let (changed, _) = told(apply(&applied).await, 200);
    assert_eq!(changed, hidden);
    let (same, _) = told(apply(&applied).await, 200);
    assert!(same.is_empty(), "{same:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_is_warned_about_once() {
    let server = TestServer::start().await;
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "c"}},
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
    });
    let (made, _) = told(server.post(INGRESSES, &ingress).await, 201);
    assert_eq!(
        made,
        ["299 - \"annotation \\\"kubernetes.io/ingress.class\\\" is deprecated, please use \
             'spec.ingressClassName' instead\""]
    );
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let (changed, _) = told(server.merge(&format!("{INGRESSES}/i"), &label).await, 200);
    assert!(changed.is_empty(), "{changed:?}");
}

/// A system class is refused to whoever names it. A deletion of all classes names none, and takes
/// them, too; they come back with the next start.
#[tokio::test(flavor = "multi_thread")]
async fn system_priority_classes_are_not_deleted() {
    let server = TestServer::start().await;
    for name in ["system-node-critical", "system-cluster-critical"] {
        let path = format!("{CLASSES}/{name}");
        for query in ["", "?dryRun=All"] {
            let refused = server.delete(&format!("{path}{query}"), &json!({})).await.expect(403);
            let message = format!(
                "priorityclasses.scheduling.k8s.io \"{name}\" is forbidden: this is a system priority \
                 class and cannot be deleted"
            );
            assert_eq!(
                (&refused["message"], &refused["reason"]),
                (&json!(message), &json!("Forbidden"))
            );
            assert_eq!(refused["details"]["name"], name);
        }
        server.get(&path).await.expect(200);
    }
    let own = json!({"metadata": {"name": "own"}, "value": 1});
    server.post(CLASSES, &own).await.expect(201);
    server.delete(&format!("{CLASSES}/own"), &json!({})).await.expect(200);
    let all = server.delete(CLASSES, &json!({})).await.expect(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2), "{all}");
    assert_eq!(server.get(CLASSES).await.expect(200)["items"], json!([]));
}
