//! Which pods the scheduling task hears of.
//!
//! A pod that waits for another scheduler is nothing to this one until it is bound; of a pod that is gone
//! only who it was. Neither is read as a whole.

use std::borrow::Cow;
use std::sync::Arc;

use client::{Event, Raw};
use k8s_openapi::api::core::v1::Pod;
use memchr::memmem::Finder;
use serde::Deserialize;
use tracing::warn;

use super::{Heard, read};
use crate::pod::{PodInfo, PodUid};

/// Knows the pods that matter here: those on nodes, and those that name one of the schedulers.
pub(super) struct Ours {
    schedulers: Vec<String>,
    /// How the text of most such pods says so.
    marks: Vec<Finder<'static>>,
}

impl Ours {
    pub(super) fn new<'a>(schedulers: impl Iterator<Item = &'a str>) -> Self {
        let schedulers: Vec<String> = schedulers.map(str::to_owned).collect();
        let mark =
            |name: &String| Finder::new(&format!("\"schedulerName\":\"{name}\"")).into_owned();
        Self { marks: schedulers.iter().map(mark).collect(), schedulers }
    }

    /// What an event means to the scheduling task.
    pub(super) fn translate(&self, event: Event) -> Option<Heard> {
        match event {
            Event::Listed(list) => {
                let pods = list.iter().filter_map(|pod| self.read(pod));
                Some(Heard::Pods(pods.collect()))
            }
            Event::Applied(pod) => self.read(&pod).map(Heard::Pod),
            Event::Deleted(pod) => uid(&pod).map(Heard::PodGone),
        }
    }

    fn read(&self, pod: &Raw) -> Option<Arc<PodInfo>> {
        self.has(pod).then(|| Some(Arc::new(PodInfo::read(&read::<Pod>(pod)?)?))).flatten()
    }

    fn has(&self, pod: &Raw) -> bool {
        #[derive(Deserialize)]
        struct Pod<'a> {
            #[serde(borrow)]
            spec: Spec<'a>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Spec<'a> {
            #[serde(borrow)]
            node_name: Option<Cow<'a, str>>,
            #[serde(borrow)]
            scheduler_name: Option<Cow<'a, str>>,
        }
        // In a string the quotes would be escaped: this is the field.
        if self.marks.iter().any(|mark| mark.find(pod.bytes()).is_some()) {
            return true;
        }
        let Ok(Pod { spec: Spec { node_name, scheduler_name } }) =
            serde_json::from_slice::<Pod<'_>>(pod.bytes())
        else {
            // Reading it will say what is wrong.
            return true;
        };
        let name = scheduler_name.unwrap_or_default();
        node_name.is_some_and(|node| !node.is_empty()) || self.schedulers.iter().any(|n| *n == name)
    }
}

fn uid(pod: &Raw) -> Option<PodUid> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        uid: String,
    }
    match serde_json::from_slice::<Object>(pod.bytes()) {
        Ok(object) => Some(PodUid(object.metadata.uid.into())),
        Err(error) => {
            warn!(%error, "ignoring a deleted pod that cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn raw(pod: &Value) -> Raw {
        Raw::new(pod.to_string().into())
    }

    #[test]
    fn pods_of_others_matter_once_they_are_bound() {
        let ours = Ours::new(["ours", "too"].into_iter());
        for (spec, matters) in [
            (json!({"schedulerName": "ours"}), true),
            (json!({"schedulerName": "too"}), true),
            (json!({"schedulerName": "tool"}), false),
            (json!({"schedulerName": "ours", "nodeName": "n"}), true),
            (json!({"schedulerName": "theirs", "nodeName": "n"}), true),
            (json!({"schedulerName": "theirs", "nodeName": ""}), false),
            (json!({}), false),
        ] {
            let mut pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec});
            pod["spec"]["containers"] = json!([]);
            let heard = ours.translate(Event::Applied(raw(&pod)));
            assert_eq!(matches!(heard, Some(Heard::Pod(_))), matters, "{pod}");
            let Some(Heard::Pods(listed)) = ours.translate(Event::Listed(vec![raw(&pod)])) else {
                panic!("a list is heard as one");
            };
            assert_eq!(listed.len(), usize::from(matters), "{pod}");
            // The text may have blanks, and say what only looks like it.
            pod["metadata"]["annotations"] = json!({"a": "\"schedulerName\":\"ours\""});
            let text = serde_json::to_string_pretty(&pod).unwrap();
            let heard = ours.translate(Event::Applied(Raw::new(text.into())));
            assert_eq!(matches!(heard, Some(Heard::Pod(_))), matters, "{pod}");
        }
    }

    #[test]
    fn a_pod_that_is_gone_is_known_by_its_uid() {
        let ours = Ours::new(["ours"].into_iter());
        let pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": []}});
        let heard = ours.translate(Event::Deleted(raw(&pod)));
        assert!(matches!(heard, Some(Heard::PodGone(uid)) if &*uid.0 == "u"));
        assert!(ours.translate(Event::Deleted(raw(&json!({"metadata": {}})))).is_none());
    }
}
