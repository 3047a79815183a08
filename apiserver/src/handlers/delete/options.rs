//! What a deletion is told: DeleteOptions in the body, or as query parameters.
//!
//! kube-apiserver forgets the query as soon as there is a body, be it an empty object; here what
//! the body does not say is looked for in the query, so that nobody's `dryRun=All` deletes.

use api::field::{FieldError, Path};
use api::resources::{GroupKind, GroupResource};
use api::status::Status;
use serde::Deserialize;
use serde_json::Value;

use crate::dispatch::Target;
use crate::request::options::Query;
use crate::request::{Request, payload};

/// What to do with the object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// The parameters of a deletion, from the body and the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub(super) grace: Option<i64>,
    pub(super) propagation: Option<Propagation>,
    pub(super) uid: Option<String>,
    pub(super) version: Option<String>,
    pub(super) dry_run: bool,
}

/// DeleteOptions as they are written.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Sent {
    grace_period_seconds: Option<i64>,
    preconditions: Option<Preconditions>,
    orphan_dependents: Option<bool>,
    propagation_policy: Option<String>,
    dry_run: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the options; those in the body win.
    ///
    /// # Errors
    /// 400 for a body that is no DeleteOptions and a grace period that is no number, 422 for values
    /// that do not exist or contradict each other.
    pub(crate) async fn read(
        target: &Target,
        request: &mut Request,
    ) -> Result<DeleteOptions, Status> {
        let body = payload::read_options(request).await?;
        let sent = if body.is_empty() { Value::Null } else { api::decode::delete_options(&body)? };
        Self::parse(target, &sent)
    }

    /// Reads options that came as a part of something else; null is none.
    ///
    /// # Errors
    /// Those of [`DeleteOptions::read`].
    pub(crate) fn parse(target: &Target, sent: &Value) -> Result<DeleteOptions, Status> {
        Self::of(&target.query, sent)
    }

    fn of(query: &Query, sent: &Value) -> Result<DeleteOptions, Status> {
        let sent: Sent = match sent {
            Value::Null => Sent::default(),
            Value::Object(_) => Sent::deserialize(sent).map_err(|error| {
                Status::bad_request(format!("cannot read DeleteOptions: {error}"))
            })?,
            _ => return Err(Status::bad_request("DeleteOptions must be an object")),
        };
        let asked = |field: &str| Some(query.get(field).to_owned()).filter(|text| !text.is_empty());
        let policy = sent.propagation_policy.or_else(|| asked("propagationPolicy"));
        let orphan = sent.orphan_dependents.or_else(|| query.flag("orphanDependents"));
        let dry_run = sent.dry_run.unwrap_or_else(|| asked("dryRun").into_iter().collect());
        let grace = match sent.grace_period_seconds {
            Some(grace) => Some(grace),
            None => query.number("gracePeriodSeconds")?,
        };
        let propagation = check(policy.as_deref(), orphan, &dry_run)?;
        let preconditions = sent.preconditions.unwrap_or_default();
        Ok(DeleteOptions {
            // Less than nothing is a second (k8s.io/apiserver/pkg/registry/rest/delete.go).
            grace: grace.map(|grace| if grace < 0 { 1 } else { grace }),
            propagation,
            uid: preconditions.uid,
            version: preconditions.resource_version,
            dry_run: !dry_run.is_empty(),
        })
    }

    /// Whether everything but the deletion itself is wanted.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// From now on it is the object of that UID that is meant, in whatever version.
    pub(crate) fn pin(&mut self, uid: &str) {
        self.uid = Some(uid.to_owned());
        self.version = None;
    }

    /// Checks that the object is the one that is meant.
    ///
    /// # Errors
    /// 409 for another UID or resourceVersion than the preconditions ask for.
    pub(crate) fn check(&self, target: &Target, object: &Value) -> Result<(), Status> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        let (uid, version) = (text("uid"), text("resourceVersion"));
        if let Some(wanted) = self.uid.as_deref().filter(|wanted| *wanted != uid) {
            let kind = target.resource.group_kind();
            return Err(Status::uid_conflict(&kind, &target.name, wanted, uid));
        }
        if let Some(wanted) = self.version.as_deref().filter(|wanted| *wanted != version) {
            let kind = target.resource.group_kind();
            let resource = GroupResource::new(kind.group, kind.kind);
            return Err(Status::conflict(
                &resource,
                &target.name,
                &format!(
                    "the ResourceVersion in the precondition ({wanted}) does not match the \
                     ResourceVersion in record ({version}). The object might have been modified"
                ),
            ));
        }
        Ok(())
    }
}

