//! Certificate requests, by those who ask for them.

use std::time::Duration;

use apiserver::pki::{Authority, certificate_request, certificate_validity};
use controllers::{Config, Signing};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Event, Node};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::api::{Cluster, eventually};

type Requests = Api<CertificateSigningRequest>;

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn ask(client: &Client, name: &str, node: &str, signer: &str, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let user = format!("system:node:{node}");
    let (_, request) = certificate_request(&user, "system:nodes", &names).unwrap();
    let purpose = if names.is_empty() { "client auth" } else { "server auth" };
    let request = k8s_openapi::ByteString(request.into_bytes());
    let object = json!({"metadata": {"name": name}, "spec": {"request": request,
        "signerName": format!("kubernetes.io/{signer}"), "expirationSeconds": 3600,
        "usages": ["digital signature", purpose]}});
    let object = serde_json::from_value(object).unwrap();
    Requests::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
}

async fn signed(requests: &Requests, name: &str) -> CertificateSigningRequest {
    eventually(&format!("{name} signed"), || async {
        let request = requests.get(name).await.map_err(|error| error.to_string())?;
        let certificate = request.status.as_ref().and_then(|status| status.certificate.as_ref());
        if certificate.is_some() { Ok(request) } else { Err(format!("{request:?}")) }
    })
    .await
}

fn message(request: &CertificateSigningRequest) -> String {
    let conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let texts = conditions.map(|condition| {
        format!("{}: {}", condition.type_, condition.message.as_deref().unwrap_or_default())
    });
    texts.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn nodes_get_their_certificates_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    let cluster = Cluster::without_controllers().await;
    let stop = CancellationToken::new();
    let signing = Signing {
        certificate_pem: authority.ca_pem().to_owned(),
        key_pem: authority.ca_key_pem(),
        lifetime: DAY,
        approve_serving: true,
    };
    let config = Config { signing: Some(signing), ..Config::default() };
    drop(cluster.controllers(config, &stop));

    let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client.clone());
    let requests_role = "system:certificates.k8s.io:certificatesigningrequests";
    let (user, group) = ("User", "Group");
    for (name, role, kind, subject) in [
        ("ask", "system:node-bootstrapper".to_owned(), group, "askers"),
        ("join", format!("{requests_role}:nodeclient"), group, "joiners"),
        ("renew", format!("{requests_role}:selfnodeclient"), group, "system:nodes"),
        (
            "serve",
            "system:certificates.k8s.io:kubelet-serving-approver".to_owned(),
            user,
            "system:kube-controller-manager",
        ),
    ] {
        let rbac = "rbac.authorization.k8s.io";
        let binding = json!({"metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": rbac, "kind": kind, "name": subject}]});
        let binding = serde_json::from_value(binding).unwrap();
        bindings.create(&PostParams::default(), &binding).await.unwrap();
    }
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let node = json!({"metadata": {"name": "a"}, "status": {"addresses": [
        {"type": "InternalIP", "address": "192.0.2.1"}]}});
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();

    let (stranger, joiner, own) = (
        cluster.client_of("stranger", &["askers"]),
        cluster.client_of("system:bootstrap:abcdef", &["askers", "joiners"]),
        cluster.client_of("system:node:a", &["system:nodes"]),
    );
    let client = "kube-apiserver-client-kubelet";
    ask(&stranger, "stranger", "a", client, &[]).await;
    ask(&own, "wrong-name", "a", "kubelet-serving", &["a", "192.0.2.9"]).await;
    ask(&joiner, "joiner", "a", client, &[]).await;
    ask(&own, "own", "a", client, &[]).await;
    ask(&own, "serving", "a", "kubelet-serving", &["a", "192.0.2.1"]).await;

    let requests = Requests::all(cluster.client.clone());
    let joined = signed(&requests, "joiner").await;
    let approved = "Approved: Auto approving kubelet client certificate after SubjectAccessReview.";
    assert_eq!(message(&joined), approved);
    let pem = joined.status.unwrap().certificate.unwrap().0;
    let (begin, end) = certificate_validity(&String::from_utf8(pem).unwrap()).unwrap();
    let life = end.duration_since(begin).as_secs();
    assert_eq!(life, 3600 + 300, "an hour was asked for; it begins five minutes ago");
    let approved =
        "Approved: Auto approving self kubelet client certificate after SubjectAccessReview.";
    assert_eq!(message(&signed(&requests, "own").await), approved);
    let approved =
        "Approved: Auto approving kubelet serving certificate: its names are the node's own.";
    assert_eq!(message(&signed(&requests, "serving").await), approved);
    // They were asked for earlier.
    for pending in ["stranger", "wrong-name"] {
        assert_eq!(message(&requests.get(pending).await.unwrap()), "", "{pending}");
    }
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), "default");
    eventually("an event says why", || async {
        let all = events.list(&Default::default()).await.map_err(|error| error.to_string())?;
        let why = "192.0.2.9 is not among the addresses of node a";
        let told = all.iter().any(|event| {
            event.involved_object.name.as_deref() == Some("wrong-name")
                && event.message.as_deref() == Some(why)
        });
        if told { Ok(()) } else { Err(format!("{:?}", all.items)) }
    })
    .await;

    // What the operator approves is signed, or fails for good.
    for (name, wanted) in [
        ("stranger", None),
        ("wrong-name", None),
        ("no-node", Some("Failed: subject organization is not system:nodes")),
    ] {
        if name == "no-node" {
            let (_, request) = certificate_request("ann", "staff", &[]).unwrap();
            let request = k8s_openapi::ByteString(request.into_bytes());
            let object = json!({"metadata": {"name": name}, "spec": {"request": request,
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "client auth"]}});
            let object = serde_json::from_value(object).unwrap();
            requests.create(&PostParams::default(), &object).await.unwrap();
        }
        approve(&requests, name).await;
        match wanted {
            None => drop(signed(&requests, name).await),
            Some(wanted) => {
                eventually(wanted, || async {
                    let text = message(&requests.get(name).await.unwrap());
                    if text.ends_with(wanted) { Ok(()) } else { Err(text) }
                })
                .await;
            }
        }
    }
    stop.cancel();
    cluster.stop().await;
}

async fn approve(requests: &Requests, name: &str) {
    let approved: Value = json!({"type": "Approved", "status": "True", "reason": "Test"});
    let mut request = requests.get(name).await.unwrap();
    let conditions = &mut request.status.get_or_insert_default().conditions;
    conditions.get_or_insert_default().push(serde_json::from_value(approved).unwrap());
    let (name, params) = (request.name_any(), PostParams::default());
    requests.replace_subresource("approval", &name, &params, &request).await.unwrap();
}
