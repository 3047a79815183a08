//! Rows of events, in the form of either group.

use jiff::Timestamp;
use serde_json::Value;

use super::{Printer, age, text};

pub(crate) const EVENT: Printer = Printer::new("Event", cells);

fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    // `events.k8s.io/v1` names the same things differently.
    let either =
        |a: &str, b: &str| event.get(a).or_else(|| event.get(b)).cloned().unwrap_or_default();
    let object = either("involvedObject", "regarding");
    let source = either("source", "deprecatedSource");
    let (first, last) = (
        either("firstTimestamp", "deprecatedFirstTimestamp"),
        either("lastTimestamp", "deprecatedLastTimestamp"),
    );
    let first = if first.is_string() { first } else { event["eventTime"].clone() };
    let mut last = if last.is_string() { last } else { first.clone() };
    let mut count = either("count", "deprecatedCount").as_i64().unwrap_or(0);
    if event["series"].is_object() {
        last = event["series"]["lastObservedTime"].clone();
        count = event["series"]["count"].as_i64().unwrap_or(0);
    } else if count == 0 {
        count = 1;
    }
    let kind = text(&object, "/kind").to_lowercase();
    let name = text(&object, "/name");
    let target = if name.is_empty() { kind } else { format!("{kind}/{name}") };
    let controller = either("reportingComponent", "reportingController");
    let component = super::or(text(&source, "/component"), controller.as_str().unwrap_or_default());
    let instance = super::or(text(&source, "/host"), text(event, "/reportingInstance"));
    let source =
        if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") };
    let message = either("message", "note");
    vec![
        age::since(&last, now).into(),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        target.into(),
        text(&object, "/fieldPath").into(),
        source.into(),
        message.as_str().unwrap_or_default().trim().into(),
        age::since(&first, now).into(),
        count.into(),
        text(event, "/metadata/name").into(),
    ]
}
