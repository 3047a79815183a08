//! Admission plugin Priority: a pod's priority is that of its class, and only one class is the
//! default. Source: k8s.io/kubernetes/plugin/pkg/admission/priority.

use std::collections::HashMap;

use serde_json::Value;

/// What a pod gets when no class is the default.
const NO_CLASS: (i64, &str) = (0, "PreemptLowerPriority");

/// All PriorityClasses.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    by_name: HashMap<String, (i64, String)>,
    /// The default with the lowest value, should there be several.
    default: Option<String>,
}

impl Classes {
    /// Reads the objects.
    pub(super) fn read(objects: &[Value]) -> Classes {
        let mut classes = Classes::default();
        let mut lowest = i64::MAX;
        for class in objects {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (name, value) = (text(&class["metadata"]["name"]), class["value"].as_i64());
            let value = value.unwrap_or(0);
            if class["globalDefault"] == true && (classes.default.is_none() || value < lowest) {
                classes.default = Some(name.clone());
                lowest = value;
            }
            classes.by_name.insert(name, (value, text(&class["preemptionPolicy"])));
        }
        classes
    }

    /// Whether there is a class of this name. Every pod without a name has one.
    pub(super) fn has(&self, name: &str) -> bool {
        name.is_empty() || self.by_name.contains_key(name)
    }

    /// Gives a new pod the priority and the preemption policy of its class.
    ///
    /// # Errors
    /// What is wrong: an unknown class, or values that are not those of the class.
    pub(super) fn admit(&self, pod: &mut Value) -> Result<(), String> {
        let spec = &mut pod["spec"];
        let mut name = spec["priorityClassName"].as_str().unwrap_or_default().to_owned();
        if name.is_empty()
            && let Some(default) = &self.default
        {
            name.clone_from(default);
            spec["priorityClassName"] = name.as_str().into();
        }
        let (value, policy) = match self.by_name.get(&name) {
            Some((value, policy)) => (*value, policy.as_str()),
            None if name.is_empty() => NO_CLASS,
            None => return Err(format!("no PriorityClass with name {name} was found")),
        };
        if let Some(given) = spec["priority"].as_i64().filter(|given| *given != value) {
            return Err(format!(
                "the integer value of priority ({given}) must not be provided in pod spec; \
                 priority admission controller computed {value} from the given PriorityClass name"
            ));
        }
        spec["priority"] = value.into();
        if policy.is_empty() {
            return Ok(());
        }
        if let Some(given) = spec["preemptionPolicy"].as_str().filter(|given| *given != policy) {
            return Err(format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; \
                 priority admission controller computed {policy} from the given PriorityClass name"
            ));
        }
        spec["preemptionPolicy"] = policy.into();
        Ok(())
    }

    /// Whether a class that is written may be the default.
    ///
    /// # Errors
    /// What is wrong: another one is.
    pub(super) fn admit_class(&self, class: &Value, created: bool) -> Result<(), String> {
        match &self.default {
            Some(default)
                if class["globalDefault"] == true
                    && (created || class["metadata"]["name"] != default.as_str()) =>
            {
                Err(format!(
                    "PriorityClass {default} is already marked as default. Only one default can \
                     exist"
                ))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(name: &str, value: i64, default: bool) -> Value {
        json!({"metadata": {"name": name}, "value": value, "globalDefault": default,
            "preemptionPolicy": if name == "shy" { "Never" } else { "PreemptLowerPriority" }})
    }

    #[test]
    fn pods_have_the_priority_of_their_class() {
        let none = Classes::read(&[class("high", 9, false), class("shy", 5, false)]);
        let some =
            Classes::read(&[class("high", 9, false), class("b", 3, true), class("a", 7, true)]);
        let lower = "PreemptLowerPriority";
        for (classes, spec, want) in [
            (&none, json!({}), ("", 0, lower)),
            (&none, json!({"priority": 0, "preemptionPolicy": lower}), ("", 0, lower)),
            (&none, json!({"priorityClassName": "high"}), ("high", 9, lower)),
            (&none, json!({"priorityClassName": "high", "priority": 9}), ("high", 9, lower)),
            (&none, json!({"priorityClassName": "shy"}), ("shy", 5, "Never")),
            (&some, json!({}), ("b", 3, lower)),
            (&some, json!({"priorityClassName": "high"}), ("high", 9, lower)),
        ] {
            let mut pod = json!({"spec": spec});
            classes.admit(&mut pod).unwrap();
            let spec = &pod["spec"];
            assert_eq!(spec["priorityClassName"].as_str().unwrap_or_default(), want.0, "{pod}");
            assert_eq!(
                (&spec["priority"], &spec["preemptionPolicy"]),
                (&json!(want.1), &json!(want.2))
            );
        }
        for (spec, want) in [
            (json!({"priorityClassName": "x"}), "no PriorityClass with name x was found"),
            (
                json!({"priority": 7}),
                "the integer value of priority (7) must not be provided in pod spec; priority \
                 admission controller computed 0 from the given PriorityClass name",
            ),
            (
                json!({"priorityClassName": "shy", "preemptionPolicy": lower}),
                "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided \
                 in pod spec; priority admission controller computed Never from the given \
                 PriorityClass name",
            ),
        ] {
            assert_eq!(none.admit(&mut json!({"spec": spec})), Err(want.to_owned()));
        }
    }

    #[test]
    fn one_class_is_the_default() {
        let classes = Classes::read(&[class("b", 3, true)]);
        for (written, created, want) in [
            (class("a", 1, true), true, false),
            (class("a", 1, false), true, true),
            (class("b", 3, true), false, true),
            (class("a", 1, true), false, false),
        ] {
            assert_eq!(classes.admit_class(&written, created).is_ok(), want, "{written}");
        }
        assert!(Classes::default().admit_class(&class("a", 1, true), true).is_ok());
    }
}
