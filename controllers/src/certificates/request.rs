//! What a certificate request asks for: PKCS #10 in PEM (RFC 2986, RFC 7468).

use std::net::IpAddr;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

/// What a request asks for. Only what ends up in a certificate, or decides about it, is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// The subject's common name; the first, if there are several.
    pub(super) common_name: String,
    /// The subject's organizations.
    pub(super) organizations: Vec<String>,
    /// Subject alternative names.
    pub(super) names: Vec<Name>,
    /// The subject as it was sent, DER.
    pub(super) subject: Vec<u8>,
    /// The public key as it was sent, DER.
    pub(super) key: Vec<u8>,
}

/// A subject alternative name of a kind that Kubernetes' signers know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Dns(String),
    Address(IpAddr),
    Email(String),
    Uri(String),
}

impl Request {
    /// Reads the first block. None for what is no request, or not signed by the key that is in it:
    /// who asks must have the key.
    pub(super) fn read(pem: &[u8]) -> Option<Self> {
        let block = Pem::iter_from_buffer(pem).next()?.ok()?;
        let (_, request) = X509CertificationRequest::from_der(&block.contents).ok()?;
        request.verify_signature().ok()?;
        let info = &request.certification_request_info;
        let text = |value: Result<&str, _>| value.ok().map(str::to_owned);
        let mut common_names =
            info.subject.iter_common_name().filter_map(|name| text(name.as_str()));
        let organizations = info.subject.iter_organization();
        Some(Self {
            common_name: common_names.next().unwrap_or_default(),
            organizations: organizations.filter_map(|name| text(name.as_str())).collect(),
            names: names(&request),
            subject: info.subject.as_raw().to_vec(),
            key: info.subject_pki.raw.to_vec(),
        })
    }
}

fn names(request: &X509CertificationRequest<'_>) -> Vec<Name> {
    let attributes = request.certification_request_info.iter_attributes();
    let extensions = attributes.filter_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(asked) => Some(&asked.extensions),
        _ => None,
    });
    let alternatives =
        extensions.flatten().filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
    alternatives.flatten().filter_map(name).collect()
}

/// A name of another kind is not asked for: no signer of Kubernetes forwards it.
fn name(name: &GeneralName<'_>) -> Option<Name> {
    Some(match name {
        GeneralName::DNSName(text) => Name::Dns((*text).to_owned()),
        GeneralName::RFC822Name(text) => Name::Email((*text).to_owned()),
        GeneralName::URI(text) => Name::Uri((*text).to_owned()),
        GeneralName::IPAddress(bytes) => Name::Address(address(bytes)?),
        _ => return None,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    /// A request of a user in a group, for names.
    pub(in super::super) fn pem(user: &str, group: &str, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        params
            .distinguished_name
            .push(DnType::OrganizationName, DnValue::Utf8String(group.to_owned()));
        let key = KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    #[test]
    fn what_is_asked_for() {
        let pem = pem("system:node:a", "system:nodes", &["a", "192.0.2.7", "2001:db8::7"]);
        let request = Request::read(pem.as_bytes()).unwrap();
        assert_eq!(request.common_name, "system:node:a");
        assert_eq!(request.organizations, ["system:nodes"]);
        assert_eq!(
            request.names,
            [
                Name::Dns("a".to_owned()),
                Name::Address("192.0.2.7".parse().unwrap()),
                Name::Address("2001:db8::7".parse().unwrap()),
            ]
        );
    }

    #[test]
    fn what_is_no_request_is_not_read() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a");
        let key = KeyPair::generate().unwrap();
        let der = params.serialize_request(&key).unwrap().der().to_vec();
        // Somebody else's name over the same signature.
        let at = der.windows(3).position(|bytes| bytes == [0x0c, 1, b'a']).unwrap();
        let mut forged = der.clone();
        forged[at + 2] = b'b';
        let text = |der: &[u8]| {
            use base64::Engine as _;
            let body = base64::engine::general_purpose::STANDARD.encode(der);
            format!(
                "-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n"
            )
        };
        assert!(Request::read(text(&der).as_bytes()).is_some());
        assert_eq!(Request::read(text(&forged).as_bytes()), None);
        assert_eq!(Request::read(b"nonsense"), None);
        assert_eq!(Request::read(text(b"nonsense").as_bytes()), None);
    }
}
