//! Who may ask what: the API server and administrators everything, others what the API server says.
//!
//! Others are whoever scrapes metrics: a user by certificate, or by token (a pod's account). They may
//! read `/metrics/…` with the right to `get` `nodes/metrics`, `/stats/…` with that to `get` `nodes/stats`.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/>.

use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};

use super::caller::{Caller, User};
use super::{Body, text};
use crate::context::Context;

/// How long the API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets a request through, or answers it.
pub(super) async fn check<B>(
    caller: &Caller,
    request: &Request<B>,
    context: &Context,
) -> Result<(), Box<Response<Body>>> {
    if *caller == Caller::Trusted {
        return Ok(());
    }
    let asked = subresource(request.method(), request.uri().path());
    let (user, subresource) = match (caller, asked) {
        (Caller::User(user), Some(subresource)) => (user.clone(), subresource),
        (Caller::Unknown, asked) => {
            let token = bearer(request).ok_or_else(unauthorized)?;
            let user = owner(context, token).await?.ok_or_else(unauthorized)?;
            (user, asked.ok_or_else(forbidden)?)
        }
        _ => return Err(forbidden()),
    };
    if may(context, &user, subresource).await? {
        return Ok(());
    }
    let message = format!(
        "Forbidden (user={}, verb=get, resource=nodes, subresource={subresource})",
        user.name
    );
    Err(Box::new(text(StatusCode::FORBIDDEN, message)))
}

/// The part of a node that a request reads, if others than the API server may have the right to.
fn subresource(method: &Method, path: &str) -> Option<&'static str> {
    let first = path.split('/').nth(1).unwrap_or_default();
    ["metrics", "stats"].into_iter().find(|known| *method == Method::GET && first == *known)
}

fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whose token it is; none if it is nobody's.
async fn owner(context: &Context, token: &str) -> Result<Option<User>, Box<Response<Body>>> {
    let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let api = Api::<TokenReview>::all(context.client.clone());
    let status = answered(api.create(&PostParams::default(), &review)).await?.status;
    let known = status.filter(|status| status.authenticated == Some(true));
    let user = known.and_then(|status| status.user).unwrap_or_default();
    let groups = user.groups.unwrap_or_default();
    Ok(user.username.map(|name| User { name, groups }))
}

async fn may(
    context: &Context,
    user: &User,
    subresource: &str,
) -> Result<bool, Box<Response<Body>>> {
    let attributes = ResourceAttributes {
        verb: Some("get".to_owned()),
        version: Some("v1".to_owned()),
        resource: Some("nodes".to_owned()),
        subresource: Some(subresource.to_owned()),
        name: Some(context.config.node_name.clone()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        groups: Some(user.groups.clone()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let api = Api::<SubjectAccessReview>::all(context.client.clone());
    let status = answered(api.create(&PostParams::default(), &review)).await?.status;
    Ok(status.is_some_and(|status| status.allowed))
}

/// What the API server says, in time.
async fn answered<T>(
    asked: impl Future<Output = kube::Result<T>>,
) -> Result<T, Box<Response<Body>>> {
    let why = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    tracing::debug!(why, "the API server did not say who may read what");
    let message = "the API server did not say whether this may be read; try again";
    Err(Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, message)))
}

fn unauthorized() -> Box<Response<Body>> {
    Box::new(text(StatusCode::UNAUTHORIZED, "Unauthorized"))
}

fn forbidden() -> Box<Response<Body>> {
    let message = "Forbidden: only the API server and administrators are served here";
    Box::new(text(StatusCode::FORBIDDEN, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_be_permitted() {
        for (method, path, want) in [
            (Method::GET, "/metrics/resource", Some("metrics")),
            (Method::GET, "/stats/summary", Some("stats")),
            (Method::POST, "/stats/summary", None),
            (Method::GET, "/statsx/summary", None),
            (Method::GET, "/pods", None),
            (Method::GET, "/exec/a/b/c", None),
            (Method::GET, "", None),
        ] {
            assert_eq!(subresource(&method, path), want, "{method} {path}");
        }
    }

    #[test]
    fn tokens_are_taken_from_the_header() {
        let with = |value: &str| Request::get("/").header("authorization", value).body(()).unwrap();
        assert_eq!(bearer(&with("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&with("bearer  abc ")), Some("abc"));
        for wrong in ["Basic abc", "Bearer", "Bearer  "] {
            assert_eq!(bearer(&with(wrong)), None, "{wrong}");
        }
        assert_eq!(bearer(&Request::get("/").body(()).unwrap()), None);
    }
}
