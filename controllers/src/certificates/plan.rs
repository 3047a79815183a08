//! What to do about a certificate request. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use k8s_openapi::api::core::v1::Node;
use x509_parser::pem::Pem;

use super::request::{Name, Request};
use super::serving;

/// Users that are nodes begin with it.
pub(super) const NODE_PREFIX: &str = "system:node:";
/// The group of all nodes.
pub(super) const NODES_GROUP: &str = "system:nodes";

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const NODE_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const NODE_SERVING: &str = "kubernetes.io/kubelet-serving";
const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// How long a request stays after it was decided about.
const DECIDED: Duration = Duration::from_secs(3600);
/// How long a request waits for a decision.
const PENDING: Duration = Duration::from_secs(24 * 3600);

const SELF_MESSAGE: &str =
    "Auto approving self kubelet client certificate after SubjectAccessReview.";
const CLIENT_MESSAGE: &str = "Auto approving kubelet client certificate after SubjectAccessReview.";

/// What to do about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It is somebody else's business, or done.
    Leave,
    /// Approve it if whoever asks may create one of these subresources; each with the message.
    Review(Vec<(&'static str, &'static str)>),
    /// Approve it, with this message.
    Approve(&'static str),
    /// It cannot be approved as things are, and why.
    Wait(String),
    /// Sign it.
    Sign,
    /// It will never be signed, and why.
    Fail(String),
}

/// Decides about a request. `nodes` are those that it [concerns](serving::concerned), none if serving
/// certificates are left to the operator.
pub(super) fn step(
    asked: &CertificateSigningRequest,
    wanted: &Request,
    nodes: Option<&[Arc<Node>]>,
) -> Step {
    let signer = asked.spec.signer_name.as_str();
    let issued = certificate(asked).is_some();
    if issued || condition(asked, "Denied").is_some() || condition(asked, "Failed").is_some() {
        return Step::Leave;
    }
    let form = form(signer, wanted, asked.spec.usages.as_deref().unwrap_or_default());
    let Some(form) = form else { return Step::Leave };
    if condition(asked, "Approved").is_some() {
        return form.map_or_else(Step::Fail, |()| Step::Sign);
    }
    match (signer, form, nodes) {
        (NODE_CLIENT, Ok(()), _) => {
            let mut reviews = vec![("nodeclient", CLIENT_MESSAGE)];
            if asked.spec.username.as_deref() == Some(&wanted.common_name) {
                reviews.insert(0, ("selfnodeclient", SELF_MESSAGE));
            }
            Step::Review(reviews)
        }
        (NODE_SERVING, Ok(()), Some(nodes)) => serving::step(asked, wanted, nodes),
        _ => Step::Leave,
    }
}

/// Whether a request has the form that its signer demands; none for a signer that is not served here.
fn form(signer: &str, wanted: &Request, usages: &[String]) -> Option<Result<(), String>> {
    let usages: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    Some(match signer {
        NODE_CLIENT => node_client(wanted, &usages),
        NODE_SERVING => node_serving(wanted, &usages),
        CLIENT => client(&usages),
        LEGACY => Ok(()),
        _ => return None,
    })
}

fn node_client(wanted: &Request, usages: &BTreeSet<&str>) -> Result<(), String> {
    if wanted.organizations != [NODES_GROUP] {
        return Err("subject organization is not system:nodes".to_owned());
    }
    for (there, kind) in [
        (wanted.names.iter().any(|name| matches!(name, Name::Dns(_))), "DNS"),
        (wanted.names.iter().any(|name| matches!(name, Name::Email(_))), "Email"),
        (wanted.names.iter().any(|name| matches!(name, Name::Address(_))), "IP"),
        (wanted.names.iter().any(|name| matches!(name, Name::Uri(_))), "URI"),
    ] {
        if there {
            return Err(format!("{kind} subjectAltNames are not allowed"));
        }
    }
    named_as_node(wanted)?;
    exactly(usages, "client auth")
}

