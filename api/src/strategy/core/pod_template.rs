//! PodTemplate: a template with a name of its own.

use serde_json::{Value, json};

use crate::field::{Errors, Path};
use crate::strategy::{Strategy, pod, set_default, template};

#[derive(Debug)]
pub(crate) struct PodTemplate;

impl Strategy for PodTemplate {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "template", json!({}));
        pod::default_template(&mut object["template"]);
    }

    fn validate(&self, object: &Value) -> Errors {
        template::validate(&object["template"], &Path::new("template"))
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        if !template::is_news(new, old) {
            return Vec::new();
        }
        pod::warnings_of_template(&new["template"], &Path::new("template"))
    }
}
