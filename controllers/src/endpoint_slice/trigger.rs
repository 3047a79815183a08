//! Since when endpoints have to be written: annotation `endpoints.kubernetes.io/last-change-trigger-time`.
//!
//! It says when the first of the changes happened that a write carries: a pod became ready or
//! unready, or the Service was made. Who measures how long it takes until a proxy has heard of it
//! begins there. A write for another reason carries none. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

/// Name of the annotation.
const ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The last changes of one Service that were told.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    service: Option<Timestamp>,
    pods: HashMap<String, Timestamp>,
}

impl Told {
    /// The earliest of the changes that were not told yet; from now on they are.
    pub(super) fn earliest(&mut self, service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
        let mut told = Self {
            service: service.metadata.creation_timestamp.as_ref().map(|t| t.0),
            pods: HashMap::new(),
        };
        for pod in pods {
            let ready = api::pod::condition(pod, "Ready");
            if let Some(since) = ready.and_then(|c| c.last_transition_time.as_ref()) {
                told.pods.insert(pod.name_any(), since.0);
            }
        }
        let is_news = |at: Timestamp, before: Option<Timestamp>| before.is_none_or(|b| at > b);
        let of_pods = told
            .pods
            .iter()
            .filter(|(name, at)| is_news(**at, self.pods.get(name.as_str()).copied()));
        let of_service = told.service.filter(|at| is_news(*at, self.service));
        let earliest = of_pods.map(|(_, at)| *at).chain(of_service).min();
        *self = told;
        earliest
    }
}

/// Writes the time into an object's annotations, or takes an older one away.
pub(super) fn stamp(metadata: &mut ObjectMeta, at: Option<Timestamp>) {
    if let Some(at) = at {
        let annotations = metadata.annotations.get_or_insert_with(BTreeMap::new);
        annotations.insert(ANNOTATION.to_owned(), at.to_string());
    } else if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(ANNOTATION);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_earliest_change_is_told_once() {
        let at = |second: i64| Timestamp::from_second(1_767_225_600 + second).unwrap();
        let service = |made: i64| -> Service {
            serde_json::from_value(json!({"metadata": {"creationTimestamp": at(made)}})).unwrap()
        };
        let pod = |(name, since): &(&str, i64)| -> Arc<Pod> {
            let ready =
                json!({"type": "Ready", "status": "True", "lastTransitionTime": at(*since)});
            let status = json!({"conditions": [ready]});
            let pod = json!({"metadata": {"name": name}, "status": status});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        let mut told = Told::default();
        for (case, made, pods, want) in [
            ("made", 1, vec![], Some(1)),
            ("nothing new", 1, vec![], None),
            ("two pods", 1, vec![("a", 5), ("b", 4)], Some(4)),
            ("nothing new again", 1, vec![("a", 5), ("b", 4)], None),
            ("one changed", 1, vec![("a", 5), ("b", 9)], Some(9)),
            ("one gone", 1, vec![("b", 9)], None),
            ("one is back", 1, vec![("a", 5), ("b", 9)], Some(5)),
            ("made anew", 12, vec![("a", 14)], Some(12)),
        ] {
            let pods: Vec<_> = pods.iter().map(pod).collect();
            assert_eq!(told.earliest(&service(made), &pods), want.map(at), "{case}");
        }
    }

    #[test]
    fn a_stamp_is_set_and_taken_away() {
        let mut metadata = ObjectMeta::default();
        stamp(&mut metadata, None);
        assert_eq!(metadata, ObjectMeta::default());
        stamp(&mut metadata, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        let kept = json!({"annotations": {ANNOTATION: "2026-01-01T00:00:00Z"}});
        assert_eq!(serde_json::to_value(&metadata).unwrap(), kept);
        stamp(&mut metadata, None);
        assert_eq!(metadata.annotations, Some(BTreeMap::new()));
    }
}
