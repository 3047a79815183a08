//! What a Job's policies say about a failed pod, and whether enough indexes have succeeded.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy> and
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy>.

use api::pod as pods;
use k8s_openapi::api::batch::v1::{
    Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;

use super::facts::{completions, is_failed, spec};
use super::indexes::Indexes;

/// What follows from a pod's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It counts against the limits.
    Counts,
    /// It never happened.
    Ignored,
    /// Its index will not be tried again.
    FailsIndex,
    /// The Job has failed; the text says why.
    FailsJob(String),
}

/// Judges a failed pod by the first rule that matches.
pub(super) fn judge(job: &Job, pod: &Pod) -> Failure {
    let policy = spec(job).and_then(|s| s.pod_failure_policy.as_ref());
    let rules = policy.map(|policy| policy.rules.as_slice()).unwrap_or_default();
    for (n, rule) in rules.iter().enumerate() {
        let Some(why) = matched(rule, pod) else { continue };
        return match rule.action.as_str() {
            "Ignore" => Failure::Ignored,
            "FailIndex" => Failure::FailsIndex,
            "FailJob" => {
                Failure::FailsJob(format!("{why} matching {} rule at index {n}", rule.action))
            }
            _ => Failure::Counts,
        };
    }
    Failure::Counts
}

/// Why the Job has to fail, when a pod's failure says so.
pub(super) fn job_failure<'a>(
    job: &Job,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Option<String> {
    let mut failed = pods.into_iter().filter(|pod| is_failed(job, pod));
    failed.find_map(|pod| match judge(job, pod) {
        Failure::FailsJob(why) => Some(why),
        _ => None,
    })
}

/// What of the pod the rule matches, in words.
fn matched(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    if let Some(codes) = &rule.on_exit_codes {
        let (container, code) = exit_code(codes, pod)?;
        return Some(format!("Container {container} for pod {name} failed with exit code {code}"));
    }
    let condition = condition(rule.on_pod_conditions.as_ref()?, pod)?;
    Some(format!("Pod {name} has condition {}", condition.type_))
}

fn exit_code<'a>(
    rule: &PodFailurePolicyOnExitCodesRequirement,
    pod: &'a Pod,
) -> Option<(&'a str, i32)> {
    let status = pod.status.as_ref()?;
    let failed = |container: &'a ContainerStatus| {
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let meant = rule.container_name.as_ref().is_none_or(|name| *name == container.name);
        let listed = rule.values.contains(&code) == (rule.operator == "In");
        (meant && listed && code != 0).then_some((container.name.as_str(), code))
    };
    let main = status.container_statuses.iter().flatten();
    main.chain(status.init_container_statuses.iter().flatten()).find_map(failed)
}

fn condition<'a>(
    patterns: &[PodFailurePolicyOnPodConditionsPattern],
    pod: &'a Pod,
) -> Option<&'a PodCondition> {
    patterns.iter().find_map(|pattern| {
        let wanted = pattern.status.as_deref().unwrap_or("True");
        pods::condition(pod, &pattern.type_).filter(|c| c.status == wanted)
    })
}

/// Which rule of the success policy is met, in words.
pub(super) fn success(job: &Job, succeeded: &Indexes) -> Option<String> {
    let policy = spec(job)?.success_policy.as_ref()?;
    let total = succeeded.total();
    let met = policy.rules.iter().position(|rule| match &rule.succeeded_indexes {
        Some(wanted) => {
            let wanted = Indexes::parse(wanted, completions(job).unwrap_or(0));
            let enough = rule.succeeded_count.unwrap_or(wanted.total());
            wanted.total() > 0 && succeeded.shared_with(&wanted) >= enough
        }
        None => rule.succeeded_count.is_some_and(|enough| total >= enough),
    });
    met.filter(|_| total > 0).map(|n| format!("Matched rules at index {n}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(spec: Value) -> Job {
        let mut value = json!({"spec": {"completions": 10, "template": {}}});
        for (field, given) in spec.as_object().unwrap() {
            value["spec"][field] = given.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn failed(container: &str, code: i32) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"},
            "status": {"phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True"}],
                "containerStatuses": [{"name": container, "image": "", "imageID": "",
                    "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code}}}]}}))
        .unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let codes = |action: &str, codes: Value| json!({"action": action, "onExitCodes": codes});
        let disrupted = |action: &str| {
            json!({"action": action,
                "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]})
        };
        let in_codes = |values: Value| json!({"operator": "In", "values": values});
        for (rules, code, wanted) in [
            (json!([]), 1, Failure::Counts),
            (json!([codes("Ignore", in_codes(json!([3])))]), 3, Failure::Ignored),
            (json!([codes("Ignore", in_codes(json!([3])))]), 4, Failure::Counts),
            (
                json!([codes("FailIndex", json!({"operator": "NotIn", "values": [3]}))]),
                4,
                Failure::FailsIndex,
            ),
            (
                json!([codes("Ignore", json!({"operator": "NotIn", "values": [3]}))]),
                0,
                Failure::Counts,
            ),
            (
                json!([codes(
                    "Ignore",
                    json!({"containerName": "other", "operator": "In", "values": [3]})
                )]),
                3,
                Failure::Counts,
            ),
            (
                json!([codes("Count", in_codes(json!([1]))), disrupted("Ignore")]),
                1,
                Failure::Counts,
            ),
            (
                json!([
                    codes("Count", in_codes(json!([1]))),
                    codes("FailJob", in_codes(json!([42])))
                ]),
                42,
                Failure::FailsJob(
                    "Container c for pod n/p failed with exit code 42 matching FailJob rule at \
                     index 1"
                        .to_owned(),
                ),
            ),
            (
                json!([disrupted("FailJob")]),
                1,
                Failure::FailsJob(
                    "Pod n/p has condition DisruptionTarget matching FailJob rule at index 0"
                        .to_owned(),
                ),
            ),
        ] {
            let job = job(json!({"podFailurePolicy": {"rules": rules}}));
            assert_eq!(judge(&job, &failed("c", code)), wanted, "{rules} with {code}");
        }
    }

    #[test]
    fn success_needs_the_indexes_or_the_number_of_a_rule() {
        for (rules, succeeded, met) in [
            (json!([{"succeededCount": 2}]), "1,5", Some(0)),
            (json!([{"succeededCount": 3}]), "1,5", None),
            (json!([{"succeededIndexes": "0-2"}]), "0-2,7", Some(0)),
            (json!([{"succeededIndexes": "0-2"}]), "0,1,7", None),
            (json!([{"succeededIndexes": "0-2", "succeededCount": 1}]), "2", Some(0)),
            (json!([{"succeededIndexes": "9"}, {"succeededCount": 1}]), "2", Some(1)),
            (json!([{"succeededCount": 0}]), "", None),
        ] {
            let job = job(json!({"successPolicy": {"rules": rules}}));
            let met = met.map(|n| format!("Matched rules at index {n}"));
            assert_eq!(success(&job, &Indexes::parse(succeeded, 10)), met, "{rules} {succeeded}");
        }
        assert_eq!(success(&job(json!({})), &Indexes::parse("1", 10)), None);
    }
}
