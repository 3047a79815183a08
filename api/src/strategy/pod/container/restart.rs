//! When a container is restarted: after its end by its own policy and rules, and for other resources.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::field::{Errors, FieldError, Path};
use crate::strategy::pod::validate::Whole;

const POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
/// What a rule can do. To restart all of a pod has a name already, but is not switched on.
const ACTIONS: &[&str] = &["Restart"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const RULES: usize = 20;
const EXIT_CODES: usize = 255;
const RESIZED: &[&str] = &["cpu", "memory"];
const RESIZE_POLICIES: &[&str] = &["NotRequired", "RestartContainer"];

/// Checks the restart policy of an init container: a sidecar is always restarted.
pub(in crate::strategy::pod) fn validate_init(container: &Container, path: &Path) -> Errors {
    let rules = container.restart_policy_rules.as_ref().is_some_and(|rules| !rules.is_empty());
    match container.restart_policy.as_deref() {
        Some("Always") if rules => {
            let path = path.child("restartPolicyRules");
            let detail =
                "restartPolicyRules are not allowed for init containers with restart policy Always";
            vec![FieldError::forbidden(&path, detail)]
        }
        Some("Always") => Errors::new(),
        _ => validate(container, path),
    }
}

/// Checks the restart policy of a container and the rules that go before it.
pub(in crate::strategy::pod) fn validate(container: &Container, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    match container.restart_policy.as_deref() {
        None if !rules.is_empty() => {
            let detail = "must specify restartPolicy when restart rules are used";
            errors.push(FieldError::required(&path.child("restartPolicy"), detail));
        }
        Some(policy) if !POLICIES.contains(&policy) => {
            let path = path.child("restartPolicy");
            errors.push(FieldError::not_supported(&path, policy, POLICIES));
        }
        _ => {}
    }
    if rules.is_empty() {
        return errors;
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > RULES {
        errors.push(FieldError::too_many(&path, rules.len(), RULES));
    }
    for (n, rule) in rules.iter().enumerate() {
        let path = path.index(n);
        if !ACTIONS.contains(&rule.action.as_str()) {
            let path = path.child("action");
            errors.push(FieldError::not_supported(&path, rule.action.as_str(), ACTIONS));
        }
        let path = path.child("exitCodes");
        let Some(codes) = &rule.exit_codes else {
            errors.push(FieldError::required(&path, "must be specified"));
            continue;
        };
        if !OPERATORS.contains(&codes.operator.as_str()) {
            let path = path.child("operator");
            errors.push(FieldError::not_supported(&path, codes.operator.as_str(), OPERATORS));
        }
        let values = codes.values.as_deref().unwrap_or_default();
        if values.len() > EXIT_CODES {
            errors.push(FieldError::too_many(&path.child("values"), values.len(), EXIT_CODES));
        }
    }
    errors
}

/// Checks which changes of resources restart a container. Like Kubernetes, most paths leave out which
/// of the policies is meant.
pub(in crate::strategy::pod) fn validate_resize(
    container: &Container,
    whole: &Whole<'_>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let Some(policies) = &container.resize_policy else { return errors };
    let path = path.child("resizePolicy");
    let never = whole.spec.restart_policy.as_deref() == Some("Never");
    let mut seen = BTreeSet::new();
    for (n, policy) in policies.iter().enumerate() {
        let (resource, restart) = (policy.resource_name.as_str(), policy.restart_policy.as_str());
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(&path.index(n), resource));
        }
        super::choice(&mut errors, Some(resource), RESIZED, &path);
        super::choice(&mut errors, Some(restart), RESIZE_POLICIES, &path);
        if never && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(&path, restart, detail));
        }
    }
    errors
}

/// Whether a container is started again after it ended with `code`: as a rule of its own says that
/// fits, else its own policy, else that of its pod.
/// Source: k8s.io/kubernetes/pkg/api/v1/pod (ContainerShouldRestart).
pub(in crate::strategy::pod) fn restarts(spec: &PodSpec, container: &Container, code: i32) -> bool {
    let fits = |codes: &k8s_openapi::api::core::v1::ContainerRestartRuleOnExitCodes| {
        let named = codes.values.iter().flatten().any(|value| *value == code);
        if codes.operator == "In" { named } else { codes.operator == "NotIn" && !named }
    };
    let own = container.restart_policy.as_deref();
    let mut rules = container.restart_policy_rules.iter().flatten();
    if own.is_some() && rules.any(|rule| rule.exit_codes.as_ref().is_some_and(fits)) {
        return true;
    }
    match own.filter(|own| POLICIES.contains(own)).or(spec.restart_policy.as_deref()) {
        Some("Never") => false,
        Some("OnFailure") => code != 0,
        _ => true,
    }
}
