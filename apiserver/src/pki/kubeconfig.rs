//! The kubeconfig file: how a client finds the server, trusts it and proves who it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Identity;

/// Renders a kubeconfig with inline credentials.
///
/// `server` is the URL (`https://127.0.0.1:6443`), `ca_pem` what to trust, `identity` the client
/// certificate; `name` names cluster, user and context alike. JSON is used for the values that
/// need quoting, which YAML readers accept.
pub fn kubeconfig(name: &str, server: &str, ca_pem: &str, identity: &Identity) -> String {
    let quoted = |text: &str| serde_json::Value::String(text.to_owned()).to_string();
    let name = quoted(name);
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {name}\n\
         \x20 cluster:\n\
         \x20   server: {server}\n\
         \x20   certificate-authority-data: {ca}\n\
         users:\n\
         - name: {name}\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n\
         contexts:\n\
         - name: {name}\n\
         \x20 context:\n\
         \x20   cluster: {name}\n\
         \x20   user: {name}\n\
         \x20   namespace: default\n\
         current-context: {name}\n",
        server = quoted(server),
        ca = STANDARD.encode(ca_pem),
        certificate = STANDARD.encode(&identity.certificate_pem),
        key = STANDARD.encode(&identity.key_pem),
    )
}
