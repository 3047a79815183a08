//! What a node needs to join: a request for its certificate, and a way to know the cluster's CA.

use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{PkiError, subject};

/// A new key (PKCS#8 in PEM) and a request (PKCS #10 in PEM) for a certificate over it: `user` becomes
/// the common name, `group` the organisation, `names` the host names and addresses.
///
/// # Errors
/// [`PkiError::Issue`] for a name that no certificate can have.
pub fn certificate_request(
    user: &str,
    group: &str,
    names: &[String],
) -> Result<(String, String), PkiError> {
    let issue = |source| PkiError::Issue { subject: user.to_owned(), source };
    let mut params = CertificateParams::new(names.to_vec()).map_err(issue)?;
    params.distinguished_name = subject(user, Some(group));
    let key = KeyPair::generate().map_err(issue)?;
    let request = params.serialize_request(&key).and_then(|request| request.pem());
    Ok((key.serialize_pem(), request.map_err(issue)?))
}

/// `sha256:` and the hexadecimal SHA-256 of the public key of a certificate (PEM): what `kubeadm join`
/// knows a CA by.
///
/// Source: <https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join/#token-based-discovery-with-ca-pinning>.
///
/// # Errors
/// [`PkiError::Pem`] for what is no certificate.
pub fn public_key_hash(certificate_pem: &str) -> Result<String, PkiError> {
    let unread = |source| PkiError::Pem { subject: "the certificate authority", source };
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(unread)?;
    let parsed = x509_parser::parse_x509_certificate(&der);
    let (_, parsed) = parsed.map_err(|_| unread(rustls::pki_types::pem::Error::NoItemsFound))?;
    let hash = digest(&SHA256, parsed.public_key().raw);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hash}"))
}

/// From when until when a certificate (PEM) is good.
///
/// # Errors
/// [`PkiError::Pem`] for what is no certificate.
pub fn validity(certificate_pem: &str) -> Result<(Timestamp, Timestamp), PkiError> {
    let subject = "a certificate";
    let unread = |source| PkiError::Pem { subject, source };
    let no_certificate = || unread(rustls::pki_types::pem::Error::NoItemsFound);
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(unread)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| no_certificate())?;
    let time = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|_| no_certificate())
    };
    let validity = parsed.validity();
    Ok((time(validity.not_before)?, time(validity.not_after)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;

    /// The hash is that of `openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum`.
    #[test]
    fn a_ca_is_known_by_its_key() {
        const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBgTCCASegAwIBAgIUYjr5zqJiV6dfubduaDRJ7aJIk6MwCgYIKoZIzj0EAwIw\n\
FTETMBEGA1UEAwwKa3ViZXJuZXRlczAgFw0yNjExMjExOTA4MjBaGA8yMTI2MTAy\n\
ODE5MDgyMFowFTETMBEGA1UEAwwKa3ViZXJuZXRlczBZMBMGByqGSM49AgEGCCqG\n\
SM49AwEHA0IABKXlHIPrBKqKqCfqxNSZvECnI2aUszBVCiMQ7ycYh7XwjJJBUl05\n\
lUTHTbv2/8Tc1LDp+6lvANH54iHrQSrWfDOjUzBRMB0GA1UdDgQWBBSmCNu0k9s+\n\
yMN86J0CA05lTGRInTAfBgNVHSMEGDAWgBSmCNu0k9s+yMN86J0CA05lTGRInTAP\n\
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIGPoMGI8UpTiUURPTUzo\n\
97ooo66czF9/EVySw1Ja7VkqAiEAu+vwz00BjEepH7hCrhaLGk7H5Qf3NGcxbq8G\n\
4TEIhxY=\n\
-----END CERTIFICATE-----\n";
        const HASH: &str =
            "sha256:ca84726a86017ac9979219b5827f52ba549b3edf152dd732c9ac929098945a3d";
        assert_eq!(public_key_hash(CERTIFICATE).unwrap(), HASH);
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let hash = |at| public_key_hash(Authority::open(at).unwrap().ca_pem()).unwrap();
        assert_eq!(hash(&one), hash(&one));
        assert_ne!(hash(&one), hash(&other));
        assert!(public_key_hash("nonsense").is_err());
        let (begin, end) = validity(CERTIFICATE).unwrap();
        assert_eq!(begin.to_string(), "2026-11-21T19:08:20Z");
        assert_eq!(end.to_string(), "2126-10-28T19:08:20Z");
    }
}
