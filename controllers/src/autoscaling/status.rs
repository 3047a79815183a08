//! The conditions of an autoscaler, and how it shows what it has measured.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricValueStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Sets a condition. The transition time changes with the status only.
pub(super) fn set(
    status: &mut HorizontalPodAutoscalerStatus,
    now: Timestamp,
    kind: &str,
    is: bool,
    reason: &str,
    message: &str,
) {
    let conditions = status.conditions.get_or_insert_default();
    let value = if is { "True" } else { "False" };
    let known = conditions.iter_mut().find(|condition| condition.type_ == kind);
    let since = known.as_ref().filter(|condition| condition.status == value);
    let since = since.and_then(|condition| condition.last_transition_time.clone());
    let condition = HorizontalPodAutoscalerCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: since.or(Some(Time(now))),
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// An average, thousandths, with the percentage of what is requested.
pub(super) fn average(milli: i64, utilization: Option<i32>) -> MetricValueStatus {
    MetricValueStatus {
        average_value: Some(quantity(milli)),
        average_utilization: utilization,
        value: None,
    }
}

/// A total, thousandths.
pub(super) fn total(milli: i64) -> MetricValueStatus {
    MetricValueStatus { value: Some(quantity(milli)), ..MetricValueStatus::default() }
}

fn quantity(milli: i64) -> Text {
    Text(api::quantity::Quantity::from_milli(milli).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_keep_the_time_of_their_last_change() {
        let mut status = HorizontalPodAutoscalerStatus::default();
        let early: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        set(&mut status, early, "AbleToScale", true, "A", "a");
        let first = status.conditions.clone().unwrap().remove(0);
        set(&mut status, now, "AbleToScale", true, "B", "b");
        set(&mut status, now, "ScalingActive", false, "C", "c");
        let conditions = status.conditions.clone().unwrap();
        assert_eq!(conditions.len(), 2);
        assert_eq!(conditions[0].reason.as_deref(), Some("B"));
        assert_eq!(conditions[0].last_transition_time, Some(Time(early)));
        set(&mut status, now, "AbleToScale", false, "B", "b");
        assert_eq!(status.conditions.unwrap()[0].last_transition_time, Some(Time(now)));
        assert_eq!(first.status, "True");
    }

    #[test]
    fn amounts_are_shown_as_quantities() {
        assert_eq!(average(1500, Some(30)).average_value, Some(Text("1500m".to_owned())));
        assert_eq!(total(2000).value, Some(Text("2".to_owned())));
    }
}
