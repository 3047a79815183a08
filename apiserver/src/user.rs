//! Who is asking.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

/// An authenticated (or anonymous) user: a name, a UID, the groups it belongs to, and what else
/// the authenticator knows.
///
/// Cheap to clone. Every authenticated user is also in `system:authenticated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Arc<str>,
    uid: Arc<str>,
    groups: Arc<[String]>,
    extra: Arc<BTreeMap<String, Vec<String>>>,
}

impl User {
    /// An authenticated user; `system:authenticated` is added to `groups`.
    pub fn new(name: impl Into<Arc<str>>, mut groups: Vec<String>) -> User {
        let authenticated = "system:authenticated";
        if !groups.iter().any(|group| group == authenticated) {
            groups.push(authenticated.to_owned());
        }
        User::exactly(name, groups)
    }

    /// The user of a request without credentials.
    pub fn anonymous() -> User {
        User::exactly("system:anonymous", vec![String::from("system:unauthenticated")])
    }

    /// A user in these groups and no other.
    pub(crate) fn exactly(name: impl Into<Arc<str>>, groups: Vec<String>) -> User {
        User { name: name.into(), uid: "".into(), groups: groups.into(), extra: Arc::default() }
    }

    /// The same user with a UID.
    pub(crate) fn with_uid(mut self, uid: impl Into<Arc<str>>) -> User {
        self.uid = uid.into();
        self
    }

    /// The same user with more to know about it.
    pub(crate) fn with_extra(mut self, extra: BTreeMap<String, Vec<String>>) -> User {
        self.extra = Arc::new(extra);
        self
    }

    /// The user name, such as `system:kube-scheduler`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The UID of the ServiceAccount, "" for users that are no objects.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The groups, such as `system:masters`.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// What else the authenticator knows, such as the pod that a token is bound to.
    pub fn extra(&self) -> &BTreeMap<String, Vec<String>> {
        &self.extra
    }

    /// True for a request without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.groups.iter().any(|group| group == "system:unauthenticated")
    }

    /// Whether the user belongs to `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|candidate| candidate == group)
    }

    /// The user as `authentication.k8s.io/v1` UserInfo.
    pub(crate) fn info(&self) -> Value {
        let mut info = Map::new();
        for (key, text) in [("username", &self.name), ("uid", &self.uid)] {
            if !text.is_empty() {
                info.insert(key.to_owned(), json!(text));
            }
        }
        if !self.groups.is_empty() {
            info.insert("groups".to_owned(), json!(self.groups));
        }
        if !self.extra.is_empty() {
            info.insert("extra".to_owned(), json!(self.extra));
        }
        Value::Object(info)
    }
}
