//! One version of an object as the cache holds it: its bytes, and the few values that are looked
//! at without parsing them (key, labels, selectable fields).

use std::sync::{Arc, OnceLock};

use api::resources::Resource;
use store::Revision;

use super::encoding::{Encoded, EventType};
use super::outline::Outline;

/// An immutable version of an object. Shared by the map, the event window and every response.
#[derive(Debug)]
pub(crate) struct Object {
    /// The store's key, of which the resource's prefix is cut off by `skip`.
    full_key: Arc<str>,
    skip: u16,
    revision: Revision,
    encoded: Encoded,
    /// The object as a protobuf message, made when somebody first asks for it.
    message: OnceLock<Box<[u8]>>,
    labels: Box<[(Box<str>, Box<str>)]>,
    /// Values of the resource's selectable fields, in the table's order.
    fields: Box<[Box<str>]>,
    /// What is stored, where a custom resource is shown otherwise: another schema may show more of
    /// it. Only the version that is stored keeps it.
    stored: Option<Box<[u8]>>,
}

impl Object {
    /// Reads a version from the store. `prefix` is the resource's key prefix, `outline` its outline.
    pub(super) fn read(
        resource: &Resource,
        outline: &Outline,
        prefix: &str,
        key: Arc<str>,
        event: EventType,
        value: &[u8],
        revision: Revision,
    ) -> Object {
        let mut kept = None;
        let (encoded, parsed) = if resource.is_view() || resource.is_custom() {
            let parsed = serde_json::from_slice(value).unwrap_or_default();
            let parsed = resource.strategy.from_stored(parsed);
            let shown = super::encoding::stored(&parsed);
            if resource.is_custom() && !resource.is_view() && *shown != *value {
                kept = Some(value.into());
            }
            (Encoded::new(event, &shown, revision), parsed)
        } else {
            (Encoded::new(event, value, revision), outline.read(value))
        };
        let labels = parsed["metadata"]["labels"]
            .as_object()
            .map(|labels| {
                labels
                    .iter()
                    .filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
                    .collect()
            })
            .unwrap_or_default();
        let fields = resource
            .selectable_fields
            .iter()
            .map(|field| field.value(&parsed).into_boxed_str())
            .collect();
        let skip = u16::try_from(prefix.len()).expect("a prefix is a group and a plural");
        let message = OnceLock::new();
        Object { full_key: key, skip, revision, encoded, message, labels, fields, stored: kept }
    }

    /// The same version as another row, with its outline, shows it. Exact if this row is that of
    /// the stored version.
    pub(super) fn reread(
        &self,
        resource: &Resource,
        outline: &Outline,
        event: EventType,
    ) -> Object {
        let (prefix, key) = (&self.full_key[..usize::from(self.skip)], self.full_key.clone());
        let shown;
        let value = match &self.stored {
            Some(stored) => &**stored,
            None => {
                shown = super::encoding::stored(&self.encoded.parse());
                &*shown
            }
        };
        Object::read(resource, outline, prefix, key, event, value, self.revision)
    }

    /// The same content under another revision: what watchers are told when it leaves.
    pub(crate) fn leaving(&self, revision: Revision) -> Object {
        Object {
            full_key: self.full_key.clone(),
            skip: self.skip,
            revision,
            encoded: self.encoded.restamped(EventType::Deleted, revision),
            message: OnceLock::new(),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            stored: None,
        }
    }

    /// `namespace/name`, or `name` for cluster-scoped resources.
    pub(crate) fn key(&self) -> &str {
        &self.full_key[usize::from(self.skip)..]
    }

    /// The namespace, "" for cluster-scoped resources.
    pub(crate) fn namespace(&self) -> &str {
        self.key().split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        self.key().rsplit_once('/').map_or(self.key(), |(_, name)| name)
    }

    /// The resourceVersion.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// The bytes.
    pub(crate) fn encoded(&self) -> &Encoded {
        &self.encoded
    }

    /// The object as a protobuf message without envelope: `type_name` is the schema type of its
    /// resource. Kept, because lists and watches show the same version to many clients.
    pub(crate) fn message(&self, type_name: &str) -> &[u8] {
        self.message.get_or_init(|| {
            let message = api::protobuf::encode(type_name, &self.encoded.parse());
            message.unwrap_or_default().into_boxed_slice()
        })
    }

    /// The value of a label.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        // Sorted, because they come from a sorted map.
        let at = self.labels.binary_search_by(|(label, _)| (**label).cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }

    /// All labels, in order of key.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of the nth selectable field.
    pub(crate) fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", |value| value)
    }
}

