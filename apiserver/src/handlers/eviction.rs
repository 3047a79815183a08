//! POST of an Eviction: a deletion that asks the pod's PodDisruptionBudget first.
//!
//! The pod gets the condition DisruptionTarget, so that its owner can tell an eviction from a
//! failure, and is then deleted as a DELETE with the Eviction's `deleteOptions` would.
//! Source: k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go.

use api::decode::Decoded;
use api::status::Status;
use http::StatusCode;
use serde_json::Value;

use super::delete::{self, DeleteOptions};
use super::fresh;
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::options::{Query, WriteOptions};
use crate::request::{Request, payload};
use crate::response::{Handled, json as answer, with_warnings};
use crate::writing::{self, Part, Write, judge_kind};

mod budget;

use budget::Verdict;

/// The versions in which an Eviction may come; the older one lives on in clients.
const VERSIONS: [&str; 2] = ["policy/v1", "policy/v1beta1"];

/// Evicts a pod.
pub(super) async fn create(context: &Context, target: &Target, request: &mut Request) -> Handled {
    let options = WriteOptions::parse(request, &target.query, "CreateOptions")?;
    let decoded = payload::read_kind(request, (VERSIONS[0], "Eviction"), decode).await?;
    let warnings = judge_kind(("Eviction", "v1"), options.validation, decoded.problems)?;
    let eviction = decoded.object;
    if eviction["metadata"]["name"] != target.name.as_str() {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    crate::admission::removal_by_node(context, target, &request.user, "evict")?;
    let mut deletion = DeleteOptions::parse(target, &eviction["deleteOptions"])?;
    let pod: Value = fresh(context, target).await?.encoded().parse();
    deletion.check(target, &pod)?;
    if !budget::is_moot(&pod) {
        spend(context, target, &pod, &options, deletion.is_dry_run()).await?;
    }
    if !deletion.is_dry_run() {
        mark(context, target, &options, &deletion).await?;
        // The mark is a new version of the same pod.
        deletion.pin(pod["metadata"]["uid"].as_str().unwrap_or_default());
    }
    delete::one(context, target, &deletion).await?;
    let mut status = Status::success(None);
    status["code"] = 201.into();
    Ok(with_warnings(answer(StatusCode::CREATED, &status), &warnings))
}

/// The Eviction in either version.
fn decode(body: &[u8]) -> Result<Decoded, Status> {
    let given = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let given = given["apiVersion"].as_str().unwrap_or_default();
    let version = VERSIONS.into_iter().find(|version| *version == given).unwrap_or(VERSIONS[0]);
    api::decode::decode_as("policy.v1.Eviction", version, "Eviction", body)
}

/// Takes the disruption of the pod from the budget that covers it, if there is one.
///
/// # Errors
/// 429 with the cause DisruptionBudget when nothing is left, 500 when several budgets claim the pod.
async fn spend(
    context: &Context,
    target: &Target,
    pod: &Value,
    options: &WriteOptions,
    dry_run: bool,
) -> Result<(), Status> {
    let row = api::resources::by_path("policy", "v1", "poddisruptionbudgets");
    let Some(cache) = row.and_then(|row| context.cache(row)) else { return Ok(()) };
    let prefix = format!("{}/", target.namespace);
    let budgets: Vec<Value> = cache
        .now()
        .objects
        .from(&prefix)
        .take_while(|budget| budget.key().starts_with(&prefix))
        .map(|budget| budget.encoded().parse())
        .filter(|budget: &Value| budget::covers(budget, pod))
        .collect();
    let budget = match &budgets[..] {
        [] => return Ok(()),
        [budget] => budget,
        _ => return Err(budget::several()),
    };
    let name = budget["metadata"]["name"].as_str().unwrap_or_default();
    let budget = Target {
        resource: cache.resource().clone(),
        cache: cache.clone(),
        namespace: target.namespace.clone(),
        name: name.to_owned(),
        query: Query::parse(""),
    };
    let options = WriteOptions { dry_run, ..options.clone() };
    let write = Write::new(Part::Raw, &options);
    writing::change(context, &budget, write, |current| match budget::judge(current, pod, now())? {
        Verdict::Free => Ok(current.clone()),
        Verdict::Spent(changed) => Ok(changed),
    })
    .await?;
    Ok(())
}

/// Tells the pod's owner why it ends.
async fn mark(
    context: &Context,
    target: &Target,
    options: &WriteOptions,
    deletion: &DeleteOptions,
) -> Result<(), Status> {
    let write = Write::new(Part::Raw, options);
    writing::change(context, target, write, |current| {
        deletion.check(target, current)?;
        let mut marked =
            api::pod::disrupted(current, "EvictionByEvictionAPI", "Eviction API: evicting", now());
        // Whichever version of the pod is current, it is this pod that goes.
        api::meta::remove(&mut marked["metadata"], "resourceVersion");
        Ok(marked)
    })
    .await?;
    Ok(())
}
