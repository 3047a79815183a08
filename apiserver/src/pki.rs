//! The cluster's own certificate authority.
//!
//! One CA is generated per data directory and kept under `<data>/pki`
//! (`ca.crt`, `ca.key`, mode 0600), next to the key that signs ServiceAccount tokens (`sa.key`). Everything else is a leaf that can be made again at any time
//! from the CA: the API server's serving certificate is issued at every start, so that a changed
//! listen address or host name is always among its names, and client certificates are issued for
//! whoever the composition (`wctl`) starts. Identity follows Kubernetes: the common name is the
//! user, each organisation is a group
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates>).
//!
//! Keys are ECDSA P-256; the CA lives ten years, leaves one.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

mod joining;
mod kubeconfig;
mod signing;
mod tls;
mod unverified;

pub use joining::{certificate_request, public_key_hash, validity as certificate_validity};
pub use kubeconfig::kubeconfig;
pub(crate) use signing::SigningKey;
pub(crate) use tls::{client_config, server_config, user_of};
pub(crate) use unverified::unverified_config;

/// The user and group that kubeconfig files for people carry.
pub const ADMIN_USER: &str = "kubernetes-admin";
/// The group that may do everything, as in Kubernetes.
pub const MASTERS_GROUP: &str = "system:masters";
/// The user under which the API server calls kubelet endpoints.
pub const KUBELET_CLIENT_USER: &str = "kube-apiserver-kubelet-client";

const CA_YEARS: i32 = 10;
const LEAF_YEARS: i32 = 1;

/// What can go wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// A file of the pki directory could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the pki directory could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The stored CA is not a usable certificate and key.
    #[error("cannot use the certificate authority in {path}")]
    Authority {
        /// The pki directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate could not be made.
    #[error("cannot issue a certificate for {subject:?}")]
    Issue {
        /// The common name.
        subject: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate and key could not be turned into a TLS configuration.
    #[error("cannot set up TLS for {subject}")]
    Tls {
        /// Whose configuration.
        subject: &'static str,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// PEM text could not be read.
    #[error("cannot read the PEM text of {subject}")]
    Pem {
        /// Whose PEM.
        subject: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
}

/// A certificate with its private key, both as PEM text.
#[derive(Clone)]
pub struct Identity {
    /// The leaf certificate (`-----BEGIN CERTIFICATE-----`).
    pub certificate_pem: String,
    /// Its PKCS#8 private key (`-----BEGIN PRIVATE KEY-----`).
    pub key_pem: String,
}

/// Never prints the key.
impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Identity")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// The cluster CA: issues every other certificate.
pub struct Authority {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    signing: Arc<SigningKey>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the CA in `dir` (created with mode 0700), generating it on first use.
    pub fn open(dir: &Path) -> Result<Authority, PkiError> {
        let certificate = dir.join("ca.crt");
        let key = dir.join("ca.key");
        if !certificate.exists() {
            generate(dir, &certificate, &key)?;
        }
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|source| PkiError::Read { path: path.to_owned(), source })
        };
        let ca_pem = read(&certificate)?;
        let authority = |source| PkiError::Authority { path: dir.to_owned(), source };
        let key = KeyPair::from_pem(&read(&key)?).map_err(authority)?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key).map_err(authority)?;
        let signing = Arc::new(SigningKey::open(dir)?);
        Ok(Authority { ca_pem, issuer, signing })
    }

    /// The CA certificate as PEM: what clients trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The CA's private key as PEM (PKCS#8): for the controller that signs certificates, and for nobody
    /// else.
    pub fn ca_key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// What ServiceAccount tokens are signed with.
    pub(crate) fn signing_key(&self) -> &Arc<SigningKey> {
        &self.signing
    }

    /// Issues a client certificate: `user` becomes the common name, `group` the organisation.
    ///
    /// One group is all that Kubernetes' own component certificates carry, and all that the
    /// certificate builder can express.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity, PkiError> {
        self.leaf(user, group, &[], &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// Issues a serving certificate for `names` (host names and IP addresses alike).
    pub fn server(&self, common_name: &str, names: &[String]) -> Result<Identity, PkiError> {
        self.leaf(common_name, None, names, &[ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// Issues a node agent's certificate: client (`system:node:<node>`, group `system:nodes`) and
    /// server (its kubelet endpoint under `names`) in one, as Kubernetes' kubelets are allowed to.
    pub fn node(&self, node: &str, names: &[String]) -> Result<Identity, PkiError> {
        self.leaf(
            &format!("system:node:{node}"),
            Some("system:nodes"),
            names,
            &[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        )
    }

    fn leaf(
        &self,
        common_name: &str,
        organisation: Option<&str>,
        names: &[String],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<Identity, PkiError> {
        let issue = |source| PkiError::Issue { subject: common_name.to_owned(), source };
        // rcgen turns a name that parses as an address into an IP entry by itself.
        let mut params = CertificateParams::new(names.to_vec()).map_err(issue)?;
        params.distinguished_name = subject(common_name, organisation);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, LEAF_YEARS);
        let key = KeyPair::generate().map_err(issue)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue)?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// The names under which clients inside and outside the cluster reach the API server.
///
/// `cluster_domain` is `cluster.local` unless configured; `extra` are the first Service address,
/// the listen address and the host name.
pub fn serving_names(cluster_domain: &str, extra: &[String]) -> Vec<String> {
    let mut names = vec![
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{cluster_domain}"),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    for name in extra {
        if !name.is_empty() && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn generate(dir: &Path, certificate: &Path, key: &Path) -> Result<(), PkiError> {
    let authority = |source| PkiError::Authority { path: dir.to_owned(), source };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| PkiError::Write { path: dir.to_owned(), source })?;
    let mut params = CertificateParams::new(Vec::new()).map_err(authority)?;
    params.distinguished_name = subject("kubernetes", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    validity(&mut params, CA_YEARS);
    let pair = KeyPair::generate().map_err(authority)?;
    let made = params.self_signed(&pair).map_err(authority)?;
    // The key first: a certificate without its key would look like a finished CA.
    write_private(key, pair.serialize_pem().as_bytes())?;
    write_private(certificate, made.pem().as_bytes())
}

/// Writes a file of mode 0600 so that a crash leaves either nothing or all of it.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    let error = |source| PkiError::Write { path: path.to_owned(), source };
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(error)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(error)?;
    std::fs::rename(&temporary, path).map_err(error)
}

fn subject(common_name: &str, organisation: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organisation) = organisation {
        name.push(DnType::OrganizationName, organisation);
    }
    name
}

/// Valid from yesterday (clocks differ) for so many years.
fn validity(params: &mut CertificateParams, years: i32) {
    let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).date();
    let yesterday = today.yesterday().unwrap_or(today);
    let day = |date: jiff::civil::Date, year: i32| {
        // 29 February does not exist in most years; the 28th does.
        rcgen::date_time_ymd(year, date.month() as u8, date.day().min(28) as u8)
    };
    params.not_before = rcgen::date_time_ymd(
        i32::from(yesterday.year()),
        yesterday.month() as u8,
        yesterday.day() as u8,
    );
    params.not_after = day(today, i32::from(today.year()) + years);
}
