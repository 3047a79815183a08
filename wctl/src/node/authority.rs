//! Which certificate authority the server has: known before anything secret is sent to it.
//!
//! `--ca-file` has it; with `--ca-hash` the server itself says it, to anybody, and the hash tells
//! whether it is the right one (as `kubeadm join` does with `--discovery-token-ca-cert-hash`). After
//! the first time it is kept in the data folder.

use anyhow::{Context as _, Result, bail};
use apiserver::pki;
use http::Uri;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use tokio::time::{Instant, sleep, timeout};

use super::certificate::Files;
use super::connection;
use crate::cli;
use crate::server::joining::{CLUSTER_INFO, PUBLIC, ca_of};

/// Deadline of one request.
const REQUEST: std::time::Duration = std::time::Duration::from_secs(10);
/// Pause between two.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);
/// How long a server that does not answer is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// The CA, PEM.
pub(super) async fn of(arguments: &cli::Agent, server: &Uri, files: &Files) -> Result<String> {
    if let Some(path) = &arguments.ca_file {
        let pem = std::fs::read_to_string(path)
            .with_context(|| format!("read --ca-file {}", path.display()))?;
        check(&pem, arguments.ca_hash.as_deref())?;
        files.save_ca(&pem)?;
        return Ok(pem);
    }
    if let Some(pem) = files.load_ca()? {
        check(&pem, arguments.ca_hash.as_deref()).context(
            "the data folder is that of a node of another cluster; choose another --data-dir",
        )?;
        return Ok(pem);
    }
    let Some(hash) = arguments.ca_hash.as_deref() else {
        bail!(
            "nothing tells whether {server} is the right server: give --ca-hash, which wctl server \
             prints, or --ca-file with its pki/ca.crt"
        );
    };
    let pem = ask(server).await?;
    check(&pem, Some(hash))?;
    files.save_ca(&pem)?;
    Ok(pem)
}

fn check(pem: &str, hash: Option<&str>) -> Result<()> {
    let found = pki::public_key_hash(pem).context("read the certificate authority")?;
    match hash {
        Some(wanted) if !found.eq_ignore_ascii_case(wanted) => bail!(
            "the certificate authority has the hash {found} and not {wanted}, as --ca-hash says: this \
             is not the right server, or the hash is not its own"
        ),
        _ => Ok(()),
    }
}

/// Asks the server, which may not run yet.
async fn ask(server: &Uri) -> Result<String> {
    let anybody = connection::unverified(server)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let api: Api<ConfigMap> = Api::namespaced(anybody.clone(), PUBLIC);
        let failure = match timeout(REQUEST, api.get(CLUSTER_INFO)).await {
            Ok(Ok(map)) => {
                let data = map.data.unwrap_or_default();
                let text = data.get("kubeconfig").context("the server's cluster-info is empty")?;
                return ca_of(text);
            }
            Ok(Err(error)) => anyhow::Error::new(error),
            Err(_) => anyhow::anyhow!("no answer in {REQUEST:?}"),
        };
        if Instant::now() > end {
            return Err(failure.context(format!("ask {server} for its certificate authority")));
        }
        tracing::info!(%server, error = format!("{failure:#}"), "the server does not answer yet");
        sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_authority_is_noticed() {
        let folder = std::env::temp_dir().join(format!("wharf-ca-{}", std::process::id()));
        let authority = pki::Authority::open(&folder).unwrap();
        let hash = pki::public_key_hash(authority.ca_pem()).unwrap();
        check(authority.ca_pem(), None).unwrap();
        check(authority.ca_pem(), Some(&hash)).unwrap();
        check(authority.ca_pem(), Some(&hash.to_uppercase())).unwrap();
        let refused = check(authority.ca_pem(), Some("sha256:00")).unwrap_err().to_string();
        assert!(refused.contains(&hash) && refused.contains("sha256:00"), "{refused}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
