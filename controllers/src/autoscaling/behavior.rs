//! From what the metrics recommend to the number of pods to have now. Pure.
//!
//! Three limits stand between them: stabilisation (no scaling down below what was recommended within
//! the last five minutes, unless told otherwise), policies (so many pods or percent within so many
//! seconds) and the autoscaler's bounds.
//!
//! Source:
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior>.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerSpec,
};

/// Scaling down waits so long without a rule that says otherwise.
const DOWN_WINDOW: i32 = 300;
/// Without rules there may be so many pods at once, however few there are.
const AT_ONCE: i32 = 4;
/// Policies look back at most half an hour, and so do windows an hour.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(3600);

/// What was recommended and done in the last hour.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// When, and the recommended number of pods.
    recommended: Vec<(Timestamp, i32)>,
    /// When, and how many more (positive) or fewer (negative) pods there were to be.
    scaled: Vec<(Timestamp, i32)>,
}

impl History {
    /// The number of pods at the beginning is the first recommendation.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommended.is_empty() {
            self.recommended.push((now, current));
        }
    }

    fn recommend(&mut self, replicas: i32, now: Timestamp) {
        let is_recent = |at: &Timestamp| now.duration_since(*at) <= REMEMBERED;
        self.recommended.retain(|(at, _)| is_recent(at));
        self.scaled.retain(|(at, _)| is_recent(at));
        self.recommended.push((now, replicas));
    }

    /// The number of pods was changed.
    pub(super) fn scaled(&mut self, change: i32, now: Timestamp) {
        self.scaled.push((now, change));
    }

    /// How many pods were added (`sign` 1) or removed (-1) within the last seconds.
    fn changed(&self, sign: i32, seconds: i32, now: Timestamp) -> i32 {
        let recent = self.scaled.iter().filter(|(at, _)| is_within(*at, seconds, now));
        recent.map(|(_, change)| (change * sign).max(0)).sum()
    }
}

fn is_within(at: Timestamp, seconds: i32, now: Timestamp) -> bool {
    now.duration_since(at) < SignedDuration::from_secs(i64::from(seconds))
}

/// The number to have, and the reasons and messages of the conditions `AbleToScale` and
/// `ScalingLimited`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) replicas: i32,
    pub(super) able: (&'static str, &'static str),
    /// Whether a limit was met, and which.
    pub(super) limited: (bool, &'static str, &'static str),
}

