//! POST of what is answered and never stored: a question about somebody's identity or rights.

use api::status::Status;
use http::StatusCode;
use serde_json::{Value, json};

use super::{access_review, bind};
use crate::authn;
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::options::WriteOptions;
use crate::request::{Request, negotiate, payload};
use crate::response::{Handled, json as answer, with_warnings};
use crate::writing::{Part, Write, judge};

/// Answers the POST of a resource that stores nothing.
pub(crate) async fn create(context: &Context, target: &Target, request: &mut Request) -> Handled {
    if target.resource.kind == "Binding" {
        return bind(context, target, request).await;
    }
    let accept = request.header(http::header::ACCEPT);
    negotiate::accepted_without_columns(accept, target.has_protobuf())?;
    let options = WriteOptions::parse(request, &target.query, "CreateOptions")?;
    let decoded = payload::read_object(request, &target.resource).await?;
    let warnings = judge(&target.resource, options.validation, decoded.problems)?;
    let mut review = decoded.object;
    let namespace = target.resource.namespaced().then_some(target.namespace.as_str());
    api::lifecycle::check_namespace(&mut review, namespace)?;
    if target.resource.kind == "TokenReview" && spec_text(&review, "token").is_empty() {
        let message = "token is required for TokenReview in authentication";
        return Err(Status::bad_request(message));
    }
    // Which namespace is meant must be said, even if it makes no difference.
    let nowhere = spec_text(&review, "namespace").is_empty();
    if target.resource.kind == "SelfSubjectRulesReview" && nowhere {
        return Err(Status::bad_request("no namespace on request"));
    }
    let errors = target.resource.strategy.validate(&review);
    if !errors.is_empty() {
        return Err(Status::invalid(&target.resource.group_kind(), "", &errors));
    }
    let write = Write::new(Part::Main, &options);
    write.track(&target.resource, &Value::Null, &mut review);
    review["status"] = match &*target.resource.kind {
        "SelfSubjectReview" => {
            review["metadata"]["creationTimestamp"] = api::meta::time(now()).into();
            json!({"userInfo": request.user.info()})
        }
        "TokenReview" => token(context, &review["spec"]).await,
        "SelfSubjectRulesReview" => access_review::rules(context, &review["spec"], &request.user),
        kind => {
            let about_self = kind == "SelfSubjectAccessReview";
            access_review::access(context, &review["spec"], &request.user, about_self)
        }
    };
    Ok(with_warnings(answer(StatusCode::CREATED, &review), &warnings))
}

fn spec_text<'a>(review: &'a Value, field: &str) -> &'a str {
    review["spec"][field].as_str().unwrap_or_default()
}

/// The status of a TokenReview.
async fn token(context: &Context, spec: &Value) -> Value {
    let asked = spec["audiences"].as_array().into_iter().flatten();
    let mut audiences: Vec<String> = asked.filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(context.issuer.url.clone());
    }
    let token = spec["token"].as_str().unwrap_or_default();
    match authn::check(context, token, &audiences).await {
        Ok(known) => json!({
            "authenticated": true, "user": known.user.info(), "audiences": known.audiences,
        }),
        Err(error) => json!({"user": {}, "error": error.to_string()}),
    }
}
