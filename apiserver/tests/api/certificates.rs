//! CertificateSigningRequests: who asks, who decides, who signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::TestServer;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

pub(crate) fn request() -> Value {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    let pem = params.serialize_request(&key).expect("a request").pem().expect("PEM");
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "r"}, "spec": {"request": STANDARD.encode(pem),
            "signerName": "example.com/signer", "usages": ["client auth"],
            "username": "somebody-else", "groups": ["somebody-elses"]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_made_and_decided_about() {
    let server = TestServer::start().await;
    let made = server.post(REQUESTS, &request()).await.expect(201);
    assert_eq!(made["spec"]["username"], apiserver::pki::ADMIN_USER);
    let groups = made["spec"]["groups"].as_array().expect("groups");
    assert!(
        groups.contains(&json!("system:authenticated"))
            && !groups.contains(&json!("somebody-elses"))
    );
    let path = format!("{REQUESTS}/r");
    let stored = server.get(&path).await.expect(200);
    assert_eq!((&stored["spec"], &stored["status"]), (&made["spec"], &json!({})));

    let approve = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Test"}]}});
    let refused = server.merge(&format!("{path}/status"), &approve).await.expect(422);
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("updates may not add a condition of type \"Approved\""), "{message}");
    let mut whole = stored.clone();
    whole["status"] = approve["status"].clone();
    whole["spec"]["usages"] = json!(["any"]);
    let approved = server.put(&format!("{path}/approval"), &whole).await.expect(200);
    assert_eq!(approved["spec"], made["spec"]);
    let condition = &approved["status"]["conditions"][0];
    assert!(condition["lastUpdateTime"].is_string() && condition["lastTransitionTime"].is_string());
    assert_eq!(server.get(&format!("{path}/approval")).await.expect(200), approved);

    let deny = json!({"status": {"conditions": [{"type": "Denied", "status": "True"}]}});
    server.merge(&format!("{path}/approval"), &deny).await.expect(422);
    let unknown = server.get(&format!("{REQUESTS}/none/approval")).await.expect(404);
    assert_eq!(unknown["details"]["name"], "none");
    let signed = format!("{REQUESTS}?fieldSelector=spec.signerName%3Dexample.com%2Fsigner");
    assert_eq!(server.get(&signed).await.expect(200)["items"].as_array().map(Vec::len), Some(1));
    let others = format!("{REQUESTS}?fieldSelector=spec.signerName%3Dexample.com%2Fother");
    assert_eq!(server.get(&others).await.expect(200)["items"].as_array().map(Vec::len), Some(0));
    server.delete(&path, &json!({})).await.expect(200);
}
