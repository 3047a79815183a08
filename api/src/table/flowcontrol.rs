//! Rows of flow schemas and priority levels.

use super::*;

/// Lists are shown in the order in which the schemas are tried.
pub(crate) const FLOW_SCHEMA: Printer = Printer::new("FlowSchema", |object, now| {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let dangling = conditions
        .filter(|condition| condition["type"] == "Dangling")
        .map(|condition| condition["status"].as_str().unwrap_or_default())
        .next();
    let method = object["spec"]["distinguisherMethod"]["type"].as_str();
    vec![
        name(object),
        cell(object, "/spec/priorityLevelConfiguration/name"),
        number(object, "/spec/matchingPrecedence"),
        method.unwrap_or("<none>").into(),
        age(object, now),
        dangling.unwrap_or("?").into(),
    ]
})
.ordered(|a, b| {
    let key = |object: &Value| object["spec"]["matchingPrecedence"].as_i64();
    let names = || text(a, "/metadata/name").cmp(text(b, "/metadata/name"));
    key(a).cmp(&key(b)).then_with(names)
});

pub(crate) const PRIORITY_LEVEL_CONFIGURATION: Printer =
    Printer::new("PriorityLevelConfiguration", |object, now| {
        let limited = &object["spec"]["limited"];
        let queuing = &limited["limitResponse"]["queuing"];
        let shown = |value: &Value| if value.is_null() { "<none>".into() } else { value.clone() };
        vec![
            name(object),
            cell(object, "/spec/type"),
            shown(&limited["nominalConcurrencyShares"]),
            shown(&queuing["queues"]),
            shown(&queuing["handSize"]),
            shown(&queuing["queueLengthLimit"]),
            age(object, now),
        ]
    });
