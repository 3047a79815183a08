//! Where a node's kubelet endpoint is, and which container of a pod is meant.

use api::status::Status;
use serde_json::Value;

use crate::context::Context;

/// Address and port of a node's kubelet endpoint: its InternalIP, and the port that it says.
///
/// # Errors
/// 500 for a node that is not there, or does not say.
pub(super) fn endpoint(context: &Context, node: &str) -> Result<(String, u16), Status> {
    let gone = || Status::internal_error(format!("node {node} is not registered"));
    let object = context.core("nodes").get(node).ok_or_else(gone)?.encoded().parse();
    let address = object["status"]["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|address| address["type"] == "InternalIP")
        .and_then(|address| address["address"].as_str());
    let port = object["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let (Some(address), Some(port)) = (address, port) else {
        let message = format!("node {node} does not say where its kubelet endpoint is");
        return Err(Status::internal_error(message));
    };
    Ok((address.to_owned(), port))
}

/// `address:port`, with brackets around an IPv6 address.
pub(super) fn join(address: &str, port: impl std::fmt::Display) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Names of a pod's containers of one kind.
pub(super) fn names<'a>(pod: &'a Value, field: &str) -> Vec<&'a str> {
    let list = pod["spec"][field].as_array().into_iter().flatten();
    list.filter_map(|container| container["name"].as_str()).collect()
}

/// Percent-encodes a query value.
pub(super) fn escape(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
