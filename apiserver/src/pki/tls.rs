//! From PEM text to rustls configurations, and from a peer's certificate to a user.
//!
//! The crypto provider is always named (ring): the process-wide default is the business of the
//! binary, and two providers in one process panic at start.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{Identity, PkiError};
use crate::user::User;

/// What a user knows of the credential it came with.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// TLS for the listener: HTTP/2 preferred, client certificates of this CA accepted but not
/// demanded (health checks come without one).
pub(crate) fn server_config(ca_pem: &str, identity: &Identity) -> Result<ServerConfig, PkiError> {
    let subject = "the API server's listener";
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| PkiError::Tls {
                subject,
                source: rustls::Error::General(error.to_string()),
            })?;
    let (chain, key) = pair(identity)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)
        })
        .map_err(|source| PkiError::Tls { subject, source })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// TLS for calling kubelet endpoints, with the API server's own client certificate.
pub(crate) fn client_config(ca_pem: &str, identity: &Identity) -> Result<ClientConfig, PkiError> {
    let subject = "the API server's kubelet client";
    let (chain, key) = pair(identity)?;
    let roots = roots(ca_pem)?;
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
        .map_err(|source| PkiError::Tls { subject, source })
}

/// The user that a verified client certificate stands for: common name and organisations.
///
/// `None` if the certificate has no common name; such a client is anonymous.
pub(crate) fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let id = format!("X509SHA256={}", hex(digest(&SHA256, certificate).as_ref()));
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok())
        .map(str::to_owned)
        .collect();
    Some(User::new(name, groups).with_extra([(CREDENTIAL.to_owned(), vec![id])].into()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn roots(ca_pem: &str) -> Result<RootCertStore, PkiError> {
    let subject = "the certificate authority";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|source| PkiError::Pem { subject, source })?;
        roots.add(certificate).map_err(|source| PkiError::Tls { subject, source })?;
    }
    Ok(roots)
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn pair(identity: &Identity) -> Result<Pair, PkiError> {
    let error = |source| PkiError::Pem { subject: "a certificate and key", source };
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(error)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(error)?;
    Ok((chain, key))
}
