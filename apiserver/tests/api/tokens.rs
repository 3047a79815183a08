//! ServiceAccount tokens: asked for, shown, believed, and no longer believed.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::server::{Answer, PODS, TestServer, pod, read};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

async fn account(server: &TestServer, name: &str) -> Value {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    server.post(ACCOUNTS, &account).await.expect(201)
}

/// Asks for a token of the account `robot`.
async fn ask(server: &TestServer, spec: Value) -> Answer {
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    server.post(&format!("{ACCOUNTS}/robot/token"), &request).await
}

async fn token(server: &TestServer, spec: Value) -> String {
    let made = ask(server, spec).await.expect(201);
    made["status"]["token"].as_str().expect("a token").to_owned()
}

/// A token of an account that is called `robot` and is made for it.
pub(crate) async fn of_robot(server: &TestServer) -> String {
    account(server, "robot").await;
    settled(server, ACCOUNTS).await;
    token(server, json!({})).await
}

/// Who the server takes the holder of a token for.
async fn whoami(server: &TestServer, token: &str) -> Answer {
    let nobody = server.client_of(None);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    read(nobody.open(Method::POST, SELF, &headers, body.to_string()).await).await
}

async fn review(server: &TestServer, token: &str, audiences: &[&str]) -> Value {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token, "audiences": audiences}});
    server.post(REVIEWS, &body).await.expect(201)["status"].clone()
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("claims");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

