//! Tokens in Secrets.

use controllers::Config;
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::api::{Cluster, eventually};

#[tokio::test]
async fn a_secret_gets_the_token_of_its_account() {
    let config = Config { root_ca: Some("pem".to_owned()), ..Config::default() };
    let cluster = Cluster::start(config).await;
    let robot = json!({"metadata": {"name": "robot"}});
    cluster.create::<ServiceAccount>("default", robot).await;
    let secret = json!({"metadata": {"name": "s",
        "annotations": {"kubernetes.io/service-account.name": "robot"}},
        "type": "kubernetes.io/service-account-token"});
    cluster.create::<Secret>("default", secret).await;
    let secrets: Api<Secret> = cluster.api("default");
    let token = eventually("a token", || async {
        let secret = secrets.get("s").await.map_err(|error| error.to_string())?;
        let data = secret.data.clone().unwrap_or_default();
        let text = |key: &str| {
            data.get(key).map(|bytes| String::from_utf8(bytes.0.clone()).unwrap_or_default())
        };
        let rest = (text("ca.crt"), text("namespace"));
        match text("token") {
            Some(token) if rest == (Some("pem".to_owned()), Some("default".to_owned())) => {
                Ok(token)
            }
            _ => Err(format!("{secret:?}")),
        }
    })
    .await;
    let reviews: Api<TokenReview> = Api::all(cluster.client.clone());
    let review = async || {
        let review = serde_json::from_value(json!({"spec": {"token": token}})).unwrap();
        let review = reviews.create(&PostParams::default(), &review).await.unwrap();
        let status = review.status.unwrap_or_default();
        status.user.and_then(|user| user.username)
    };
    assert_eq!(review().await.as_deref(), Some("system:serviceaccount:default:robot"));

    let accounts: Api<ServiceAccount> = cluster.api("default");
    accounts.delete("robot", &DeleteParams::default()).await.unwrap();
    eventually("the secret goes with its account", || async {
        match secrets.get_opt("s").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(review().await, None);
    cluster.stop().await;
}
