//! Tokens of ServiceAccounts in volumes.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, LogParams, PostParams};
use serde_json::json;

use crate::cases::shell;
use crate::node::Node;

/// A pod gets the token of its account, bound to it, and a new one after the agent has forgotten
/// when the old one is due.
pub(crate) async fn projected() -> Result<()> {
    let mut node = Node::loopback().await?;
    node.load_busybox().await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(node.client.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "robot"}}))?;
    accounts.create(&PostParams::default(), &account).await?;
    let script = "first=$(cat /t/token); echo $first; \
        while [ \"$(cat /t/token)\" = \"$first\" ]; do sleep 1; done; cat /t/token; echo; \
        grep -c ' /t tmpfs ' /proc/mounts; exec sleep 1000";
    let mut main = shell(script);
    main["volumeMounts"] = json!([{"name": "t", "mountPath": "/t", "readOnly": true}]);
    let token = json!({"path": "token", "audience": "vault", "expirationSeconds": 600});
    let created = node
        .create("holder", json!({
            "serviceAccountName": "robot", "terminationGracePeriodSeconds": 1, "containers": [main],
            "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": token}]}}],
        }))
        .await?;
    node.until_logs("holder", |logs| logs.lines().count() == 1).await?;
    node.stop_agent().await?;
    node.start_agent().await?;
    node.until_logs("holder", |logs| logs.lines().count() == 3).await?;
    let logs = node.logs("holder", &LogParams::default()).await?;
    let lines: Vec<&str> = logs.lines().collect();
    ensure!(lines[0] != lines[1] && lines[2] == "1", "{lines:?}");

    let reviews: Api<TokenReview> = Api::all(node.client.clone());
    for token in &lines[..2] {
        let review = json!({"spec": {"token": token, "audiences": ["vault"]}});
        let review = serde_json::from_value(review)?;
        let review = reviews.create(&PostParams::default(), &review).await?;
        let status = review.status.context("a status")?;
        ensure!(status.authenticated == Some(true), "{status:?}");
        let user = status.user.context("a user")?;
        ensure!(
            user.username.as_deref() == Some("system:serviceaccount:default:robot"),
            "{user:?}"
        );
        let uid = &user.extra.context("extra")?["authentication.kubernetes.io/pod-uid"];
        ensure!(Some(&uid[0]) == created.metadata.uid.as_ref(), "{uid:?}");
    }
    node.finish().await
}
