//! Who is calling: read from a client certificate that TLS has verified already.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Common name of the API server's own client certificate.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
/// Organisation of administrators.
const ADMINISTRATORS: &str = "system:masters";

/// Whether the owner of this certificate may use the endpoint.
pub(super) fn is_permitted(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let subject = parsed.subject();
    let api_server = subject.iter_common_name().any(|name| name.as_str() == Ok(API_SERVER));
    api_server || subject.iter_organization().any(|name| name.as_str() == Ok(ADMINISTRATORS))
}

#[cfg(test)]
mod tests {
    use super::is_permitted;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn who_may() {
        for (name, organisation, expected) in [
            ("kube-apiserver-kubelet-client", None, true),
            ("admin", Some("system:masters"), true),
            ("alice", Some("developers"), false),
            ("alice", None, false),
        ] {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            if let Some(organisation) = organisation {
                params.distinguished_name.push(DnType::OrganizationName, organisation);
            }
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(is_permitted(certificate.der()), expected, "{name} {organisation:?}");
        }
        assert!(!is_permitted(&b"nonsense".as_slice().into()));
    }
}