fn node_serving(wanted: &Request, usages: &BTreeSet<&str>) -> Result<(), String> {
    if wanted.organizations != [NODES_GROUP] {
        return Err("subject organization is not system:nodes".to_owned());
    }
    let usable = |name: &Name| matches!(name, Name::Dns(_) | Name::Address(_));
    if !wanted.names.iter().any(usable) {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if wanted.names.iter().any(|name| matches!(name, Name::Email(_))) {
        return Err("Email subjectAltNames are not allowed".to_owned());
    }
    if wanted.names.iter().any(|name| matches!(name, Name::Uri(_))) {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    exactly(usages, "server auth")?;
    named_as_node(wanted)
}

fn client(usages: &BTreeSet<&str>) -> Result<(), String> {
    let known = ["client auth", "digital signature", "key encipherment"];
    if let Some(other) = usages.iter().find(|usage| !known.contains(usage)) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if !usages.contains("client auth") {
        return Err("missing required usage for client certificate: client auth".to_owned());
    }
    Ok(())
}

fn named_as_node(wanted: &Request) -> Result<(), String> {
    if wanted.common_name.starts_with(NODE_PREFIX) {
        return Ok(());
    }
    Err(format!("subject common name does not begin with {NODE_PREFIX}"))
}

/// The purpose and signatures; encryption of keys only matters to RSA.
fn exactly(usages: &BTreeSet<&str>, purpose: &str) -> Result<(), String> {
    let least = BTreeSet::from(["digital signature", purpose]);
    let most = BTreeSet::from(["digital signature", "key encipherment", purpose]);
    if *usages == least || *usages == most {
        return Ok(());
    }
    let most: Vec<&str> = most.into_iter().collect();
    Err(format!("usages did not match [{}]", most.join(" ")))
}

fn condition<'a>(
    asked: &'a CertificateSigningRequest,
    kind: &str,
) -> Option<&'a CertificateSigningRequestCondition> {
    let conditions = asked.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn certificate(asked: &CertificateSigningRequest) -> Option<&[u8]> {
    let certificate = asked.status.as_ref()?.certificate.as_ref()?;
    Some(certificate.0.as_slice()).filter(|pem| !pem.is_empty())
}

/// When the request is over: an hour after it was approved, denied or failed, a day after it was made
/// if nobody decided, and at the latest when the certificate is.
pub(super) fn end(asked: &CertificateSigningRequest) -> Option<Timestamp> {
    let after = |from: Option<Timestamp>, wait: Duration| from?.checked_add(wait).ok();
    let undecided = asked.status.as_ref().and_then(|status| status.conditions.as_ref());
    if undecided.is_none_or(Vec::is_empty) {
        let made = asked.metadata.creation_timestamp.as_ref();
        return after(made.map(|made| made.0), PENDING);
    }
    let decided = ["Approved", "Denied", "Failed"].into_iter().filter_map(|kind| {
        let since = condition(asked, kind)?.last_update_time.as_ref()?;
        after(Some(since.0), DECIDED)
    });
    let over = condition(asked, "Approved").and(certificate(asked)).and_then(not_after);
    decided.chain(over).min()
}

/// When a certificate ends.
fn not_after(pem: &[u8]) -> Option<Timestamp> {
    let block = Pem::iter_from_buffer(pem).next()?.ok()?;
    let end = block.parse_x509().ok()?.validity().not_after.timestamp();
    Timestamp::from_second(end).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const USAGES: [&str; 3] = ["client auth", "digital signature", "key encipherment"];

    fn asked(signer: &str, usages: &[&str], status: Value) -> CertificateSigningRequest {
        serde_json::from_value(json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"request": "", "signerName": signer, "usages": usages,
                "username": "system:node:a"}, "status": status}))
        .unwrap()
    }

    fn wanted(user: &str, names: &[Name]) -> Request {
        Request {
            common_name: user.to_owned(),
            organizations: vec![NODES_GROUP.to_owned()],
            names: names.to_vec(),
            ..Request::default()
        }
    }

    #[test]
    fn client_certificates_of_nodes_are_reviewed() {
        let step =
            |user: &str| step(&asked(NODE_CLIENT, &USAGES, json!({})), &wanted(user, &[]), None);
        let names = |step: Step| match step {
            Step::Review(all) => all.into_iter().map(|(name, _)| name).collect(),
            other => panic!("{other:?}"),
        };
        let own: Vec<&str> = names(step("system:node:a"));
        assert_eq!(own, ["selfnodeclient", "nodeclient"]);
        let new: Vec<&str> = names(step("system:node:b"));
        assert_eq!(new, ["nodeclient"]);
        assert_eq!(step("ann"), Step::Leave);
    }

    #[test]
    fn what_is_approved_is_signed_once() {
        let approved = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        let user = wanted("system:node:a", &[]);
        let look = |signer: &str, usages: &[&str], status: &Value| {
            step(&asked(signer, usages, status.clone()), &user, None)
        };
        for signer in [CLIENT, NODE_CLIENT, LEGACY] {
            assert_eq!(look(signer, &USAGES, &approved), Step::Sign, "{signer}");
        }
        assert_eq!(look("example.com/other", &USAGES, &approved), Step::Leave);
        assert_eq!(look(CLIENT, &USAGES, &json!({})), Step::Leave, "an operator's decision");
        assert_eq!(look(NODE_SERVING, &USAGES, &json!({})), Step::Leave);
        for (signer, usages, why) in [
            (
                NODE_CLIENT,
                &["client auth"][..],
                "usages did not match [client auth digital signature key encipherment]",
            ),
            (
                CLIENT,
                &["client auth", "server auth"][..],
                "invalid usage for client certificate: server auth",
            ),
            (
                CLIENT,
                &["digital signature"][..],
                "missing required usage for client certificate: client auth",
            ),
            (NODE_SERVING, &USAGES[..], "DNS or IP subjectAltName is required"),
        ] {
            assert_eq!(look(signer, usages, &approved), Step::Fail(why.to_owned()), "{signer}");
        }
        let mut done = approved.clone();
        done["certificate"] = "eA==".into();
        assert_eq!(look(CLIENT, &USAGES, &done), Step::Leave);
        for kind in ["Denied", "Failed"] {
            let mut refused = approved.clone();
            let more = json!({"type": kind, "status": "True"});
            refused["conditions"].as_array_mut().unwrap().push(more);
            assert_eq!(look(CLIENT, &USAGES, &refused), Step::Leave, "{kind}");
        }
    }

    #[test]
    fn a_node_is_a_node_and_nothing_else() {
        let dns = Name::Dns("a".to_owned());
        let email = Name::Email("a@example.com".to_owned());
        let uri = Name::Uri("spiffe://a".to_owned());
        let address = Name::Address([192, 0, 2, 1].into());
        let node = "system:node:a";
        let client_usages = BTreeSet::from(["client auth", "digital signature"]);
        for (user, names, want) in [
            (node, vec![], Ok(())),
            (node, vec![dns.clone()], Err("DNS subjectAltNames are not allowed")),
            (node, vec![email.clone()], Err("Email subjectAltNames are not allowed")),
            (node, vec![address.clone()], Err("IP subjectAltNames are not allowed")),
            (node, vec![uri.clone()], Err("URI subjectAltNames are not allowed")),
            ("ann", vec![], Err("subject common name does not begin with system:node:")),
        ] {
            let got = node_client(&wanted(user, &names), &client_usages);
            assert_eq!(got, want.map_err(str::to_owned), "{user} {names:?}");
        }
        let serving_usages = BTreeSet::from(["digital signature", "server auth"]);
        for (names, want) in [
            (vec![dns.clone(), address.clone()], Ok(())),
            (vec![], Err("DNS or IP subjectAltName is required")),
            (vec![dns.clone(), email], Err("Email subjectAltNames are not allowed")),
            (vec![dns, uri], Err("URI subjectAltNames are not allowed")),
        ] {
            let got = node_serving(&wanted(node, &names), &serving_usages);
            assert_eq!(got, want.map_err(str::to_owned), "{names:?}");
        }
        let master =
            Request { organizations: vec!["system:masters".to_owned()], ..wanted(node, &[]) };
        for got in [node_client(&master, &client_usages), node_serving(&master, &serving_usages)] {
            assert_eq!(got, Err("subject organization is not system:nodes".to_owned()));
        }
    }

    #[test]
    fn requests_have_their_time() {
        let condition = |kind: &str| {
            json!({"type": kind, "status": "True",
            "lastUpdateTime": "2026-01-01T05:00:00Z"})
        };
        let end = |conditions: Value| {
            let asked = asked(CLIENT, &USAGES, json!({"conditions": conditions}));
            end(&asked).unwrap().to_string()
        };
        assert_eq!(end(json!([])), "2026-01-02T00:00:00Z");
        for kind in ["Approved", "Denied", "Failed"] {
            assert_eq!(end(json!([condition(kind)])), "2026-01-01T06:00:00Z", "{kind}");
        }
    }
}
