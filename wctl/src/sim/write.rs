//! The nodes' way to the API server, each with its node's identity: what nodes may not do, hollow
//! ones cannot.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{LocalService, Server, User};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::Service as _;

use super::node::HollowNode;
use super::seen::Pod;

/// Deadline of one request.
const DEADLINE: Duration = Duration::from_secs(30);
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json";

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The API server refused.
    #[error("{method} {path} was refused: {message} ({code})")]
    Refused {
        /// HTTP method.
        method: Method,
        /// Path of the object.
        path: String,
        /// HTTP status.
        code: u16,
        /// The Status' message.
        message: String,
    },
    /// No answer in time; it may have happened all the same.
    #[error("{method} {path} got no answer in {DEADLINE:?}")]
    Timeout {
        /// HTTP method.
        method: Method,
        /// Path of the object.
        path: String,
    },
}

impl WriteError {
    /// The HTTP status of the answer; 0 without one.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Timeout { .. } => 0,
        }
    }
}

/// All nodes' ways.
#[derive(Clone)]
pub(super) struct Nodes(Arc<[LocalService]>);

impl Nodes {
    /// One for each node.
    pub(super) fn new(server: &Server, count: u32) -> Self {
        let service = |at| {
            let name = format!("system:node:{}", HollowNode(at).name());
            server.local(User::new(name, vec!["system:nodes".to_owned()])).named("kubelet")
        };
        Self((0..count).map(service).collect())
    }

    /// Creates an object. Gives it as it was stored.
    pub(super) async fn create(
        &self,
        node: HollowNode,
        path: &str,
        object: &Value,
    ) -> Result<Value, WriteError> {
        let answer = self.send(node, Method::POST, path, JSON, object).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Reads an object.
    pub(super) async fn get(&self, node: HollowNode, path: &str) -> Result<Value, WriteError> {
        let answer = self.send(node, Method::GET, path, JSON, &Value::Null).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Applies a merge patch.
    pub(super) async fn merge(
        &self,
        node: HollowNode,
        path: &str,
        patch: &Value,
    ) -> Result<(), WriteError> {
        self.send(node, Method::PATCH, path, MERGE, patch).await.map(drop)
    }

    /// Applies a strategic merge patch.
    pub(super) async fn patch(
        &self,
        node: HollowNode,
        path: &str,
        patch: &Value,
    ) -> Result<(), WriteError> {
        self.send(node, Method::PATCH, path, STRATEGIC, patch).await.map(drop)
    }

    /// Deletes a pod for good, if it still is this very pod.
    pub(super) async fn remove(&self, node: HollowNode, pod: &Pod) -> Result<(), WriteError> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
            "preconditions": {"uid": pod.metadata.uid}});
        self.send(node, Method::DELETE, &pod_path(pod), JSON, &options).await.map(drop)
    }

    async fn send(
        &self,
        node: HollowNode,
        method: Method,
        path: &str,
        content: &str,
        body: &Value,
    ) -> Result<Bytes, WriteError> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::CONTENT_TYPE, content)
            .header(header::ACCEPT, JSON)
            .body(Full::<Bytes>::from(body))
            .expect("paths are made of names the API server has accepted");
        let answered = async {
            let Ok(response) = self.0[node.index()].clone().call(request).await;
            let code = response.status().as_u16();
            // What is in process does not break off.
            let body = response.into_body().collect().await;
            (code, body.map(http_body_util::Collected::to_bytes).unwrap_or_default())
        };
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok((200..300, body)) => Ok(body),
            Ok((code, body)) => {
                let status: Value = serde_json::from_slice(&body).unwrap_or_default();
                let message = status["message"].as_str().unwrap_or_default().to_owned();
                Err(WriteError::Refused { method, path: path.to_owned(), code, message })
            }
            Err(_) => Err(WriteError::Timeout { method, path: path.to_owned() }),
        }
    }
}

/// Where a pod is.
pub(super) fn pod_path(pod: &Pod) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", pod.metadata.namespace, pod.metadata.name)
}

/// Where a node is.
pub(super) fn node_path(node: HollowNode) -> String {
    format!("/api/v1/nodes/{}", node.name())
}
