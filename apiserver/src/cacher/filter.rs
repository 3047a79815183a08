//! Label and field selectors, compiled so that matching an object parses nothing.

use std::sync::Arc;

use api::resources::Resource;
use api::selector::{FieldSelector, LabelSelector};
use api::status::Status;

use super::object::Object;

/// Where the value of a field term is found.
#[derive(Debug)]
enum Field {
    Name,
    Namespace,
    /// The nth selectable field of the resource.
    Selectable(usize),
}

#[derive(Debug)]
struct Term {
    field: Field,
    value: String,
    equal: bool,
}

#[derive(Debug, Default)]
struct Compiled {
    labels: LabelSelector,
    terms: Vec<Term>,
}

/// What a list or watch selects. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Option<Arc<Compiled>>);

impl Filter {
    /// Parses both selectors of a request ("" selects everything).
    ///
    /// # Errors
    /// 400 with Kubernetes' words for a malformed selector or a field that is not selectable.
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Filter, Status> {
        if labels.is_empty() && fields.is_empty() {
            return Ok(Filter::default());
        }
        let refuse = |error: api::selector::SelectorError| Status::bad_request(error.to_string());
        let labels = LabelSelector::parse(labels).map_err(refuse)?;
        let fields = FieldSelector::parse_for(resource, fields).map_err(refuse)?;
        let terms: Vec<_> = fields
            .terms()
            .iter()
            .filter_map(|term| {
                let field = match term.field.as_str() {
                    "metadata.name" => Field::Name,
                    "metadata.namespace" => Field::Namespace,
                    name => Field::Selectable(
                        resource.selectable_fields.iter().position(|field| field.name == name)?,
                    ),
                };
                Some(Term { field, value: term.value.clone(), equal: term.equal })
            })
            .collect();
        if labels.is_everything() && terms.is_empty() {
            return Ok(Filter::default());
        }
        Ok(Filter(Some(Arc::new(Compiled { labels, terms }))))
    }

    /// Whether every object matches.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// The only name that can match, if the filter demands one.
    pub(crate) fn required_name(&self) -> Option<&str> {
        let terms = &self.0.as_ref()?.terms;
        terms
            .iter()
            .find(|term| term.equal && matches!(term.field, Field::Name))
            .map(|term| term.value.as_str())
    }

    /// Whether an object matches.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        let Some(compiled) = &self.0 else { return true };
        compiled.terms.iter().all(|term| {
            let value = match term.field {
                Field::Name => object.name(),
                Field::Namespace => object.namespace(),
                Field::Selectable(index) => object.field(index),
            };
            (value == term.value) == term.equal
        }) && compiled.labels.matches_with(|key| object.label(key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::tests::object;
    use super::*;

    #[test]
    fn selects_by_labels_and_fields() {
        let resource = api::resources::by_path("", "v1", "configmaps").unwrap();
        let (web, db) = (object("web/a", 1), object("db/b", 2));
        for (labels, fields, want) in [
            ("", "", (true, true)),
            ("app=web", "", (true, false)),
            ("app!=web", "", (false, true)),
            ("", "metadata.name=b", (false, true)),
            ("", "metadata.namespace=web", (true, false)),
            ("app=web", "metadata.name=b", (false, false)),
            ("!app", "", (false, false)),
        ] {
            let filter = Filter::parse(resource, labels, fields).unwrap();
            let have = (filter.matches(&web), filter.matches(&db));
            assert_eq!(have, want, "labels {labels:?} fields {fields:?}");
        }
        assert!(Filter::parse(resource, "", "").unwrap().is_everything());
        assert_eq!(Filter::parse(resource, "", "spec.no=1").unwrap_err().code, 400);
    }
}
