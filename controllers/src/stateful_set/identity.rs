//! What makes a pod of a StatefulSet itself: its ordinal, and with it name, labels and claims. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume};
use kube::ResourceExt;

use super::claims;
use crate::workload::history::REVISION_HASH;
use crate::workload::template;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The first ordinal.
pub(super) fn start(set: &StatefulSet) -> i32 {
    let ordinals = set.spec.as_ref().and_then(|spec| spec.ordinals.as_ref());
    ordinals.and_then(|ordinals| ordinals.start).unwrap_or(0)
}

/// How many pods it asks for.
pub(super) fn replicas(set: &StatefulSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).max(0)
}

/// Whether the set asks for a pod of this ordinal.
pub(super) fn is_wanted(set: &StatefulSet, ordinal: i32) -> bool {
    ordinal >= start(set) && ordinal - start(set) < replicas(set)
}

/// The name of the pod with an ordinal.
pub(super) fn name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.name_any())
}

/// The ordinal in a pod's name; none if it is not a name of this set's pods.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let (parent, ordinal) = pod.metadata.name.as_deref()?.rsplit_once('-')?;
    let digits = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    (digits && Some(parent) == set.metadata.name.as_deref()).then(|| ordinal.parse().ok())?
}

/// The name of the revision that a pod was made from.
pub(super) fn revision(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(REVISION_HASH).map(String::as_str)
}

/// The labels that a pod's ordinal gives it.
fn labels(set: &StatefulSet, ordinal: i32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (POD_NAME.to_owned(), name(set, ordinal)),
        (POD_INDEX.to_owned(), ordinal.to_string()),
    ])
}

/// Those of them that a pod lacks.
pub(super) fn missing_labels(
    set: &StatefulSet,
    pod: &Pod,
    ordinal: i32,
) -> BTreeMap<String, String> {
    let mut labels = labels(set, ordinal);
    labels.retain(|label, value| pod.labels().get(label) != Some(value));
    labels
}

/// The pod with an ordinal, from a revision's template.
pub(super) fn pod(
    set: &StatefulSet,
    template: &PodTemplateSpec,
    revision: &str,
    ordinal: i32,
) -> Pod {
    let mut pod = template::pod(set, template);
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(name(set, ordinal));
    let own = pod.metadata.labels.get_or_insert_default();
    own.extend(labels(set, ordinal));
    own.insert(REVISION_HASH.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname.clone_from(&pod.metadata.name);
    spec.subdomain = set
        .spec
        .as_ref()
        .and_then(|spec| spec.service_name.clone())
        .filter(|name| !name.is_empty());
    let templates = claims::templates(set);
    if !templates.is_empty() {
        // A claim replaces the volume of its name.
        let names: Vec<String> = templates.iter().map(|claim| claim.name_any()).collect();
        let volumes = spec.volumes.get_or_insert_default();
        volumes.retain(|volume| !names.contains(&volume.name));
        volumes.extend(names.into_iter().map(|name| Volume {
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claims::name(set, &name, ordinal),
                // Whether a volume is read-only is the mount's business.
                read_only: Some(false),
            }),
            name,
            ..Volume::default()
        }));
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set() -> StatefulSet {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "n", "uid": "1"},
            "spec": {"serviceName": "peers", "replicas": 2, "ordinals": {"start": 5},
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
                    "containers": [{"name": "c"}],
                    "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}}))
        .unwrap()
    }

    #[test]
    fn ordinals_are_read_from_names() {
        for (name, expected) in [
            ("web-0", Some(0)),
            ("web-17", Some(17)),
            ("web-", None),
            ("web--1", None),
            ("web-x", None),
            ("web-+1", None),
            ("webs-1", None),
            ("web-1-1", None),
            ("web-99999999999", None),
        ] {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            assert_eq!(ordinal(&set(), &pod), expected, "{name}");
        }
        let wanted: Vec<i32> = (0..10).filter(|ordinal| is_wanted(&set(), *ordinal)).collect();
        assert_eq!(wanted, [5, 6]);
    }

    #[test]
    fn a_pod_has_its_name_labels_and_claims() {
        let set = set();
        let template = set.spec.clone().unwrap().template;
        let mut pod = pod(&set, &template, "web-abc", 5);
        assert_eq!(pod.name_any(), "web-5");
        assert_eq!(pod.labels()["app"], "a");
        assert_eq!(pod.labels()["statefulset.kubernetes.io/pod-name"], "web-5");
        assert_eq!(pod.labels()["apps.kubernetes.io/pod-index"], "5");
        assert_eq!(revision(&pod), Some("web-abc"));
        let spec = pod.spec.clone().unwrap();
        assert_eq!(spec.hostname.as_deref(), Some("web-5"));
        assert_eq!(spec.subdomain.as_deref(), Some("peers"));
        let volumes = spec.volumes.unwrap();
        let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
        assert_eq!(names, ["tmp", "data"]);
        let claim = volumes[1].persistent_volume_claim.as_ref().unwrap();
        assert_eq!(claim.claim_name, "data-web-5");
        assert!(missing_labels(&set, &pod, 5).is_empty());
        pod.labels_mut().remove("apps.kubernetes.io/pod-index");
        assert_eq!(missing_labels(&set, &pod, 5).len(), 1);
    }
}
