use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::lifecycle::{before_status_update, before_subresource_update, before_update};
use crate::resources::Resource;
use crate::status::Status;
use crate::strategy::tests::{changed, create, refuses, resource};

fn requests() -> &'static Resource {
    resource("certificates.k8s.io", "certificatesigningrequests")
}

/// A request and a certificate by the same key, in PEM.
fn material() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    let request = params.serialize_request(&key).expect("a request").pem().expect("PEM");
    (request, params.self_signed(&key).expect("a certificate").pem())
}

fn base(request: &str) -> Value {
    json!({"metadata": {"name": "Any:name"}, "spec": {"request": STANDARD.encode(request),
        "signerName": "example.com/signer", "usages": ["client auth", "digital signature"],
        "username": "somebody-else", "groups": ["system:masters"]},
        "status": {"conditions": [{"type": "Approved", "status": "True"}]}})
}

#[test]
fn new_requests() {
    let (request, certificate) = material();
    let made = create(requests(), base(&request)).expect("valid");
    assert!(made["spec"].get("username").is_none() && made["spec"].get("groups").is_none());
    assert_eq!(made["status"], json!({}));
    let spec = |change: Value| json!({"spec": change});
    let encoded = |text: &str| json!({"spec": {"request": STANDARD.encode(text)}});
    // One bit of the signature, which ends the request.
    let mut der = x509_parser::pem::Pem::iter_from_buffer(request.as_bytes())
        .next()
        .expect("a block")
        .expect("PEM")
        .contents;
    *der.last_mut().expect("bytes") ^= 1;
    let forged = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(der)
    );
    refuses(
        requests(),
        &base(&request),
        &[
            (encoded("x"), "PEM block type must be CERTIFICATE REQUEST"),
            (encoded(&certificate), "PEM block type must be CERTIFICATE REQUEST"),
            (
                encoded(
                    "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
                ),
                "not a PKCS #10 certificate request",
            ),
            (
                encoded(&forged),
                "the signature of the certificate request is not by the key it contains",
            ),
            (spec(json!({"usages": null})), "spec.usages: Required value"),
            (
                spec(json!({"usages": ["any", "fly"]})),
                "spec.usages[1]: Unsupported value: \"fly\": supported values: \"any\", \"cert sign\"",
            ),
            (spec(json!({"usages": ["any", "any"]})), "spec.usages[1]: Duplicate value: \"any\""),
            (spec(json!({"signerName": ""})), "spec.signerName: Required value"),
            (
                spec(json!({"signerName": "kubernetes.io/legacy-unknown"})),
                "the legacy signerName is not allowed via this API version",
            ),
            (
                spec(json!({"signerName": "a.b"})),
                "must be a fully qualified domain and path of the form 'example.com/signer-name'",
            ),
            (
                spec(json!({"signerName": "a/b"})),
                "should be a domain with at least two segments separated by dots",
            ),
            (
                spec(json!({"signerName": "a.B/c"})),
                "spec.signerName: Invalid value: \"a.B\": validating label \"B\"",
            ),
            (
                spec(json!({"expirationSeconds": 599})),
                "may not specify a duration less than 600 seconds (10 minutes)",
            ),
        ],
    );
}

