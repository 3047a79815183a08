//! Rows of PodDisruptionBudgets.

use super::*;

pub(crate) const POD_DISRUPTION_BUDGET: Printer =
    Printer::new("PodDisruptionBudget", |object, now| {
        let amount = |field: &str| match &object["spec"][field] {
            Value::Null => "N/A".to_owned(),
            Value::String(percent) => percent.clone(),
            number => number.to_string(),
        };
        vec![
            name(object),
            amount("minAvailable").into(),
            amount("maxUnavailable").into(),
            number(object, "/status/disruptionsAllowed"),
            age(object, now),
        ]
    });
