//! Rows of priority classes and runtime classes.

use super::*;

pub(crate) const PRIORITY_CLASS: Printer = Printer::new("PriorityClass", |object, now| {
    vec![
        name(object),
        number(object, "/value"),
        object["globalDefault"].as_bool().unwrap_or(false).into(),
        age(object, now),
        cell(object, "/preemptionPolicy"),
    ]
});

pub(crate) const RUNTIME_CLASS: Printer = Printer::new("RuntimeClass", |object, now| {
    vec![name(object), cell(object, "/handler"), age(object, now)]
});
