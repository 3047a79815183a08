//! What a pod's entries in `spec.resourceClaims` lack: claims to make, names to write down, and
//! reservations for a pod that came to its node without the scheduler. Pure.

use std::sync::Arc;

use api::resource_claim::{self, Named};
use k8s_openapi::api::core::v1::{Pod, PodResourceClaim};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::workload::claim::reference;

/// Annotation of a claim that was made from a template: the name of the pod's entry it is for.
pub(super) const POD_CLAIM_NAME: &str = "resource.kubernetes.io/pod-claim-name";

/// Bytes of a generated name before the random part: `-` and five letters follow, and the whole is a
/// DNS label.
const LONGEST_BASE: usize = 57;

/// What the cluster has.
pub(super) struct Known<'a> {
    /// A claim of the pod's namespace by its name.
    pub(super) claim: &'a dyn Fn(&str) -> Option<Arc<ResourceClaim>>,
    /// Claims whose controller is the pod.
    pub(super) owned: &'a [Arc<ResourceClaim>],
    /// The claim that was made for an entry of the pod and may not be seen yet.
    pub(super) made: &'a dyn Fn(&str) -> Option<String>,
    /// A template of the pod's namespace by its name.
    pub(super) template: &'a dyn Fn(&str) -> Option<Arc<ResourceClaimTemplate>>,
}

/// One thing to do for a pod.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Make this claim for the entry.
    Create { entry: String, claim: Box<ResourceClaim> },
    /// The entry has this claim; the pod's status does not say so.
    Tell { entry: String, claim: String },
    /// The pod uses this claim.
    Reserve { claim: String },
    /// The entry gets no claim for now, and why.
    Fail { entry: String, why: String },
}

/// What is to be done for a pod, in the order of its entries. What failed is last: with it the rest
/// has to wait.
pub(super) fn plan(pod: &Pod, known: &Known<'_>) -> Vec<Step> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for entry in resource_claim::entries(pod) {
        match provide(pod, entry, known) {
            Ok(step) => steps.extend(step),
            Err(why) => {
                steps.push(Step::Fail { entry: entry.name.clone(), why });
                return steps;
            }
        }
    }
    // The scheduler reserves for the pods it places.
    if api::pod::node_name(pod).is_some() {
        let used = resource_claim::entries(pod).filter_map(|entry| reserve(pod, entry, known));
        steps.extend(used);
    }
    steps
}

/// Sees to it that an entry has its claim.
fn provide(pod: &Pod, entry: &PodResourceClaim, known: &Known<'_>) -> Result<Option<Step>, String> {
    let made = (known.made)(&entry.name);
    match resource_claim::named(pod, entry) {
        Named::NotYet => {}
        Named::None | Named::Claim { own: false, .. } => return Ok(None),
        Named::Unsupported => {
            return Err(format!(
                "checking for claim before creating it: pod \"{}/{}\", spec.resourceClaim {:?}: \
                 none of the supported fields are set",
                pod.namespace().unwrap_or_default(),
                pod.name_any(),
                entry.name
            ));
        }
        Named::Claim { name, own: true } => {
            let there = (known.claim)(&name).is_some_and(|claim| is_for(&claim, pod));
            if there || made.as_ref() == Some(&name) {
                return Ok(None);
            }
        }
    }
    let Some(template) = &entry.resource_claim_template_name else { return Ok(None) };
    let mut owned = known.owned.iter().filter(|claim| {
        claim.metadata.deletion_timestamp.is_none()
            && claim.annotations().get(POD_CLAIM_NAME) == Some(&entry.name)
    });
    if let Some(claim) = owned.next().map(|claim| claim.name_any()).or(made) {
        return Ok(Some(Step::Tell { entry: entry.name.clone(), claim }));
    }
    let Some(template) = (known.template)(template) else {
        return Err(format!(
            "resource claim template {template:?}: resourceclaimtemplate.resource.k8s.io \
             {template:?} not found"
        ));
    };
    let claim = Box::new(claim_from(&template, pod, entry));
    Ok(Some(Step::Create { entry: entry.name.clone(), claim }))
}

fn reserve(pod: &Pod, entry: &PodResourceClaim, known: &Known<'_>) -> Option<Step> {
    let Named::Claim { name, own } = resource_claim::named(pod, entry) else { return None };
    let claim = (known.claim)(&name)?;
    let uid = pod.uid().unwrap_or_default();
    let wanted = (!own || is_for(&claim, pod))
        && resource_claim::is_allocated(&claim)
        && !resource_claim::is_reserved_for(&claim, &uid)
        && resource_claim::can_be_reserved(&claim);
    wanted.then_some(Step::Reserve { claim: name })
}