/// One thing that happened to one object.
#[derive(Debug)]
pub(crate) struct Change {
    /// When.
    pub(crate) revision: Revision,
    /// What.
    pub(crate) event: EventType,
    /// The object after it; for a deletion its last content under the deletion's revision.
    pub(crate) object: Arc<Object>,
    /// The object before it.
    pub(crate) previous: Option<Arc<Object>>,
    /// `previous` under this revision, for watchers whose selector the object has left.
    departed: OnceLock<Arc<Object>>,
}

impl Change {
    /// Records a change.
    pub(crate) fn new(
        event: EventType,
        object: Arc<Object>,
        previous: Option<Arc<Object>>,
    ) -> Change {
        Change { revision: object.revision, event, object, previous, departed: OnceLock::new() }
    }

    /// Bytes that keeping it costs. The object before it is the one after an earlier change.
    pub(crate) fn size(&self) -> usize {
        self.object.encoded.bytes().len()
    }

    /// What a watcher that selects with `matches` is told, if anything.
    ///
    /// An object that begins to match is ADDED, one that ceases to is DELETED, whatever happened
    /// to it in the store (k8s.io/apiserver/pkg/storage/cacher/cache_watcher.go).
    pub(crate) fn seen_by(
        &self,
        matches: impl Fn(&Object) -> bool,
    ) -> Option<(EventType, Arc<Object>)> {
        let now = self.event != EventType::Deleted && matches(&self.object);
        let before = self.previous.as_deref().is_some_and(matches);
        match (before, now) {
            (false, false) => None,
            (false, true) => Some((EventType::Added, self.object.clone())),
            (true, true) => Some((EventType::Modified, self.object.clone())),
            (true, false) if self.event == EventType::Deleted => {
                Some((EventType::Deleted, self.object.clone()))
            }
            (true, false) => {
                let previous = self.previous.as_ref()?;
                let departed =
                    self.departed.get_or_init(|| Arc::new(previous.leaving(self.revision)));
                Some((EventType::Deleted, departed.clone()))
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::super::encoding::stored;
    use super::*;

    pub(crate) const PREFIX: &str = "core/configmaps/";

    /// A config map under `key` (`namespace/name`) with a label `app` equal to its namespace.
    pub(crate) fn object(key: &str, revision: i64) -> Arc<Object> {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        labelled(namespace, name, namespace, revision)
    }

    fn labelled(namespace: &str, name: &str, app: &str, revision: i64) -> Arc<Object> {
        let resource = api::resources::by_path("", "v1", "configmaps").unwrap();
        let value = stored(&json!({
            "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
        }));
        let key = format!("{PREFIX}{namespace}/{name}").into();
        let event = EventType::Added;
        Arc::new(Object::read(
            resource,
            &Outline::of(resource),
            PREFIX,
            key,
            event,
            &value,
            Revision(revision),
        ))
    }

    #[test]
    fn selector_transitions_become_added_and_deleted() {
        let (a, b) = (labelled("n", "x", "a", 1), labelled("n", "x", "b", 2));
        let gone = Arc::new(b.leaving(Revision(3)));
        let selects = |app: &'static str| move |object: &Object| object.label("app") == Some(app);
        let created = Change::new(EventType::Added, a.clone(), None);
        let moved = Change::new(EventType::Modified, b.clone(), Some(a.clone()));
        let deleted = Change::new(EventType::Deleted, gone, Some(b));
        let told = |change: &Change, app| {
            change.seen_by(selects(app)).map(|(event, object)| (event, object.revision().0))
        };
        assert_eq!(told(&created, "a"), Some((EventType::Added, 1)));
        assert_eq!(told(&created, "b"), None);
        assert_eq!(told(&moved, "a"), Some((EventType::Deleted, 2)));
        assert_eq!(told(&moved, "b"), Some((EventType::Added, 2)));
        assert_eq!(told(&deleted, "b"), Some((EventType::Deleted, 3)));
        assert_eq!(told(&deleted, "a"), None);
        let all = moved.seen_by(|_| true).map(|(event, _)| event);
        assert_eq!(all, Some(EventType::Modified));
        // The object that left is shown as it was when it still matched.
        let (_, departed) = moved.seen_by(selects("a")).unwrap();
        assert_eq!(departed.label("app"), Some("a"));
    }

    #[test]
    fn key_parts() {
        let object = object("default/web", 1);
        assert_eq!((object.namespace(), object.name()), ("default", "web"));
        assert_eq!(object.key(), "default/web");
    }
}
