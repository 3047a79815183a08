//! Rows of NodeMetrics and PodMetrics, as metrics-server shows them.

use super::*;
use crate::quantity::Quantity;

pub(crate) const NODE_METRICS: Printer =
    Printer::new("NodeMetrics", |object, _| row(object, &[&object["usage"]]));

pub(crate) const POD_METRICS: Printer = Printer::new("PodMetrics", |object, _| {
    let containers = object["containers"].as_array().into_iter().flatten();
    row(object, &containers.map(|container| &container["usage"]).collect::<Vec<_>>())
});

fn row(object: &Value, usages: &[&Value]) -> Vec<Value> {
    let total = |resource: &str| {
        let amounts = usages.iter().filter_map(|usage| usage[resource].as_str()?.parse().ok());
        amounts.fold(Quantity::ZERO, |sum, amount: Quantity| sum + amount).to_string().into()
    };
    vec![name(object), total("cpu"), total("memory"), cell(object, "/window")]
}
