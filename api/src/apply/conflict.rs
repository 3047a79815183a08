//! What is said when a configuration wants what others own.

use std::collections::BTreeMap;

use super::element::Element;
use super::managers::Identity;
use super::set::{FieldSet, path_text};
use crate::field::go_quote;
use crate::status::{Cause, Details, Status};

/// Fields that another manager owns and that the configuration would change.
pub(super) struct Conflicts<'m> {
    /// By manager.
    by_manager: BTreeMap<&'m Identity, Vec<Vec<Element>>>,
}

impl<'m> Conflicts<'m> {
    /// Conflicts with these managers over these fields.
    pub(super) fn new(sets: impl IntoIterator<Item = (&'m Identity, FieldSet)>) -> Self {
        let by_manager = sets.into_iter().map(|(manager, set)| (manager, set.paths()));
        Self { by_manager: by_manager.filter(|(_, paths)| !paths.is_empty()).collect() }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_manager.is_empty()
    }

    /// Those about fields that are not in the set.
    pub(super) fn without(self, allowed: &FieldSet) -> Self {
        let rest = self.by_manager.into_iter().map(|(manager, mut paths)| {
            paths.retain(|path| !allowed.has(path));
            (manager, paths)
        });
        Self { by_manager: rest.filter(|(_, paths)| !paths.is_empty()).collect() }
    }

    /// 409 with a cause per field.
    pub(super) fn status(&self) -> Status {
        let mut causes = Vec::new();
        let mut lines = Vec::new();
        for (manager, paths) in &self.by_manager {
            let manager = shown(manager);
            lines.push(format!("conflicts with {manager}:"));
            for path in paths {
                let field = path_text(path);
                lines.push(format!("- {field}"));
                let message = format!("conflict with {manager}");
                causes.push(Cause { reason: "FieldManagerConflict".to_owned(), message, field });
            }
        }
        let message = match causes.as_slice() {
            [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
            several => {
                format!("Apply failed with {} conflicts: {}", several.len(), lines.join("\n"))
            }
        };
        let details = Some(Box::new(Details { causes, ..Details::default() }));
        Status { code: 409, reason: "Conflict", message, details }
    }
}

/// `"name" with subresource "status" using apps/v1`.
fn shown(manager: &Identity) -> String {
    let mut text = go_quote(&manager.name);
    if !manager.subresource.is_empty() {
        text.push_str(&format!(" with subresource {}", go_quote(&manager.subresource)));
    }
    if let Some(version) = &manager.updates {
        text.push_str(&format!(" using {version}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_name_managers_and_fields() {
        let manager = |name: &str, updates: Option<&str>, subresource: &str| Identity {
            name: name.to_owned(),
            updates: updates.map(str::to_owned),
            subresource: subresource.to_owned(),
        };
        let (one, two) = (manager("one", None, ""), manager("two", Some("v1"), "status"));
        let (replicas, phase) = (
            FieldSet::of_paths([&["spec", "replicas"][..]]),
            FieldSet::of_paths([&["status"][..]]),
        );
        let status = Conflicts::new([(&one, replicas.clone())]).status();
        assert_eq!(
            status.message,
            "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas"
        );
        assert_eq!((status.code, status.reason), (409, "Conflict"));
        let both = Conflicts::new([(&two, phase), (&one, replicas.clone())]);
        assert_eq!(
            both.status().message,
            "Apply failed with 2 conflicts: conflicts with \"one\":\n- .spec.replicas\n\
             conflicts with \"two\" with subresource \"status\" using v1:\n- .status"
        );
        let rest = both.without(&replicas);
        let causes = rest.status().details.expect("details").causes;
        assert_eq!((causes.len(), causes[0].field.as_str()), (1, ".status"));
        assert!(Conflicts::new([(&one, FieldSet::default())]).is_empty());
    }
}
