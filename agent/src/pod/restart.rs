//! When a container is started again after it ended: as the first of its rules says that fits its exit
//! code, else as its own policy does, else as its pod's.
//!
//! Source: KEP-5307; k8s.io/kubernetes/pkg/api/v1/pod (ContainerShouldRestart).

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule};

use super::model::RestartPolicy;

/// What a container's end leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restart {
    policy: RestartPolicy,
    rules: Vec<Rule>,
}

/// Exit codes after which the container is started again, whatever its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    codes: Vec<i32>,
    /// All codes but these.
    inverted: bool,
}

impl Restart {
    /// Of a container that says nothing itself.
    pub(crate) fn by(policy: RestartPolicy) -> Self {
        Self { policy, rules: Vec::new() }
    }

    /// Of a container in a pod with that policy. Rules count only beside a policy of the container's own.
    pub(crate) fn of(container: &Container, pod: RestartPolicy) -> Self {
        let Some(own) = container.restart_policy.as_deref().and_then(RestartPolicy::named) else {
            return Self::by(pod);
        };
        let rules = container.restart_policy_rules.iter().flatten().filter_map(Rule::of);
        Self { policy: own, rules: rules.collect() }
    }

    /// Whether the container is started again after it ended with `code`.
    pub(crate) fn follows(&self, code: i32) -> bool {
        self.rules.iter().any(|rule| rule.fits(code)) || self.policy.restarts(code)
    }
}

impl Rule {
    /// A rule that restarts the container alone is the only kind that this node knows.
    fn of(rule: &ContainerRestartRule) -> Option<Self> {
        let codes = rule.exit_codes.as_ref().filter(|_| rule.action == "Restart")?;
        let inverted = codes.operator == "NotIn";
        Some(Self { codes: codes.values.clone().unwrap_or_default(), inverted })
    }

    fn fits(&self, code: i32) -> bool {
        self.codes.contains(&code) != self.inverted
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::RestartPolicy::{Always, Never, OnFailure};
    use super::*;

    #[test]
    fn rules_go_before_policies_and_the_container_before_its_pod() {
        let rule = |operator: &str| json!([{"action": "Restart", "exitCodes": {"operator": operator, "values": [42, 43]}}]);
        let cases = [
            (Always, Value::Null, Value::Null, 0, true),
            (OnFailure, Value::Null, Value::Null, 0, false),
            (Never, Value::Null, Value::Null, 1, false),
            (Never, json!("OnFailure"), Value::Null, 1, true),
            (Never, json!("OnFailure"), Value::Null, 0, false),
            (Always, json!("Never"), Value::Null, 1, false),
            (Never, json!("Never"), rule("In"), 43, true),
            (Never, json!("Never"), rule("In"), 1, false),
            (Never, json!("Never"), rule("NotIn"), 1, true),
            (Never, json!("Never"), rule("NotIn"), 42, false),
            (Never, Value::Null, rule("In"), 42, false),
        ];
        for (pod, own, rules, code, wanted) in cases {
            let text = format!("{pod:?} {own} {rules} {code}");
            let container = json!({"name": "c", "restartPolicy": own, "restartPolicyRules": rules});
            let container: Container = serde_json::from_value(container).unwrap();
            assert_eq!(Restart::of(&container, pod).follows(code), wanted, "{text}");
        }
    }
}
