//! Pods run as ServiceAccounts that exist, and get their tokens.

use serde_json::{Value, json};

use crate::server::{PODS, TestServer, pod};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

fn mounted(pod: &Value) -> usize {
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array();
    let path = "/var/run/secrets/kubernetes.io/serviceaccount";
    mounts.into_iter().flatten().filter(|mount| mount["mountPath"] == path).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_get_the_files_of_their_account() {
    let server = TestServer::start_with(|config| config.service_accounts = true).await;
    let mut wanted = pod("p");
    wanted["spec"]["serviceAccountName"] = "robot".into();
    let refused = server.post(PODS, &wanted).await.expect(403);
    assert_eq!(
        refused["message"],
        "pods \"p\" is forbidden: error looking up service account default/robot: serviceaccount \
         \"robot\" not found"
    );
    let robot = json!({"metadata": {"name": "robot"}, "imagePullSecrets": [{"name": "s"}]});
    server.post(ACCOUNTS, &robot).await.expect(201);
    let made = server.post(PODS, &wanted).await.expect(201);
    assert_eq!((mounted(&made), &made["spec"]["imagePullSecrets"]), (1, &json!([{"name": "s"}])));
    let volume = &made["spec"]["volumes"][0];
    assert!(volume["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-")));
    assert_eq!(volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    // Nobody owns what admission adds, so that whoever applies the pod again does not remove it.
    assert!(!made["metadata"]["managedFields"].to_string().contains("kube-api-access"));

    wanted["metadata"]["name"] = "q".into();
    wanted["spec"]["automountServiceAccountToken"] = false.into();
    assert_eq!(mounted(&server.post(PODS, &wanted).await.expect(201)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_the_account_of_a_new_namespace() {
    let server = TestServer::start_with(|config| config.service_accounts = true).await;
    let wanted = pod("p");
    let account = json!({"metadata": {"name": "default"}});
    let later = async {
        tokio::task::yield_now().await;
        server.post(ACCOUNTS, &account).await.expect(201)
    };
    let (made, _) = tokio::join!(server.post(PODS, &wanted), later);
    assert_eq!(mounted(&made.expect(201)), 1);
}
