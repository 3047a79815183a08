//! Clients of the API server: nobody's, a token's, and the node's own, whose certificate is renewed while
//! it is in use.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use apiserver::pki::Identity;
use http::{HeaderValue, Request, Uri, header};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::config::AuthInfo;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use serde_json::json;
use tower::ServiceBuilder;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing is acknowledged for so long is dead: the server's host is gone.
const DEAD: Duration = Duration::from_secs(30);

/// A client without credentials that believes any server: for what anybody may read and is checked
/// afterwards.
pub(super) fn unverified(server: &Uri) -> Result<kube::Client> {
    let mut config = kube::Config::new(server.clone());
    config.accept_invalid_certs = true;
    // Otherwise the host's own roots are read, which it may not have.
    config.root_cert = Some(Vec::new());
    kube::Client::try_from(config).context("make an API client")
}

/// A client with a bootstrap token.
pub(super) fn with_token(server: &Uri, ca_pem: &str, token: &str) -> Result<kube::Client> {
    let mut config = kube::Config::new(server.clone());
    let roots = certificates(ca_pem)?.iter().map(|root| root.to_vec()).collect();
    config.root_cert = Some(roots);
    config.auth_info =
        serde_json::from_value::<AuthInfo>(json!({"token": token})).context("use the token")?;
    kube::Client::try_from(config).context("make an API client")
}

/// The way to the API server with the node's client certificate.
#[derive(Clone)]
pub(super) struct Connection {
    server: Uri,
    tls: Arc<ClientConfig>,
    certificate: Arc<Current>,
}

impl Connection {
    /// A connection that presents `identity`.
    pub(super) fn new(server: &Uri, ca_pem: &str, identity: &Identity) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in certificates(ca_pem)? {
            roots.add(root).context("use the certificate authority")?;
        }
        let certificate = Arc::new(Current(RwLock::new(certified(identity)?)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("set up TLS")?
            .with_root_certificates(roots)
            .with_client_cert_resolver(certificate.clone());
        // A resumed session would be that of the certificate it began with.
        tls.resumption = Resumption::disabled();
        Ok(Self { server: server.clone(), tls: Arc::new(tls), certificate })
    }

    /// Presents `identity` from now on, on new connections.
    pub(super) fn renew(&self, identity: &Identity) -> Result<()> {
        let new = certified(identity)?;
        let mut current = self.certificate.0.write().unwrap_or_else(|held| held.into_inner());
        *current = new;
        Ok(())
    }

    /// A client that calls itself `component`.
    pub(super) fn client(&self, component: &str) -> Result<kube::Client> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_keepalive(Some(CONNECT));
        tcp.set_keepalive_interval(Some(CONNECT));
        tcp.set_tcp_user_timeout(Some(DEAD));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config((*self.tls).clone())
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let http = hyper_util::client::legacy::Builder::new(TokioExecutor::new())
            .build::<_, Body>(connector);
        let agent = format!("{component}/{}", crate::dev::components::version());
        let agent = HeaderValue::from_str(&agent).context("name the client")?;
        let config = kube::Config::new(self.server.clone());
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .map_request(move |mut request: Request<Body>| {
                request.headers_mut().insert(header::USER_AGENT, agent.clone());
                request
            })
            .service(http);
        Ok(kube::Client::new(service, "default"))
    }
}

/// The certificate to present on the next connection.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesClientCert for Current {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(|held| held.into_inner()).clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>> {
    let chain = certificates(&identity.certificate_pem)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
        .context("read the node's private key")?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .context("use the node's private key")?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes());
    all.collect::<Result<_, _>>().context("read a certificate")
}
