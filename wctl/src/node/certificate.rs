//! The node's certificates: asked for by CertificateSigningRequests, kept in the data folder.
//!
//! ```text
//! pki/ca.crt                the cluster's CA
//! pki/kubelet-client.pem    certificate and key with which the node speaks to the API server
//! pki/kubelet-serving.pem   certificate and key with which it answers the API server
//! ```
//!
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/>.

use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use apiserver::pki::{self, Identity};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;

/// How often it is said that a request waits.
const REMIND: Duration = Duration::from_secs(30);
/// Deadline of creating a request, and pause after a failure.
const REQUEST: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);

/// What a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Speaking to the API server.
    Client,
    /// Answering it, under these names and addresses.
    Serving(Vec<String>),
}

impl Purpose {
    /// Answering under the node's name and address.
    pub(super) fn serving(node: &str, ip: IpAddr) -> Self {
        Self::Serving(vec![node.to_owned(), ip.to_string()])
    }

    /// In words, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Client => "client certificate",
            Self::Serving(_) => "serving certificate",
        }
    }

    fn file(&self) -> &'static str {
        match self {
            Self::Client => "kubelet-client.pem",
            Self::Serving(_) => "kubelet-serving.pem",
        }
    }

    fn signer(&self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::Serving(_) => "kubernetes.io/kubelet-serving",
        }
    }

    /// The keys are elliptic, so that none is ever encrypted by one.
    fn usages(&self) -> [&'static str; 2] {
        match self {
            Self::Client => ["digital signature", "client auth"],
            Self::Serving(_) => ["digital signature", "server auth"],
        }
    }

    fn names(&self) -> &[String] {
        match self {
            Self::Client => &[],
            Self::Serving(names) => names,
        }
    }
}

