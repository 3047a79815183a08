//! Who is asking.

use std::sync::Arc;

/// An authenticated (or anonymous) user: a name and the groups it belongs to.
///
/// Cheap to clone. Every authenticated user is also in `system:authenticated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Arc<str>,
    groups: Arc<[String]>,
}

impl User {
    /// An authenticated user; `system:authenticated` is added to `groups`.
    pub fn new(name: impl Into<Arc<str>>, mut groups: Vec<String>) -> User {
        let authenticated = "system:authenticated";
        if !groups.iter().any(|group| group == authenticated) {
            groups.push(authenticated.to_owned());
        }
        User { name: name.into(), groups: groups.into() }
    }

    /// The user of a request without credentials.
    pub fn anonymous() -> User {
        User {
            name: "system:anonymous".into(),
            groups: [String::from("system:unauthenticated")].into(),
        }
    }

    /// The user name, such as `system:kube-scheduler`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The groups, such as `system:masters`.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// True for a request without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.groups.iter().any(|group| group == "system:unauthenticated")
    }

    /// Whether the user belongs to `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|candidate| candidate == group)
    }
}
