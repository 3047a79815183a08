//! The way in for components of the same process: the handlers, without sockets, TLS or copies.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use api::discovery::KUBERNETES_VERSION;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http_body_util::BodyExt as _;

use super::body::Body;
use crate::context::Context;
use crate::dispatch::dispatch;
use crate::request::{BoxError, Request};
use crate::user::User;

/// A tower service that answers as the server does, for one user.
///
/// `kube::Client::new(server.local(user), "default")` makes a client of it.
#[derive(Clone)]
pub struct LocalService {
    context: Arc<Context>,
    user: User,
    agent: Option<HeaderValue>,
}

impl std::fmt::Debug for LocalService {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LocalService").field("user", &self.user).finish_non_exhaustive()
    }
}

impl LocalService {
    pub(super) fn new(context: Arc<Context>, user: User) -> LocalService {
        LocalService { context, user, agent: None }
    }

    /// The same way in, for a component that is called `name`: requests without a User-Agent get
    /// `name/VERSION`, and so what they write belongs to `name` in managedFields, as it does where the
    /// component is a program of its own (`kube-scheduler`, `kubelet`).
    #[must_use]
    pub fn named(mut self, name: &str) -> LocalService {
        self.agent = HeaderValue::from_str(&format!("{name}/{KUBERNETES_VERSION}")).ok();
        self
    }
}

impl<B> tower::Service<http::Request<B>> for LocalService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let context = self.context.clone();
        let (mut parts, body) = request.into_parts();
        if let Some(agent) = &self.agent {
            parts.headers.entry(header::USER_AGENT).or_insert_with(|| agent.clone());
        }
        let body = body.map_err(Into::into).boxed_unsync();
        let request = Request::new(parts, body, self.user.clone());
        Box::pin(async move { Ok(dispatch(context, request).await.map(Body::unjoined)) })
    }
}
