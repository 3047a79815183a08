//! Admission plugins CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who
//! may decide about a CertificateSigningRequest depends on whose signature it asks for.
//! Source: k8s.io/kubernetes/plugin/pkg/admission/certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

use crate::authz::{Attributes, decide};
use crate::context::Context;
use crate::pki::MASTERS_GROUP;
use crate::user::User;
use crate::writing::Part;

/// The group of CertificateSigningRequests and of the signers, which are no objects.
pub(super) const GROUP: &str = "certificates.k8s.io";
/// Signs certificates that the API server believes.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Checks a new request.
///
/// # Errors
/// What is wrong: nobody gets a certificate that makes them an administrator.
pub(super) fn subject(request: &Value) -> Result<(), String> {
    if request["spec"]["signerName"] != CLIENT_SIGNER {
        return Ok(());
    }
    let text = request["spec"]["request"].as_str().unwrap_or_default();
    // What is no request is refused as such, in its validation.
    let organizations = organizations(text).unwrap_or_default();
    if organizations.iter().any(|group| group == MASTERS_GROUP) {
        let group = MASTERS_GROUP;
        return Err(format!("use of {CLIENT_SIGNER} signer with {group} group is not allowed"));
    }
    Ok(())
}

/// The organizations of the subject of a request, base64 of PEM.
fn organizations(field: &str) -> Option<Vec<String>> {
    let text = STANDARD.decode(field).ok()?;
    let block = Pem::iter_from_buffer(&text).next()?.ok()?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents).ok()?;
    let subject = &request.certification_request_info.subject;
    let names = subject.iter_organization().filter_map(|name| name.as_str().ok());
    Some(names.map(str::to_owned).collect())
}

/// Checks a change of a request.
///
/// # Errors
/// What is wrong: the user may not approve, or sign, for the signer.
pub(super) fn change(
    context: &Context,
    part: Part,
    new: &Value,
    old: &Value,
    user: &User,
) -> Result<(), String> {
    let verb = match part {
        Part::Subresource("approval") => "approve",
        Part::Status => {
            let same = |field: &str| new["status"][field] == old["status"][field];
            if same("certificate") && same("conditions") {
                return Ok(());
            }
            "sign"
        }
        _ => return Ok(()),
    };
    // The signer of the request as it was: nobody chooses another one here.
    let signer = old["spec"]["signerName"].as_str().unwrap_or_default();
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let asked = Attributes::Resource {
            verb,
            group: GROUP,
            resource: "signers",
            namespace: "",
            name: &name,
        };
        if decide(context, user, &asked).allowed {
            return Ok(());
        }
    }
    let signer = api::field::go_quote(signer);
    Err(format!("user not permitted to {verb} requests with signerName {signer}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(signer: &str, organization: &str) -> Value {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        json!({"spec": {"signerName": signer, "request": STANDARD.encode(pem)}})
    }

    #[test]
    fn nobody_asks_to_be_an_administrator() {
        for (request, want) in [
            (request(CLIENT_SIGNER, "staff"), ""),
            (request("example.com/signer", MASTERS_GROUP), ""),
            (
                request(CLIENT_SIGNER, MASTERS_GROUP),
                "use of kubernetes.io/kube-apiserver-client signer with system:masters group is \
                 not allowed",
            ),
            (json!({"spec": {"signerName": CLIENT_SIGNER, "request": "eA=="}}), ""),
        ] {
            assert_eq!(subject(&request).err().unwrap_or_default(), want);
        }
    }
}