/// What each path may change: the object, `/status`, `/approval`.
#[test]
fn who_may_change_what() {
    type Update = fn(&mut Value, &Value) -> Result<(), Status>;
    /// Name, path, the object before, the change, the status after or the refusal.
    type Case<'a> = (&'a str, Update, &'a Value, Value, Result<Value, &'a str>);
    const MAIN: Update = |new, old| before_update(requests(), new, old);
    const STATUS: Update = |new, old| before_status_update(requests(), new, old);
    const APPROVAL: Update = |new, old| before_subresource_update(requests(), "approval", new, old);
    let (request, certificate) = material();
    let created = create(requests(), base(&request)).expect("valid");
    let condition =
        |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason});
    let conditions = |list: Value| json!({"status": {"conditions": list}});
    let approved = changed(&created, &conditions(json!([condition("Approved", "r")])));
    let issued =
        changed(&approved, &json!({"status": {"certificate": STANDARD.encode(&certificate)}}));
    let text = |text: &str| json!({"status": {"certificate": STANDARD.encode(text)}});
    let cases: &[Case<'_>] = &[
        (
            "nothing",
            MAIN,
            &created,
            json!({"spec": {"signerName": "other.com/x"}, "status": issued["status"]}),
            Ok(created["status"].clone()),
        ),
        (
            "approve",
            APPROVAL,
            &created,
            conditions(json!([condition("Approved", "r")])),
            Ok(approved["status"].clone()),
        ),
        (
            "approval spec",
            APPROVAL,
            &approved,
            json!({"spec": {"usages": ["any"]}, "status": {"certificate": "eA=="}}),
            Ok(approved["status"].clone()),
        ),
        (
            "both",
            APPROVAL,
            &approved,
            conditions(json!([condition("Approved", "r"), condition("Denied", "d")])),
            Err(
                "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
            ),
        ),
        (
            "take back",
            APPROVAL,
            &approved,
            conditions(json!([])),
            Err("updates may not remove a condition of type \"Approved\""),
        ),
        (
            "not false",
            APPROVAL,
            &created,
            conditions(json!([{"type": "Approved", "status": "False"}])),
            Err(
                "status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\"",
            ),
        ),
        (
            "twice",
            APPROVAL,
            &created,
            conditions(json!([condition("X", "r"), condition("X", "r")])),
            Err("status.conditions[1].type: Duplicate value: \"X\""),
        ),
        (
            "no type",
            APPROVAL,
            &created,
            conditions(json!([{"type": "", "status": "True"}])),
            Err("status.conditions[0].type: Required value"),
        ),
        (
            "approve by status",
            STATUS,
            &created,
            conditions(json!([condition("Approved", "r")])),
            Err("updates may not add a condition of type \"Approved\""),
        ),
        (
            "change by status",
            STATUS,
            &approved,
            conditions(json!([condition("Approved", "other")])),
            Ok(approved["status"].clone()),
        ),
        (
            "fail",
            STATUS,
            &approved,
            conditions(json!([condition("Approved", "r"), condition("Failed", "f")])),
            Ok(json!({"conditions": [condition("Approved", "r"), condition("Failed", "f")]})),
        ),
        ("issue", STATUS, &approved, text(&certificate), Ok(issued["status"].clone())),
        (
            "issue again",
            STATUS,
            &issued,
            text(&material().1),
            Err("updates may not modify existing certificate content"),
        ),
        (
            "no certificate",
            STATUS,
            &approved,
            text("x"),
            Err("must contain at least one CERTIFICATE PEM block"),
        ),
        (
            "a request",
            STATUS,
            &approved,
            text(&request),
            Err("only CERTIFICATE PEM blocks are allowed, found \"CERTIFICATE REQUEST\""),
        ),
    ];
    for (name, update, old, change, want) in cases {
        let mut new = changed(old, change);
        match (update(&mut new, old), want) {
            (Ok(()), Ok(status)) => {
                assert_eq!(&new["status"], status, "{name}");
                assert_eq!(new["spec"], old["spec"], "{name}");
            }
            (Err(status), Err(wanted)) => {
                let found = status.message.contains(wanted);
                assert!(found, "{name}\nwanted {wanted}\ngot    {status}");
            }
            (got, _) => panic!("{name}: {got:?} instead of {want:?}"),
        }
    }
}

#[test]
fn times_of_conditions() {
    let strategy = &requests().strategy;
    let old = json!({"status": {"conditions": [
        {"type": "Approved", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}});
    let mut new = json!({"status": {"conditions": [
        {"type": "Approved", "status": "True"}, {"type": "X", "status": "True", "lastUpdateTime": "2021-01-01T00:00:00Z"}]}});
    strategy.stamp_status(&mut new, &old, "2024-01-01T00:00:00Z".parse().expect("a time"));
    let conditions = &new["status"]["conditions"];
    let times = |n: usize| {
        (conditions[n]["lastUpdateTime"].as_str(), conditions[n]["lastTransitionTime"].as_str())
    };
    assert_eq!(times(0), (Some("2024-01-01T00:00:00Z"), Some("2020-01-01T00:00:00Z")));
    assert_eq!(times(1), (Some("2021-01-01T00:00:00Z"), Some("2024-01-01T00:00:00Z")));
}