fn claim_from(
    template: &ResourceClaimTemplate,
    pod: &Pod,
    entry: &PodResourceClaim,
) -> ResourceClaim {
    let given = template.spec.metadata.clone().unwrap_or_default();
    let mut annotations = given.annotations.unwrap_or_default();
    annotations.insert(POD_CLAIM_NAME.to_owned(), entry.name.clone());
    ResourceClaim {
        metadata: ObjectMeta {
            generate_name: Some(base_name(&pod.name_any(), &entry.name)),
            annotations: Some(annotations),
            labels: given.labels,
            owner_references: Some(vec![reference(pod)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.spec.clone(),
        status: None,
    }
}

/// `<pod>-<entry>-`; of names that are too long for a label, both are cut in proportion.
fn base_name(pod: &str, entry: &str) -> String {
    let full = format!("{pod}-{entry}-");
    if full.len() <= LONGEST_BASE {
        return full;
    }
    // Names are ASCII.
    let cut = |name: &str| name.get(..name.len() * LONGEST_BASE / full.len()).map(str::to_owned);
    format!("{}-{}", cut(pod).unwrap_or_default(), cut(entry).unwrap_or_default())
}

fn is_for(claim: &ResourceClaim, pod: &Pod) -> bool {
    api::owner::is_controlled_by(&claim.metadata, &pod.uid().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
        serde_json::from_value(value).unwrap()
    }

    fn pod(statuses: Value, node: &str) -> Pod {
        object(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [], "nodeName": node,
                "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]},
            "status": {"resourceClaimStatuses": statuses}}))
    }

    fn claim(name: &str, owner: &str, status: Value) -> Arc<ResourceClaim> {
        Arc::new(object(json!({"metadata": {"name": name,
                "annotations": {POD_CLAIM_NAME: "gpu"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner,
                    "controller": true}]},
            "spec": {}, "status": status})))
    }

    /// The plan with these claims, a name that was made, and with or without the template.
    fn planned(
        pod: &Pod,
        claims: &[Arc<ResourceClaim>],
        made: Option<&str>,
        template: bool,
    ) -> Vec<Step> {
        let owned: Vec<_> = claims.iter().filter(|claim| is_for(claim, pod)).cloned().collect();
        let spec = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"x": "y"}},
            "spec": {"devices": {"requests": [{"name": "r"}]}}});
        let stored: Arc<ResourceClaimTemplate> =
            Arc::new(object(json!({"metadata": {"name": "t"}, "spec": spec})));
        let known = Known {
            claim: &|name| claims.iter().find(|claim| claim.name_any() == name).cloned(),
            owned: &owned,
            made: &|_| made.map(str::to_owned),
            template: &|_| template.then(|| stored.clone()),
        };
        plan(pod, &known)
    }

    fn tell(claim: &str) -> Step {
        Step::Tell { entry: "gpu".to_owned(), claim: claim.to_owned() }
    }

    #[test]
    fn a_pod_gets_the_claim_of_its_template() {
        let steps = planned(&pod(json!([]), ""), &[], None, true);
        let [Step::Create { entry, claim }] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!(entry, "gpu");
        assert_eq!(claim.metadata.generate_name.as_deref(), Some("p-gpu-"));
        assert_eq!(claim.labels()["a"], "b");
        assert_eq!(claim.annotations()["x"], "y");
        assert_eq!(claim.annotations()[POD_CLAIM_NAME], "gpu");
        let owner = &claim.owner_references()[0];
        assert_eq!((owner.kind.as_str(), owner.controller), ("Pod", Some(true)));
        assert_eq!(claim.spec.devices.as_ref().unwrap().requests.as_ref().unwrap().len(), 1);
    }

    #[test]
    fn what_was_made_is_told_and_not_made_twice() {
        let unknown = pod(json!([]), "");
        let mine = claim("mine", "u", json!({}));
        assert_eq!(planned(&unknown, std::slice::from_ref(&mine), None, true), [tell("mine")]);
        assert_eq!(planned(&unknown, &[], Some("mine"), true), [tell("mine")]);
        let told = pod(json!([{"name": "gpu", "resourceClaimName": "mine"}]), "");
        assert_eq!(planned(&told, &[mine], None, true), []);
        assert_eq!(planned(&told, &[], Some("mine"), true), [], "made, and not seen yet");
        let stranger = claim("mine", "another", json!({}));
        let again = planned(&told, &[stranger], None, true);
        assert!(matches!(again.as_slice(), [Step::Create { .. }]), "{again:?}");
        let lost = planned(&told, &[], None, true);
        assert!(matches!(lost.as_slice(), [Step::Create { .. }]), "{lost:?}");
        let needless = pod(json!([{"name": "gpu"}]), "");
        assert_eq!(planned(&needless, &[], None, true), []);
    }

    #[test]
    fn a_template_that_is_missing_is_named() {
        let why = "resource claim template \"t\": resourceclaimtemplate.resource.k8s.io \"t\" \
                   not found";
        let failed = Step::Fail { entry: "gpu".to_owned(), why: why.to_owned() };
        assert_eq!(planned(&pod(json!([]), ""), &[], None, false), [failed]);
        let mut going = pod(json!([]), "");
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(planned(&going, &[], None, false), []);
    }

    #[test]
    fn a_pod_that_the_scheduler_did_not_place_reserves_what_is_allocated() {
        let statuses = json!([{"name": "gpu", "resourceClaimName": "mine"}]);
        let reserve = Step::Reserve { claim: "mine".to_owned() };
        let allocated = json!({"allocation": {}});
        let reserved = json!({"allocation": {}, "reservedFor": [
            {"resource": "pods", "name": "p", "uid": "u"}]});
        for (node, status, want) in [
            ("a", allocated.clone(), vec![reserve]),
            ("a", reserved, vec![]),
            ("a", json!({}), vec![]),
            ("", allocated, vec![]),
        ] {
            let claims = [claim("mine", "u", status.clone())];
            let steps = planned(&pod(statuses.clone(), node), &claims, None, true);
            assert_eq!(steps, want, "{node:?} {status}");
        }
    }

    #[test]
    fn long_names_are_cut_in_proportion() {
        assert_eq!(base_name("p", "c"), "p-c-");
        let long = base_name(&"p".repeat(200), &"c".repeat(50));
        assert_eq!(long, format!("{}-{}", "p".repeat(45), "c".repeat(11)));
        assert!(long.len() <= LONGEST_BASE);
        assert_eq!(base_name(&"p".repeat(53), "cc").len(), LONGEST_BASE);
    }
}