/// Asks for a certificate over a new key and waits until it is there; however long it takes to be
/// approved.
///
/// # Errors
/// The request was refused, or deleted before it was signed, or the client may not make one.
pub(super) async fn request(
    client: &kube::Client,
    node: &str,
    purpose: &Purpose,
) -> Result<Identity> {
    let what = purpose.describe();
    let user = format!("system:node:{node}");
    let (key_pem, request) = pki::certificate_request(&user, "system:nodes", purpose.names())
        .with_context(|| format!("make a request for a {what}"))?;
    let asked = CertificateSigningRequest {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", purpose.file().trim_end_matches(".pem"))),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: purpose.signer().to_owned(),
            usages: Some(purpose.usages().map(str::to_owned).to_vec()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let name = create(&api, &asked, what).await?;
    tracing::info!(request = name, what, "asked for a certificate");
    let mut changes = pin!(watch_object(api, &name).default_backoff());
    let mut seen = false;
    loop {
        let change = match tokio::time::timeout(REMIND, changes.next()).await {
            Ok(Some(change)) => change,
            Ok(None) => bail!("the watch of the request {name} ended"),
            Err(_) => {
                tracing::warn!(
                    request = name,
                    what,
                    "the certificate is not there yet; kubectl get csr says why, kubectl certificate \
                     approve helps"
                );
                continue;
            }
        };
        match change {
            Ok(Some(current)) => {
                seen = true;
                if let Some(certificate_pem) = outcome(&current, what)? {
                    return Ok(Identity { certificate_pem, key_pem });
                }
            }
            Ok(None) if seen => bail!("the request {name} for a {what} was deleted"),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, request = name, "watch of the request failed"),
        }
    }
}

/// Creates the request; a server that does not answer is asked again.
async fn create(
    api: &Api<CertificateSigningRequest>,
    asked: &CertificateSigningRequest,
    what: &str,
) -> Result<String> {
    loop {
        match tokio::time::timeout(REQUEST, api.create(&PostParams::default(), asked)).await {
            Ok(Ok(made)) => return Ok(made.name_any()),
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => bail!(
                "the server does not know this token, or it is over: take the one that wctl server \
                 prints when it starts"
            ),
            Ok(Err(error @ kube::Error::Api(_))) => {
                return Err(error).with_context(|| format!("ask for a {what}"));
            }
            Ok(Err(error)) => tracing::info!(%error, what, "the server cannot be asked yet"),
            Err(_) => tracing::info!("the server does not answer yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// The certificate, if it is there.
fn outcome(current: &CertificateSigningRequest, what: &str) -> Result<Option<String>> {
    let status = current.status.clone().unwrap_or_default();
    let refused = status.conditions.iter().flatten().find(|condition| {
        matches!(condition.type_.as_str(), "Denied" | "Failed") && condition.status == "True"
    });
    if let Some(refused) = refused {
        bail!(
            "the request {} for a {what} was refused: {} {}",
            current.name_any(),
            refused.reason.as_deref().unwrap_or_default(),
            refused.message.as_deref().unwrap_or_default()
        );
    }
    let pem = status.certificate.map(|bytes| bytes.0).filter(|bytes| !bytes.is_empty());
    pem.map(String::from_utf8).transpose().context("read the certificate")
}

/// The folder of the node's certificates.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Below a data folder.
    pub(super) fn new(data_dir: &Path) -> Result<Self> {
        let folder = data_dir.join("pki");
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The CA, if it is known.
    pub(super) fn load_ca(&self) -> Result<Option<String>> {
        read(&self.folder.join("ca.crt"))
    }

    /// Remembers the CA.
    pub(super) fn save_ca(&self, pem: &str) -> Result<()> {
        self.write("ca.crt", pem)
    }

    /// The certificate for a purpose and its key, if there is one that is good and that node's.
    pub(super) fn load(&self, purpose: &Purpose, node: &str) -> Result<Option<Identity>> {
        let path = self.folder.join(purpose.file());
        let Some(text) = read(&path)? else { return Ok(None) };
        let mine = format!("# {node} {}\n", purpose.names().join(" "));
        let Some(identity) = text.strip_prefix(&mine).and_then(split) else {
            tracing::info!(path = %path.display(), "the certificate there is another node's");
            return Ok(None);
        };
        let (_, end) = pki::certificate_validity(&identity.certificate_pem)
            .with_context(|| format!("read {}", path.display()))?;
        if end <= Timestamp::now() {
            tracing::info!(path = %path.display(), %end, "the certificate there is over");
            return Ok(None);
        }
        Ok(Some(identity))
    }

    /// Keeps certificate and key in one file, which is there as a whole or not at all.
    pub(super) fn save(&self, purpose: &Purpose, node: &str, identity: &Identity) -> Result<()> {
        let names = purpose.names().join(" ");
        let text = format!("# {node} {names}\n{}{}", identity.certificate_pem, identity.key_pem);
        self.write(purpose.file(), &text)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        use std::io::Write as _;
        let (path, new) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let written = || {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        };
        written().with_context(|| format!("write {}", path.display()))
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Certificate and key of one text.
fn split(text: &str) -> Option<Identity> {
    let at = text.find("-----BEGIN PRIVATE KEY-----")?;
    let (certificate, key) = text.split_at(at);
    Some(Identity { certificate_pem: certificate.to_owned(), key_pem: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn certificates_are_kept_for_their_node_and_names() {
        let folder = std::env::temp_dir().join(format!("wharf-node-{}", std::process::id()));
        let authority = pki::Authority::open(&folder.join("authority")).unwrap();
        let files = Files::new(&folder).unwrap();
        let identity = authority.node("n", &["n".to_owned()]).unwrap();
        let serving = Purpose::serving("n", [192, 0, 2, 1].into());
        for purpose in [Purpose::Client, serving.clone()] {
            assert!(files.load(&purpose, "n").unwrap().is_none());
            files.save(&purpose, "n", &identity).unwrap();
            let loaded = files.load(&purpose, "n").unwrap().unwrap();
            assert_eq!(loaded.certificate_pem, identity.certificate_pem);
            assert_eq!(loaded.key_pem, identity.key_pem);
            assert!(files.load(&purpose, "m").unwrap().is_none());
        }
        let moved = Purpose::serving("n", [192, 0, 2, 2].into());
        assert!(files.load(&moved, "n").unwrap().is_none(), "the address is another one");
        assert!(files.load_ca().unwrap().is_none());
        files.save_ca(authority.ca_pem()).unwrap();
        assert_eq!(files.load_ca().unwrap().as_deref(), Some(authority.ca_pem()));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_became_of_a_request() {
        let look = |status: Value| {
            let request = json!({"metadata": {"name": "r"}, "status": status,
                "spec": {"request": "", "signerName": "s"}});
            outcome(&serde_json::from_value(request).unwrap(), "certificate")
        };
        assert_eq!(look(json!({})).unwrap(), None);
        let approved = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        assert_eq!(look(approved).unwrap(), None);
        assert_eq!(look(json!({"certificate": "UEVN"})).unwrap().as_deref(), Some("PEM"));
        let denied = json!({"conditions": [{"type": "Denied", "status": "True",
            "reason": "No", "message": "not you"}]});
        let refused = look(denied).unwrap_err().to_string();
        assert_eq!(refused, "the request r for a certificate was refused: No not you");
    }
}
