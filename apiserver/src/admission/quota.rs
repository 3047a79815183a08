//! Admission plugin ResourceQuota: what an object costs is taken from the quotas of its namespace
//! before it is stored.
//!
//! What a quota allows and what of it is used is in its status, which the quota controller keeps; a
//! quota that it has not looked at yet limits nothing. Here the cost is added at once, by
//! compare-and-set, so that two servers do not give the same rest away twice. If the object is not
//! stored after all, the controller finds too much counted and puts it right.
//! Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota; [`api::quota`] says what things cost.

use std::collections::{BTreeSet, HashMap};

use api::quota::{self, Amounts, amounts};
use api::status::Status;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::refuse;
use crate::context::Context;
use crate::dispatch::Target;
use crate::request::options::{Query, WriteOptions};
use crate::writing::{self, Part, Write};

/// The quotas of all namespaces.
#[derive(Debug, Default)]
pub(crate) struct Quotas(HashMap<String, Vec<Value>>);

impl Quotas {
    /// Reads the objects.
    pub(super) fn read(objects: &[Value]) -> Quotas {
        let mut quotas = Quotas::default();
        for quota in objects {
            let namespace = quota["metadata"]["namespace"].as_str().unwrap_or_default();
            quotas.0.entry(namespace.to_owned()).or_default().push(quota.clone());
        }
        quotas
    }

    fn of(&self, namespace: &str) -> &[Value] {
        self.0.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A quota by name, and what it is to pay.
type Bill = (String, Amounts);

/// Whether a change of a part of an object may cost more: that of a Service or a claim, and the resize of
/// a pod.
pub(crate) fn counts_change(target: &Target, part: Part) -> bool {
    let row = &target.resource;
    let plurals: &[&str] = match part {
        Part::Main => &["services", "persistentvolumeclaims"],
        Part::Status => &["persistentvolumeclaims"],
        Part::Subresource("resize") => &["pods"],
        _ => &[],
    };
    row.group.is_empty() && plurals.contains(&&*row.plural)
}

/// Takes what a new or changed object costs more than before from the quotas that cover it. `old`
/// is null for a new object.
///
/// Boxed, because a quota is changed as any object is, and a change may be charged.
///
/// # Errors
/// 403 for what exceeds a quota or does not say what the quota needs to know, and the store's.
pub(crate) fn charge<'a>(
    context: &'a Context,
    target: &'a Target,
    new: &'a Value,
    old: &'a Value,
    dry_run: bool,
) -> BoxFuture<'a, Result<(), Status>> {
    Box::pin(pay(context, target, new, old, dry_run))
}

async fn pay(
    context: &Context,
    target: &Target,
    new: &Value,
    old: &Value,
    dry_run: bool,
) -> Result<(), Status> {
    let quotas = context.admission.quotas.now();
    let quotas = quotas.of(&target.namespace);
    if quotas.is_empty() || !target.resource.namespaced() {
        return Ok(());
    }
    let bills = bills(quotas, target, new, old).map_err(|detail| refuse(target, new, &detail))?;
    if dry_run {
        return Ok(());
    }
    let cache = context.core("resourcequotas");
    for (name, more) in bills {
        let quota = Target {
            resource: cache.resource().clone(),
            cache: cache.clone(),
            namespace: target.namespace.clone(),
            name,
            query: Query::parse(""),
        };
        let options = WriteOptions::internal("kube-apiserver");
        let spent = writing::change(context, &quota, Write::new(Part::Raw, &options), |current| {
            spend(current, &more).map_err(|detail| refuse(target, new, &detail))
        });
        match spent.await {
            Ok(_) => {}
            // It has been taken away meanwhile.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

fn bills(quotas: &[Value], target: &Target, new: &Value, old: &Value) -> Result<Vec<Bill>, String> {
    let resource = target.resource.group_resource();
    let plural = if resource.group.is_empty() { &*resource.resource } else { "" };
    let cost = quota::usage(&resource, new);
    let before = if old.is_null() { Amounts::new() } else { quota::usage(&resource, old) };
    let mut bills = Vec::new();
    for quota in quotas.iter().filter(|quota| quota::covers(quota, plural, new)) {
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let hard = amounts(&quota["status"]["hard"]);
        if plural == "pods" {
            let limited: BTreeSet<String> = hard.keys().cloned().collect();
            let asked = quota::demands(&limited, new);
            asked.map_err(|missing| format!("failed quota: {name}: {missing}"))?;
        }
        // What was another quota's before is all new to this one.
        let had = quota::covers(quota, plural, old);
        let more = cost.iter().filter(|(name, _)| hard.contains_key(*name)).filter_map(
            |(name, amount)| {
                let before = before
                    .get(name)
                    .copied()
                    .filter(|_| had)
                    .unwrap_or(api::quantity::Quantity::ZERO);
                let more = *amount - before;
                (!more.is_zero() && !more.is_negative()).then(|| (name.clone(), more))
            },
        );
        let more: Amounts = more.collect();
        if more.is_empty() {
            continue;
        }
        quota::fits(name, &hard, &amounts(&quota["status"]["used"]), &more)?;
        bills.push((name.to_owned(), more));
    }
    Ok(bills)
}

/// The quota after it has paid.
fn spend(quota: &Value, more: &Amounts) -> Result<Value, String> {
    let name = quota["metadata"]["name"].as_str().unwrap_or_default();
    let (hard, mut used) = (amounts(&quota["status"]["hard"]), amounts(&quota["status"]["used"]));
    quota::fits(name, &hard, &used, more)?;
    quota::add(&mut used, more);
    let mut new = quota.clone();
    // Whichever version is current pays.
    api::meta::remove(&mut new["metadata"], "resourceVersion");
    let used = used.iter().map(|(name, amount)| (name.clone(), json!(amount.to_string())));
    new["status"]["used"] = Value::Object(used.collect());
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_pays_until_it_is_used_up() {
        let quota = json!({"metadata": {"name": "q", "resourceVersion": "7"},
            "status": {"hard": {"pods": "2", "cpu": "1"}, "used": {"pods": "1"}}});
        let more = amounts(&json!({"pods": "1", "cpu": "500m"}));
        let paid = spend(&quota, &more).unwrap();
        assert_eq!(paid["status"]["used"], json!({"pods": "2", "cpu": "500m"}));
        assert!(paid["metadata"]["resourceVersion"].is_null());
        assert_eq!(
            spend(&paid, &more),
            Err("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2".to_owned())
        );
    }
}