/// What becomes of dependents, if anything was said about it
/// (k8s.io/apimachinery/pkg/apis/meta/v1/validation: ValidateDeleteOptions).
fn check(
    policy: Option<&str>,
    orphan: Option<bool>,
    dry_run: &[String],
) -> Result<Option<Propagation>, Status> {
    let mut errors = Vec::new();
    let path = Path::new("propagationPolicy");
    if let (Some(policy), Some(_)) = (policy, orphan) {
        let detail = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(&path, policy, detail));
    }
    let propagation = match (policy, orphan) {
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some(other), _) => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(&path, other, &supported));
            None
        }
        (None, None) => None,
    };
    if dry_run.iter().any(|stage| stage != "All") {
        errors.push(FieldError::not_supported(&Path::new("dryRun"), dry_run.to_vec(), &["All"]));
    }
    if errors.is_empty() {
        return Ok(propagation);
    }
    Err(Status::invalid(&GroupKind::new("meta.k8s.io", "DeleteOptions"), "", &errors))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(query: &str, sent: &Value) -> Result<DeleteOptions, Status> {
        DeleteOptions::of(&Query::parse(query), sent)
    }

    #[test]
    fn options_come_in_the_body_or_the_query() {
        let with = |propagation| DeleteOptions { propagation: Some(propagation), ..none() };
        fn none() -> DeleteOptions {
            DeleteOptions::default()
        }
        for (query, sent, want) in [
            ("", Value::Null, none()),
            ("", json!({}), none()),
            ("", json!({"kind": "DeleteOptions", "apiVersion": "apps/v1"}), none()),
            ("", json!({"propagationPolicy": null, "dryRun": null}), none()),
            ("propagationPolicy=Orphan", Value::Null, with(Propagation::Orphan)),
            ("propagationPolicy=Orphan", json!({}), with(Propagation::Orphan)),
            (
                "propagationPolicy=Orphan",
                json!({"propagationPolicy": "Foreground"}),
                with(Propagation::Foreground),
            ),
            ("orphanDependents=true", Value::Null, with(Propagation::Orphan)),
            ("", json!({"orphanDependents": false}), with(Propagation::Background)),
            ("dryRun=All", json!({}), DeleteOptions { dry_run: true, ..none() }),
            ("", json!({"dryRun": ["All", "All"]}), DeleteOptions { dry_run: true, ..none() }),
            ("gracePeriodSeconds=7", json!({}), DeleteOptions { grace: Some(7), ..none() }),
            (
                "gracePeriodSeconds=7",
                json!({"gracePeriodSeconds": 0}),
                DeleteOptions { grace: Some(0), ..none() },
            ),
            ("", json!({"gracePeriodSeconds": -9}), DeleteOptions { grace: Some(1), ..none() }),
            (
                "",
                json!({"preconditions": {"uid": "u", "resourceVersion": "7"}}),
                DeleteOptions { uid: Some("u".into()), version: Some("7".into()), ..none() },
            ),
        ] {
            assert_eq!(of(query, &sent), Ok(want), "{query} {sent}");
        }
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        let invalid = |detail: &str| format!("DeleteOptions.meta.k8s.io \"\" is invalid: {detail}");
        for (query, sent, want) in [
            (
                "",
                json!({"propagationPolicy": "Sideways"}),
                "propagationPolicy: Unsupported value: \"Sideways\": supported values: \
                 \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
            ),
            (
                "orphanDependents=true",
                json!({"propagationPolicy": "Orphan"}),
                "propagationPolicy: Invalid value: \"Orphan\": orphanDependents and \
                 deletionPropagation cannot be both set",
            ),
            (
                "",
                json!({"dryRun": ["All", "Some"]}),
                "dryRun: Unsupported value: [\"All\",\"Some\"]: supported values: \"All\"",
            ),
        ] {
            let status = of(query, &sent).expect_err("refused");
            assert_eq!((status.code, status.message), (422, invalid(want)), "{query} {sent}");
        }
        for (query, sent) in [
            ("", json!([])),
            ("", json!({"gracePeriodSeconds": "7"})),
            ("", json!({"dryRun": "All"})),
            ("", json!({"preconditions": {"uid": 7}})),
            ("gracePeriodSeconds=x", Value::Null),
        ] {
            assert_eq!(of(query, &sent).expect_err("refused").code, 400, "{query} {sent}");
        }
    }
}
