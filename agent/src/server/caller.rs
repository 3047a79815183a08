//! Who is calling: read from a client certificate that TLS has verified already.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Common name of the API server's own client certificate.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
/// Organisation of administrators.
const ADMINISTRATORS: &str = "system:masters";

/// Whom a connection is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// The API server itself or an administrator.
    Trusted,
    /// Somebody else that the cluster CA knows.
    User(User),
    /// Nobody yet: there is no certificate, a token may come with the request.
    Unknown,
}

/// A user of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
}

impl Caller {
    /// The owner of this certificate.
    pub(super) fn of(certificate: Option<&CertificateDer<'_>>) -> Self {
        let parsed = certificate.and_then(|der| X509Certificate::from_der(der).ok());
        let Some((_, parsed)) = parsed else { return Self::Unknown };
        let subject = parsed.subject();
        let names = subject.iter_common_name().filter_map(|name| name.as_str().ok());
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
        let name = names.map(str::to_owned).next().unwrap_or_default();
        let groups: Vec<String> = groups.map(str::to_owned).collect();
        if name == API_SERVER || groups.iter().any(|group| group == ADMINISTRATORS) {
            Self::Trusted
        } else if name.is_empty() {
            Self::Unknown
        } else {
            Self::User(User { name, groups })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, User};
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn who_is_who() {
        let alice = |groups: &[&str]| {
            let groups = groups.iter().map(|group| (*group).to_owned()).collect();
            Caller::User(User { name: "alice".to_owned(), groups })
        };
        for (name, organisation, expected) in [
            ("kube-apiserver-kubelet-client", None, Caller::Trusted),
            ("admin", Some("system:masters"), Caller::Trusted),
            ("alice", Some("developers"), alice(&["developers"])),
            ("alice", None, alice(&[])),
            ("", Some("developers"), Caller::Unknown),
        ] {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            if let Some(organisation) = organisation {
                params.distinguished_name.push(DnType::OrganizationName, organisation);
            }
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(Caller::of(Some(certificate.der())), expected, "{name} {organisation:?}");
        }
        assert_eq!(Caller::of(Some(&b"nonsense".as_slice().into())), Caller::Unknown);
        assert_eq!(Caller::of(None), Caller::Unknown);
    }
}
