//! Binds through the API.

use std::sync::Arc;

use kube::Client;

use crate::bind;
use crate::framework::{Bind, Work};
use crate::pod::PodInfo;

/// Binds every pod by its `binding` subresource.
#[derive(Debug)]
pub struct DefaultBinder;

impl Bind for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }

    fn bind(&self, pod: &Arc<PodInfo>, node: &Arc<str>, client: &Client) -> Option<Work> {
        let (pod, node, client) = (pod.clone(), node.clone(), client.clone());
        Some(Box::pin(async move { bind::bind(&client, &pod, &node).await }))
    }
}
