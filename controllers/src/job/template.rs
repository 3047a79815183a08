//! The pod a Job creates from its template.
//!
//! Pods of an indexed Job know their index: by annotation and label, by host name (`job-3`) and by
//! the variable `JOB_COMPLETION_INDEX` of every container.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec};
use kube::ResourceExt;

use super::facts::{FAILURES, FINALIZER, IGNORED_FAILURES, INDEX, spec};
use crate::workload::template;

/// The variable of an indexed pod's containers.
const VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Characters of a name before the five that the API server adds to make it unique.
const LONGEST_PREFIX: usize = 58;

/// A pod that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its completion index; none in a Job that is not indexed.
    pub(super) index: Option<i32>,
    /// Failures of the index so far, counted and ignored; none without a limit per index.
    pub(super) failures: Option<(i32, i32)>,
}

/// The pod as it is to be created.
pub(super) fn pod(job: &Job, wanted: &Wanted) -> Pod {
    let name = job.name_any();
    let mut pod = match spec(job) {
        Some(spec) => template::pod(job, &spec.template),
        None => Pod::default(),
    };
    pod.metadata.generate_name = Some(prefix(&name, wanted.index));
    if !pod.finalizers().iter().any(|f| f == FINALIZER) {
        pod.finalizers_mut().push(FINALIZER.to_owned());
    }
    if let Some(index) = wanted.index {
        let (labels, annotations) = (&mut pod.metadata.labels, &mut pod.metadata.annotations);
        let mut annotate = |key: &str, number: i32| note(annotations, key, number);
        annotate(INDEX, index);
        if let Some((counted, ignored)) = wanted.failures {
            annotate(FAILURES, counted);
            if ignored > 0 {
                annotate(IGNORED_FAILURES, ignored);
            }
        }
        note(labels, INDEX, index);
        if let Some(spec) = &mut pod.spec {
            spec.hostname = Some(format!("{name}-{index}"));
            tell_containers(spec);
        }
    }
    pod
}

fn note(map: &mut Option<BTreeMap<String, String>>, key: &str, number: i32) {
    map.get_or_insert_default().insert(key.to_owned(), number.to_string());
}

/// `job-`, or `job-3-` shortened so that the index survives.
fn prefix(name: &str, index: Option<i32>) -> String {
    let end = index.map_or_else(|| "-".to_owned(), |index| format!("-{index}-"));
    // Names are ASCII.
    let kept = name.len().min(LONGEST_PREFIX.saturating_sub(end.len()));
    if index.is_none() { format!("{name}-") } else { format!("{}{end}", &name[..kept]) }
}

fn tell_containers(spec: &mut PodSpec) {
    let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
    for container in containers {
        let variables = container.env.get_or_insert_default();
        if variables.iter().any(|variable| variable.name == VARIABLE) {
            continue;
        }
        let field_ref = ObjectFieldSelector {
            api_version: None,
            field_path: format!("metadata.labels['{INDEX}']"),
        };
        let source = EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() };
        variables.push(EnvVar { name: VARIABLE.to_owned(), value: None, value_from: Some(source) });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job() -> Job {
        serde_json::from_value(json!({"metadata": {"name": "work", "namespace": "n", "uid": "u"},
            "spec": {"template": {"metadata": {"labels": {"a": "b"}, "finalizers": ["x.io/y"]},
                "spec": {"restartPolicy": "Never", "initContainers": [{"name": "i"}],
                    "containers": [{"name": "c", "env": [{"name": VARIABLE, "value": "mine"}]}]}}}}))
        .unwrap()
    }

    #[test]
    fn plain_pods_carry_the_finalizer_and_the_owner() {
        let pod = pod(&job(), &Wanted::default());
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("work-"));
        assert_eq!(pod.finalizers(), ["x.io/y", FINALIZER]);
        assert_eq!(pod.labels(), &BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        assert_eq!(pod.owner_references()[0].uid, "u");
        assert_eq!(pod.spec.unwrap().hostname, None);
    }

    #[test]
    fn indexed_pods_know_their_index() {
        let pod = pod(&job(), &Wanted { index: Some(3), failures: Some((2, 0)) });
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("work-3-"));
        assert_eq!(pod.labels()[INDEX], "3");
        assert_eq!(pod.annotations()[INDEX], "3");
        assert_eq!(pod.annotations()[FAILURES], "2");
        assert!(!pod.annotations().contains_key(IGNORED_FAILURES));
        let spec = serde_json::to_value(pod.spec.unwrap()).unwrap();
        assert_eq!(spec["hostname"], "work-3");
        let variables = |kind: &str| spec[kind][0]["env"].clone();
        assert_eq!(
            variables("initContainers"),
            json!([{"name": VARIABLE, "valueFrom": {"fieldRef":
                {"fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"}}}])
        );
        assert_eq!(variables("containers"), json!([{"name": VARIABLE, "value": "mine"}]));
    }

    #[test]
    fn the_index_survives_in_long_names() {
        assert_eq!(prefix(&"x".repeat(63), Some(12)), format!("{}-12-", "x".repeat(54)));
        assert_eq!(prefix("short", Some(12)), "short-12-");
    }
}
