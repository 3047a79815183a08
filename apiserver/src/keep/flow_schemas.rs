//! The condition `Dangling` of every FlowSchema: whether its priority level is missing.
//! Source: k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go.

use std::sync::Arc;

use api::status::Status;
use serde_json::{Value, json};

use crate::bootstrap::flow::dangling;
use crate::cacher::Cacher;
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::options::{Query, WriteOptions};
use crate::writing::{self, Part, Write};

/// Under which name the conditions are written.
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

/// Puts right the conditions that are not.
pub(super) async fn pass(
    context: &Context,
    schemas: &Arc<Cacher>,
    levels: &Arc<Cacher>,
) -> Result<(), Status> {
    for schema in schemas.now().objects.iter() {
        let exists = |level: &str| levels.get(level).is_some();
        if plan(&schema.encoded().parse(), exists, "").is_none() {
            continue;
        }
        let target = Target {
            resource: schemas.resource().clone(),
            cache: schemas.clone(),
            namespace: String::new(),
            name: schema.name().to_owned(),
            query: Query::parse(""),
        };
        let options = WriteOptions::internal(MANAGER);
        let write = Write::new(Part::Status, &options);
        let since = api::meta::time(now());
        let change =
            |current: &Value| Ok(plan(current, exists, &since).unwrap_or_else(|| current.clone()));
        match writing::change(context, &target, write, change).await {
            Ok(_) => {}
            // Gone, or changed: then this comes again.
            Err(status) if matches!(status.code, 404 | 409) => {}
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// The schema with the right condition, if it has another. Pure.
fn plan(schema: &Value, exists: impl Fn(&str) -> bool, since: &str) -> Option<Value> {
    let level = schema["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default();
    let want = dangling(level, exists(level), since);
    let conditions = schema["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mut conditions: Vec<Value> = conditions;
    let at = conditions.iter().position(|condition| condition["type"] == want["type"]);
    let same = |have: &Value| {
        ["status", "reason", "message"].iter().all(|field| have[*field] == want[*field])
    };
    match at {
        Some(at) if same(&conditions[at]) => return None,
        Some(at) => {
            let turned = conditions[at]["status"] != want["status"];
            let time = conditions[at]["lastTransitionTime"].clone();
            conditions[at] = want;
            if !turned {
                conditions[at]["lastTransitionTime"] = time;
            }
        }
        None => conditions.push(want),
    }
    let mut new = schema.clone();
    new["status"] = json!({"conditions": conditions});
    // Whichever version is current.
    api::meta::remove(&mut new["metadata"], "resourceVersion");
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_whether_its_level_is_there() {
        let schema = json!({"metadata": {"name": "s"},
            "spec": {"priorityLevelConfiguration": {"name": "l"}}});
        let dangles = plan(&schema, |_| false, "t1").expect("a change");
        let condition = &dangles["status"]["conditions"][0];
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("True"), &json!("NotFound"))
        );
        assert_eq!(plan(&dangles, |_| false, "t2"), None);
        let found = plan(&dangles, |_| true, "t2").expect("a change");
        let condition = &found["status"]["conditions"][0];
        assert_eq!(
            condition["message"],
            "This FlowSchema references the PriorityLevelConfiguration object named \"l\" and it exists"
        );
        assert_eq!(condition["lastTransitionTime"], "t2");
        let mut other = found;
        other["spec"]["priorityLevelConfiguration"]["name"] = "m".into();
        let again = plan(&other, |_| true, "t3").expect("another message");
        assert_eq!(again["status"]["conditions"][0]["lastTransitionTime"], "t2");
    }
}
