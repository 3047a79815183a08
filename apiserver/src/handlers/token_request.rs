//! POST of a TokenRequest to `/token` of a ServiceAccount: a token for whoever runs as it.
//! Source: k8s.io/kubernetes/pkg/registry/core/serviceaccount/storage/token.go.

use api::resources::{GroupKind, GroupResource};
use api::status::Status;
use api::strategy::{default_token_request, validate_token_request};
use http::StatusCode;
use serde_json::Value;

use super::fresh;
use crate::authn::{self, Bound, Grant, Subject};
use crate::context::{Context, now, uuid};
use crate::dispatch::Target;
use crate::request::options::{Query, WriteOptions};
use crate::request::{Request, payload};
use crate::response::{Handled, json as answer, with_warnings};
use crate::user::User;
use crate::writing::judge_kind;

/// What is posted.
const KIND: &str = "TokenRequest";
/// The group and version of the kind.
const VERSION: &str = "authentication.k8s.io/v1";

/// Makes a token.
pub(super) async fn create(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "CreateOptions")?;
    let decoded = payload::read_kind(request, (VERSION, KIND), |body| {
        api::decode::decode_as("authentication.v1.TokenRequest", VERSION, KIND, body)
    })
    .await?;
    let warnings = judge_kind((KIND, "v1"), options.validation, decoded.problems)?;
    let mut wanted = decoded.object;
    default_token_request(&mut wanted);
    let account: Value = fresh(context, target).await?.encoded().parse();
    check_names(&mut wanted, target)?;
    let errors = validate_token_request(&wanted);
    if !errors.is_empty() {
        let kind = GroupKind::new("authentication.k8s.io", "TokenRequest");
        return Err(Status::invalid(&kind, "", &errors));
    }
    let bound = bind(context, target, &wanted["spec"]["boundObjectRef"], &request.user).await?;
    if wanted["spec"]["audiences"].as_array().is_none_or(Vec::is_empty) {
        wanted["spec"]["audiences"] = [context.issuer.url.as_str()].as_slice().into();
    }
    let audiences = wanted["spec"]["audiences"].as_array().into_iter().flatten();
    let audiences = audiences.filter_map(Value::as_str).map(str::to_owned).collect();
    let time = now();
    let seconds = wanted["spec"]["expirationSeconds"].as_i64().unwrap_or(0);
    let grant = Grant {
        issuer: context.issuer.url.clone(),
        audiences,
        id: uuid(),
        namespace: target.namespace.clone(),
        account: subject(&account),
        bound,
        now: time.as_second(),
        seconds,
    };
    let expires = time.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(time);
    wanted["metadata"]["creationTimestamp"] = api::meta::time(time).into();
    wanted["status"] = serde_json::json!({
        "token": authn::issue(&context.issuer, &grant),
        "expirationTimestamp": api::meta::time(expires),
    });
    Ok(with_warnings(answer(StatusCode::CREATED, &wanted), &warnings))
}

fn subject(object: &Value) -> Subject {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    Subject { name: text("name"), uid: text("uid") }
}

/// Name and namespace are those of the account, whether the request says so or not.
fn check_names(wanted: &mut Value, target: &Target) -> Result<(), Status> {
    api::meta::ensure(wanted);
    for (field, want) in [("name", &target.name), ("namespace", &target.namespace)] {
        let given = wanted["metadata"][field].as_str().unwrap_or_default();
        if !given.is_empty() && given != want {
            return Err(Status::bad_request(format!(
                "metadata.{field}: {} does not match the service account's, {}",
                api::field::go_quote(given),
                api::field::go_quote(want)
            )));
        }
        wanted["metadata"][field] = want.as_str().into();
    }
    Ok(())
}

/// What the token is to be bound to.
///
/// # Errors
/// 404 and 409 for an object that is not there or not the one meant, 400 for a kind that tokens
/// cannot be bound to and for a pod of another account, 403 for a node that asks for others.
async fn bind(
    context: &Context,
    target: &Target,
    reference: &Value,
    user: &User,
) -> Result<Bound, Status> {
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let (kind, version, uid) = (text("kind"), text("apiVersion"), text("uid"));
    let node = user.name().strip_prefix("system:node:").filter(|_| user.is_in("system:nodes"));
    if node.is_some() && (kind != "Pod" || uid.is_empty()) {
        let why =
            if kind == "Pod" { "with a pod binding without a uid" } else { "not bound to a pod" };
        return Err(forbidden(target, &format!("node requested token {why}")));
    }
    if reference.is_null() {
        return Ok(Bound::Account);
    }
    let plural = match (version, kind) {
        ("v1", "Pod") => "pods",
        ("v1", "Secret") => "secrets",
        ("v1", "Node") => "nodes",
        _ => {
            let message = format!(
                "cannot bind token for serviceaccount to object of type {version}, Kind={kind}"
            );
            return Err(Status::bad_request(message));
        }
    };
    let object = look(context, target, plural, text("name")).await?;
    let found = subject(&object);
    if !uid.is_empty() && uid != found.uid {
        let detail = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record ({}). \
             The object might have been deleted and then recreated",
            found.uid
        );
        let resource = GroupResource::new("", kind.to_owned());
        return Err(Status::conflict(&resource, &found.name, &detail));
    }
    match kind {
        "Secret" => return Ok(Bound::Secret(found)),
        "Node" => return Ok(Bound::Node(found)),
        _ => {}
    }
    let spec = |field: &str| object["spec"][field].as_str().unwrap_or_default();
    if spec("serviceAccountName") != target.name {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
            api::field::go_quote(&target.name)
        )));
    }
    if node.is_some_and(|node| node != spec("nodeName")) {
        let detail = "node requested token bound to a pod scheduled on a different node";
        return Err(forbidden(target, detail));
    }
    let on = context.core("nodes").get(spec("nodeName"));
    Ok(Bound::Pod(found, on.map(|node| subject(&node.encoded().parse()))))
}

fn forbidden(target: &Target, detail: &str) -> Status {
    Status::forbidden(&target.resource.group_resource(), &target.name, detail)
}

/// The object that a token is to be bound to, in the namespace of the account.
async fn look(
    context: &Context,
    target: &Target,
    plural: &str,
    name: &str,
) -> Result<Value, Status> {
    let cache = context.core(plural).clone();
    let namespaced = cache.resource().namespaced();
    let object = Target {
        resource: cache.resource().clone(),
        cache,
        namespace: if namespaced { target.namespace.clone() } else { String::new() },
        name: name.to_owned(),
        query: Query::parse(""),
    };
    Ok(fresh(context, &object).await?.encoded().parse())
}