/// Waits until the authenticators, which read the watch caches, know all that was written so far to
/// this list: one without a version is answered only then.
async fn settled(server: &TestServer, list: &str) {
    server.get(list).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_and_believed_until_its_account_goes() {
    let server = TestServer::start().await;
    let robot = account(&server, "robot").await;
    let made = ask(&server, json!({})).await.expect(201);
    assert_eq!(
        (&made["metadata"]["name"], &made["kind"]),
        (&"robot".into(), &"TokenRequest".into())
    );
    assert_eq!(made["spec"], json!({"audiences": [ISSUER], "expirationSeconds": 3600}));
    let token = made["status"]["token"].as_str().expect("a token").to_owned();
    let said = claims(&token);
    assert_eq!(said["sub"], "system:serviceaccount:default:robot");
    assert_eq!(said["kubernetes.io"]["serviceaccount"]["uid"], robot["metadata"]["uid"]);
    let lives = said["exp"].as_i64().zip(said["iat"].as_i64()).map(|(end, start)| end - start);
    assert_eq!(lives, Some(3600));

    let status = review(&server, &token, &[]).await;
    assert_eq!((&status["authenticated"], &status["audiences"]), (&true.into(), &json!([ISSUER])));
    let user = &status["user"];
    assert_eq!(user["username"], "system:serviceaccount:default:robot");
    assert_eq!(user["uid"], robot["metadata"]["uid"]);
    let groups =
        ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(user["groups"], json!(groups));
    // The token of another audience is not for this server, but good for that audience.
    let other = self::token(&server, json!({"audiences": ["vault"]})).await;
    assert_eq!(whoami(&server, &other).await.code, 401);
    let status = review(&server, &other, &["vault", "else"]).await;
    assert_eq!((&status["authenticated"], &status["audiences"]), (&true.into(), &json!(["vault"])));
    assert_ne!(review(&server, &other, &[]).await["authenticated"], true);

    assert_eq!(whoami(&server, "nonsense").await.expect(401)["reason"], "Unauthorized");
    assert_ne!(whoami(&server, &token).await.code, 401);
    server.delete(&format!("{ACCOUNTS}/robot"), &json!({})).await.expect(200);
    settled(&server, ACCOUNTS).await;
    assert_eq!(whoami(&server, &token).await.code, 401);
    let again = account(&server, "robot").await;
    settled(&server, ACCOUNTS).await;
    assert_ne!(again["metadata"]["uid"], robot["metadata"]["uid"]);
    let status = review(&server, &token, &[]).await;
    let error = status["error"].as_str().expect("an error");
    assert!(error.starts_with("service account UID ("), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_with_what_they_are_bound_to() {
    let server = TestServer::start().await;
    account(&server, "robot").await;
    account(&server, "other").await;
    let mut wanted = pod("p");
    wanted["spec"]["serviceAccountName"] = "robot".into();
    let made = server.post(PODS, &wanted).await.expect(201);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    server.post(SECRETS, &secret).await.expect(201);

    let reference =
        |kind: &str, name: &str| json!({"kind": kind, "apiVersion": "v1", "name": name});
    let bound = |reference: Value| json!({"boundObjectRef": reference, "expirationSeconds": 3607});
    let of_pod = token(&server, bound(reference("Pod", "p"))).await;
    let of_secret = token(&server, bound(reference("Secret", "s"))).await;
    assert_eq!(claims(&of_pod)["kubernetes.io"]["pod"]["uid"], made["metadata"]["uid"]);
    for held in [&of_pod, &of_secret] {
        assert_eq!(review(&server, held, &[]).await["authenticated"], true);
    }
    let extra = &review(&server, &of_pod, &[]).await["user"]["extra"];
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["p"]));

    let mut wrong = reference("Pod", "p");
    wrong["uid"] = "u".into();
    let status = ask(&server, bound(wrong)).await.expect(409);
    assert!(
        status["message"].as_str().is_some_and(|m| m.contains("(u) does not match")),
        "{status}"
    );
    ask(&server, bound(reference("Pod", "none"))).await.expect(404);
    ask(&server, bound(reference("ConfigMap", "c"))).await.expect(400);
    let request = json!({"spec": {"boundObjectRef": reference("Pod", "p")}});
    server.post(&format!("{ACCOUNTS}/other/token"), &request).await.expect(400);
    server.post(&format!("{ACCOUNTS}/none/token"), &json!({})).await.expect(404);

    server.delete(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    server.delete(&format!("{SECRETS}/s"), &json!({})).await.expect(200);
    settled(&server, PODS).await;
    settled(&server, SECRETS).await;
    for held in [&of_pod, &of_secret] {
        let status = review(&server, held, &[]).await;
        assert_eq!(status["error"], "service account token has been invalidated");
        assert_eq!(whoami(&server, held).await.code, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_get_tokens_of_their_own_pods_only() {
    let server = TestServer::start().await;
    account(&server, "robot").await;
    let mut mine = pod("mine");
    mine["spec"]["serviceAccountName"] = "robot".into();
    mine["spec"]["nodeName"] = "n1".into();
    let mut other = mine.clone();
    other["metadata"]["name"] = "other".into();
    other["spec"]["nodeName"] = "n2".into();
    let node = server.client_of(Some(&server.authority.node("n1", &[]).expect("an identity")));
    for (pod, with_uid, want, message) in [
        (Some(&mine), true, 201, ""),
        (Some(&mine), false, 403, "node requested token with a pod binding without a uid"),
        (
            Some(&other),
            true,
            403,
            "node requested token bound to a pod scheduled on a different node",
        ),
        (None, false, 403, "node requested token not bound to a pod"),
    ] {
        let mut spec = json!({});
        if let Some(pod) = pod {
            let made = server.post(PODS, pod).await;
            let path = format!("{PODS}/{}", pod["metadata"]["name"].as_str().expect("a name"));
            assert!(matches!(made.code, 201 | 409), "{}", made.text());
            let uid = server.get(&path).await.expect(200)["metadata"]["uid"].clone();
            spec["boundObjectRef"] =
                json!({"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"]});
            if with_uid {
                spec["boundObjectRef"]["uid"] = uid;
            }
        }
        let body = json!({"spec": spec}).to_string();
        let path = format!("{ACCOUNTS}/robot/token");
        let answer = node.send(Method::POST, &path, "application/json", body).await;
        let status = answer.expect(want);
        let told = status["message"].as_str().unwrap_or_default();
        assert!(told.ends_with(message), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_check_a_token_with_the_published_key() {
    let server = TestServer::start().await;
    account(&server, "robot").await;
    let token = token(&server, json!({})).await;
    let about = server.get("/.well-known/openid-configuration").await.expect(200);
    assert_eq!(about["issuer"], ISSUER);
    assert!(
        about["jwks_uri"].as_str().is_some_and(|uri| uri.ends_with("/openid/v1/jwks")),
        "{about}"
    );
    let answer = server.get("/openid/v1/jwks").await;
    assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
    let key = answer.expect(200)["keys"][0].clone();
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
    let header: Value =
        serde_json::from_slice(&decode(signed.split_once('.').expect("claims").0)).expect("JSON");
    assert_eq!((&header["kid"], &header["alg"]), (&key["kid"], &key["alg"]));
    let point = ["x", "y"].map(|field| decode(key[field].as_str().expect("a coordinate")));
    let public = [vec![4], point.concat()].concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
    public.verify(signed.as_bytes(), &decode(signature)).expect("a good signature");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_outlive_a_restart_of_the_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = TestServer::start_in(dir.path()).await;
    account(&server, "robot").await;
    let token = token(&server, json!({})).await;
    server.stop().await.expect("a clean stop");
    let server = TestServer::start_in(dir.path()).await;
    assert_eq!(review(&server, &token, &[]).await["authenticated"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_that_join_come_with_bootstrap_tokens() {
    let server = TestServer::start().await;
    let encode = |text: &str| Value::from(STANDARD.encode(text));
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef"},
        "data": {"token-id": encode("abcdef"), "token-secret": encode("0123456789abcdef"),
            "usage-bootstrap-authentication": encode("true"),
            "auth-extra-groups": encode("system:bootstrappers:kubeadm")}});
    server.post("/api/v1/namespaces/kube-system/secrets", &secret).await.expect(201);
    settled(&server, "/api/v1/secrets").await;
    let status = review(&server, "abcdef.0123456789abcdef", &[]).await;
    assert_eq!(status["user"]["username"], "system:bootstrap:abcdef");
    let groups =
        json!(["system:bootstrappers", "system:bootstrappers:kubeadm", "system:authenticated"]);
    assert_eq!(status["user"]["groups"], groups);
    assert_eq!(whoami(&server, "abcdef.0123456789abcdee").await.code, 401);
    let status = review(&server, "fedcba.0123456789abcdef", &[]).await;
    assert_eq!(status["error"], "bootstrap token \"fedcba\" is not valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_learns_who_they_are() {
    let server = TestServer::start().await;
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let review = server.post(SELF, &body).await.expect(201);
    let user = &review["status"]["userInfo"];
    assert_eq!(user["username"], apiserver::pki::ADMIN_USER);
    assert_eq!(user["groups"], json!(["system:masters", "system:authenticated"]));
    let id = user["extra"]["authentication.kubernetes.io/credential-id"][0].as_str();
    assert!(id.is_some_and(|id| id.starts_with("X509SHA256=") && id.len() == 75), "{user}");
    let refused = server.post(REVIEWS, &json!({"spec": {}})).await.expect(400);
    assert_eq!(refused["message"], "token is required for TokenReview in authentication");
}
