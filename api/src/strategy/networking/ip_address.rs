//! IPAddress: who uses an address of the Service network.
//!
//! Source: k8s.io/kubernetes/pkg/apis/networking/validation.

use serde_json::{Value, json};

use super::{required_segment, text};
use crate::field::{Errors, FieldError, Path};
use crate::names::{self, NameRule};
use crate::strategy::{Strategy, set_default};

#[derive(Debug)]
pub(crate) struct IpAddress;

impl Strategy for IpAddress {
    fn name_rule(&self) -> NameRule {
        NameRule::IpAddress
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
    }

    fn validate(&self, object: &Value) -> Errors {
        let (parent, path) = (&object["spec"]["parentRef"], Path::new("spec").child("parentRef"));
        if parent.is_null() {
            return vec![FieldError::required(&path, "")];
        }
        let mut errors = Errors::new();
        let (group, namespace) = (text(parent, "group"), text(parent, "namespace"));
        // Services, in the core group, have an empty one.
        if !group.is_empty() {
            let messages = names::dns1123_subdomain(group);
            errors.extend(FieldError::invalid_each(&path.child("group"), group, &messages));
        }
        errors.extend(required_segment(parent, "resource", &path));
        errors.extend(required_segment(parent, "name", &path));
        let messages = names::path_segment(namespace);
        errors.extend(FieldError::invalid_each(&path.child("namespace"), namespace, &messages));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let parent = &new["spec"]["parentRef"];
        if *parent == old["spec"]["parentRef"] {
            return Errors::new();
        }
        let path = Path::new("spec").child("parentRef");
        vec![FieldError::invalid(&path, parent.clone(), "field is immutable")]
    }
}
