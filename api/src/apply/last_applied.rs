//! The annotation of client-side apply, for objects that move to server-side apply.
//!
//! `kubectl apply` without `--server-side` keeps what it applied in an annotation. When `kubectl`
//! applies server-side for the first time, what it would take from others is no conflict as far as
//! the annotation says that it was applied by kubectl before; and as long as the annotation is
//! there, it is kept up to date for older clients.
//!
//! Source: k8s.io/apimachinery/pkg/util/managedfields/internal (lastappliedmanager,
//! lastappliedupdater).

use serde_json::Value;

use super::Change;
use super::compare::compare;
use super::config::{check, fields_of};
use super::conflict::Conflicts;
use super::place::Place;
use super::set::FieldSet;
use crate::field::Path;
use crate::meta;
use crate::resources::Resource;

/// The annotation.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The one manager for which this is done.
const KUBECTL: &str = "kubectl";

/// The conflicts that are left.
pub(super) fn unexpected<'m>(
    resource: &Resource,
    live: &Value,
    conflicts: Conflicts<'m>,
    change: &Change<'_>,
) -> Conflicts<'m> {
    match expected(resource, live).filter(|_| change.manager == KUBECTL) {
        Some(expected) => conflicts.without(&expected),
        None => conflicts,
    }
}

/// What the annotation says kubectl has applied and nobody has changed since.
fn expected(resource: &Resource, live: &Value) -> Option<FieldSet> {
    let applied: Value = serde_json::from_str(annotation(live)?).ok()?;
    if applied["apiVersion"].as_str() != Some(&resource.api_version()) {
        return None;
    }
    let place = Place::of(resource);
    check(place, &applied).ok()?;
    let since = compare(place, &applied, live);
    Some(fields_of(place, &applied).difference(&since.written).difference(&since.removed))
}

fn annotation(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][LAST_APPLIED].as_str().filter(|text| !text.is_empty())
}

/// Writes the configuration into the annotation, if the object has it. An annotation that does not
/// fit any more goes.
pub(super) fn renew(object: &mut Value, config: &Value, change: &Change<'_>) {
    if change.manager != KUBECTL || annotation(object).is_none() {
        return;
    }
    let mut applied = config.clone();
    if let Some(Value::Object(annotations)) = applied["metadata"].get_mut("annotations") {
        annotations.remove(LAST_APPLIED);
    }
    let annotations = &mut object["metadata"]["annotations"];
    annotations[LAST_APPLIED] = format!("{applied}\n").into();
    let fits = meta::validate_annotations(annotations, &Path::root()).is_empty();
    if !fits && let Some(annotations) = annotations.as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
}