const STEADY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const IN_RANGE: (bool, &str, &str) =
    (false, "DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: (bool, &str, &str) =
    (true, "TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (bool, &str, &str) =
    (true, "TooFewReplicas", "the desired replica count is less than the minimum replica count");
const UP_LIMIT: (bool, &str, &str) = (
    true,
    "ScaleUpLimit",
    "the desired replica count is increasing faster than the maximum scale rate",
);
const DOWN_LIMIT: (bool, &str, &str) = (
    true,
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
);

/// The rules of one direction, with defaults.
struct Rules {
    window: i32,
    /// None: scaling in this direction is switched off.
    policies: Option<Vec<HPAScalingPolicy>>,
    /// Whether the policy with the smallest change counts.
    smallest: bool,
}

impl Rules {
    fn of(rules: Option<&HPAScalingRules>, window: i32, policies: &[(&str, i32)]) -> Self {
        let policies = policies.iter().map(|(kind, value)| HPAScalingPolicy {
            type_: (*kind).to_owned(),
            value: *value,
            period_seconds: 15,
        });
        let select = rules.and_then(|rules| rules.select_policy.as_deref());
        let given = rules.and_then(|rules| rules.policies.clone());
        Self {
            window: rules.and_then(|r| r.stabilization_window_seconds).unwrap_or(window),
            policies: (select != Some("Disabled")).then(|| given.unwrap_or(policies.collect())),
            smallest: select == Some("Min"),
        }
    }

    fn select(&self, limits: impl Iterator<Item = i32>, growing: bool) -> Option<i32> {
        if growing == self.smallest { limits.min() } else { limits.max() }
    }
}

/// The tolerance of a direction: a smaller change than this share is not made.
pub(super) fn tolerance(spec: &HorizontalPodAutoscalerSpec, up: bool) -> f64 {
    let behavior = spec.behavior.as_ref();
    let rules = behavior.and_then(|b| if up { b.scale_up.as_ref() } else { b.scale_down.as_ref() });
    let given = rules.and_then(|rules| rules.tolerance.as_ref());
    given.and_then(super::quantity::number).unwrap_or(0.1)
}

/// Limits a recommendation and notes it. An autoscaler without rules of its own is not limited by the
/// rules that others get by default, but as it was before there were any.
pub(super) fn limit(
    spec: &HorizontalPodAutoscalerSpec,
    history: &mut History,
    current: i32,
    recommended: i32,
    now: Timestamp,
) -> Limited {
    if spec.behavior.is_some() {
        by_rules(spec, history, current, recommended, now)
    } else {
        without_rules(spec, history, current, recommended, now)
    }
}

/// No lower than what was recommended within the last five minutes, and at most twice as many.
fn without_rules(
    spec: &HorizontalPodAutoscalerSpec,
    history: &mut History,
    current: i32,
    recommended: i32,
    now: Timestamp,
) -> Limited {
    let recent = history.recommended.iter().filter(|(at, _)| is_within(*at, DOWN_WINDOW, now));
    let highest = recent.map(|(_, replicas)| *replicas).max();
    let stable = highest.map_or(recommended, |highest| highest.max(recommended));
    history.recommend(recommended, now);
    let able = if stable == recommended { STEADY } else { DOWN_STABILIZED };
    let (min, max) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
    let rate = current.saturating_mul(2).max(AT_ONCE);
    let (most, why) = if max > rate { (rate, UP_LIMIT) } else { (max, TOO_MANY) };
    let (replicas, limited) = if stable < min {
        (min, TOO_FEW)
    } else if stable > most {
        (most, why)
    } else {
        (stable, IN_RANGE)
    };
    Limited { replicas, able, limited }
}

fn by_rules(
    spec: &HorizontalPodAutoscalerSpec,
    history: &mut History,
    current: i32,
    recommended: i32,
    now: Timestamp,
) -> Limited {
    let behavior = spec.behavior.as_ref();
    let up = behavior.and_then(|behavior| behavior.scale_up.as_ref());
    let up = Rules::of(up, 0, &[("Pods", 4), ("Percent", 100)]);
    let down = behavior.and_then(|behavior| behavior.scale_down.as_ref());
    let down = Rules::of(down, DOWN_WINDOW, &[("Percent", 100)]);
    let stable = stabilize(history, &up, &down, current, recommended, now);
    history.recommend(recommended, now);
    let able = match stable.cmp(&recommended) {
        std::cmp::Ordering::Equal => STEADY,
        std::cmp::Ordering::Less => UP_STABILIZED,
        std::cmp::Ordering::Greater => DOWN_STABILIZED,
    };
    let (min, max) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
    let (replicas, limited) = if stable > current {
        let rate = up_limit(&up, history, current, now).max(current);
        let (most, why) = if max < rate { (max, TOO_MANY) } else { (rate, UP_LIMIT) };
        if stable > most { (most, why) } else { (stable, IN_RANGE) }
    } else if stable < current {
        let rate = down_limit(&down, history, current, now).min(current);
        let (least, why) = if min > rate { (min, TOO_FEW) } else { (rate, DOWN_LIMIT) };
        if stable < least { (least, why) } else { (stable, IN_RANGE) }
    } else {
        (stable, IN_RANGE)
    };
    Limited { replicas, able, limited }
}

/// Up only as far as everything recommended within the window agrees, and down likewise.
fn stabilize(
    history: &History,
    up: &Rules,
    down: &Rules,
    current: i32,
    recommended: i32,
    now: Timestamp,
) -> i32 {
    let within = |window: i32| {
        let recent = history.recommended.iter().filter(move |(at, _)| is_within(*at, window, now));
        recent.map(|(_, replicas)| *replicas).chain([recommended])
    };
    let lowest = within(up.window).min().unwrap_or(recommended);
    let highest = within(down.window).max().unwrap_or(recommended);
    current.max(lowest).min(highest)
}

fn up_limit(rules: &Rules, history: &History, current: i32, now: Timestamp) -> i32 {
    let Some(policies) = &rules.policies else { return current };
    let limits = policies.iter().map(|policy| {
        let seconds = policy.period_seconds;
        let added = history.changed(1, seconds, now);
        let before = current - added + history.changed(-1, seconds, now);
        match policy.type_.as_str() {
            "Percent" => percent(before, 100_i64.saturating_add(policy.value.into()), 99),
            _ => before.saturating_add(policy.value),
        }
    });
    rules.select(limits, true).unwrap_or(current)
}

fn down_limit(rules: &Rules, history: &History, current: i32, now: Timestamp) -> i32 {
    let Some(policies) = &rules.policies else { return current };
    let limits = policies.iter().map(|policy| {
        let seconds = policy.period_seconds;
        let removed = history.changed(-1, seconds, now);
        let before = current + removed - history.changed(1, seconds, now);
        match policy.type_.as_str() {
            "Percent" => percent(before, 100 - i64::from(policy.value), 0),
            _ => before.saturating_sub(policy.value),
        }
    });
    rules.select(limits, false).unwrap_or(current)
}

/// A share of a number, rounded up with `round` 99.
fn percent(number: i32, percent: i64, round: i64) -> i32 {
    let hundredths = i64::from(number).saturating_mul(percent).saturating_add(round);
    i32::try_from(hundredths.div_euclid(100)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn spec(behavior: Value) -> HorizontalPodAutoscalerSpec {
        serde_json::from_value(json!({"minReplicas": 2, "maxReplicas": 50, "behavior": behavior,
            "scaleTargetRef": {"kind": "Deployment", "name": "d"}}))
        .unwrap()
    }

    fn after(
        behavior: Value,
        recommended: &[(i64, i32)],
        scaled: &[(i64, i32)],
        current: i32,
        wanted: i32,
    ) -> (i32, &'static str, &'static str) {
        let mut history = History {
            recommended: recommended.iter().map(|(second, n)| (at(*second), *n)).collect(),
            scaled: scaled.iter().map(|(second, n)| (at(*second), *n)).collect(),
        };
        let limited = limit(&spec(behavior), &mut history, current, wanted, at(1000));
        (limited.replicas, limited.able.0, limited.limited.1)
    }

    #[test]
    fn without_rules_up_at_once_and_down_after_five_minutes() {
        let none = || Value::Null;
        for (recommended, current, wanted, replicas, able, limited) in [
            (vec![], 5, 5, 5, "ReadyForNewScale", "DesiredWithinRange"),
            (vec![], 5, 7, 7, "ReadyForNewScale", "DesiredWithinRange"),
            (vec![], 5, 30, 10, "ReadyForNewScale", "ScaleUpLimit"),
            (vec![], 2, 30, 4, "ReadyForNewScale", "ScaleUpLimit"),
            (vec![], 1, 30, 4, "ReadyForNewScale", "ScaleUpLimit"),
            (vec![], 3, 6, 6, "ReadyForNewScale", "DesiredWithinRange"),
            (vec![], 3, 7, 6, "ReadyForNewScale", "ScaleUpLimit"),
            (vec![], 40, 90, 50, "ReadyForNewScale", "TooManyReplicas"),
            (vec![], 5, 1, 2, "ReadyForNewScale", "TooFewReplicas"),
            (vec![(800, 5)], 5, 1, 5, "ScaleDownStabilized", "DesiredWithinRange"),
            (vec![(800, 4), (900, 3)], 5, 1, 4, "ScaleDownStabilized", "DesiredWithinRange"),
            // Somebody made it smaller: what was recommended still holds.
            (vec![(900, 8)], 5, 3, 8, "ScaleDownStabilized", "DesiredWithinRange"),
            (vec![(600, 5)], 5, 3, 3, "ReadyForNewScale", "DesiredWithinRange"),
        ] {
            let limited_to = after(none(), &recommended, &[], current, wanted);
            assert_eq!(limited_to, (replicas, able, limited), "{current} to {wanted}");
        }
    }

    #[test]
    fn rules_limit_the_rate_of_change() {
        let up = |rules: Value| json!({"scaleUp": rules});
        let down = |rules: Value| json!({"scaleDown": rules});
        let pods = json!([{"type": "Pods", "value": 2, "periodSeconds": 60}]);
        let both = json!([{"type": "Pods", "value": 2, "periodSeconds": 60},
            {"type": "Percent", "value": 50, "periodSeconds": 60}]);
        let quick = |rules: Value| {
            let mut rules = rules;
            rules["stabilizationWindowSeconds"] = 0.into();
            rules
        };
        for (behavior, scaled, current, wanted, replicas) in [
            (up(json!({})), vec![], 2, 30, 6),
            (up(json!({})), vec![], 5, 30, 10),
            (up(json!({"policies": pods})), vec![], 10, 20, 12),
            (up(json!({"policies": pods})), vec![(950, 1)], 11, 20, 12),
            (up(json!({"policies": pods})), vec![(900, 1)], 11, 20, 13),
            (up(json!({"policies": both})), vec![], 10, 20, 15),
            (up(json!({"policies": both, "selectPolicy": "Min"})), vec![], 10, 20, 12),
            (up(json!({"policies": both, "selectPolicy": "Disabled"})), vec![], 10, 20, 10),
            (down(quick(json!({"policies": pods}))), vec![], 10, 3, 8),
            (down(quick(json!({"policies": both}))), vec![], 10, 3, 5),
            (down(quick(json!({"policies": both, "selectPolicy": "Min"}))), vec![], 10, 3, 8),
            (down(quick(json!({"policies": pods}))), vec![(990, -2)], 8, 3, 8),
        ] {
            let limited = after(behavior.clone(), &[], &scaled, current, wanted);
            assert_eq!(limited.0, replicas, "{behavior} after {scaled:?}");
        }
        let slow = up(json!({"stabilizationWindowSeconds": 100}));
        assert_eq!(
            after(slow, &[(950, 6)], &[], 5, 9),
            (6, "ScaleUpStabilized", "DesiredWithinRange")
        );
    }
}
