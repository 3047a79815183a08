//! How many pods a rolling update may add and take away. Pure arithmetic on ReplicaSets.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use crate::workload::amount::{self, Round};

/// How far a Deployment may be from its number of replicas while it is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The wanted number of pods.
    pub(super) replicas: i32,
    /// Pods above it.
    pub(super) surge: i32,
    /// Pods that may be missing or not available.
    pub(super) unavailable: i32,
}

impl Limits {
    /// The limits of a Deployment; without a rolling update nothing is added or may be missing.
    pub(super) fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1).max(0);
        let strategy = spec.and_then(|spec| spec.strategy.as_ref());
        if super::plan::is_recreate(deployment) {
            return Self { replicas, surge: 0, unavailable: 0 };
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let number = |value: Option<&_>, round| {
            value.and_then(|value| amount::of(value, replicas, round)).unwrap_or(0).max(0)
        };
        let surge = number(rolling.and_then(|r| r.max_surge.as_ref()), Round::Up);
        let mut unavailable = number(rolling.and_then(|r| r.max_unavailable.as_ref()), Round::Down);
        if surge == 0 && unavailable == 0 {
            // Validation refuses 0 for both, but a small share may be less than one pod: without
            // either there would be no progress.
            unavailable = 1;
        }
        Self { replicas, surge, unavailable: unavailable.min(replicas) }
    }

    /// The most pods at a time.
    pub(super) fn most(self) -> i32 {
        self.replicas.saturating_add(self.surge)
    }

    /// The fewest available pods at a time.
    pub(super) fn fewest_available(self) -> i32 {
        self.replicas - self.unavailable
    }

    /// How large the ReplicaSet of the present template may become, when all together ask for `all`
    /// pods and it for `new`.
    pub(super) fn new_size(self, all: i32, new: i32) -> i32 {
        if all >= self.most() {
            return new;
        }
        new + (self.most() - all).min(self.replicas - new)
    }
}

/// What a ReplicaSet asks for.
pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// How many of its pods are available.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// How many pods it has.
pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

/// A size in the making: what a ReplicaSet asks for and has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) replicas: i32,
    pub(super) available: i32,
}

/// The new sizes of the old ReplicaSets, oldest first, in a rolling update beside a new one.
///
/// Pods that are not available go first, as nothing is lost with them; then as many as can be
/// missed.
pub(super) fn scale_down(limits: Limits, old: &[Size], new: Size) -> Vec<i32> {
    let mut sizes: Vec<i32> = old.iter().map(|size| size.replicas).collect();
    let all = sizes.iter().sum::<i32>() + new.replicas;
    let starting = new.replicas - new.available;
    let most = all - limits.fewest_available() - starting;
    if most <= 0 {
        return sizes;
    }
    let mut left = most;
    for (size, old) in sizes.iter_mut().zip(old) {
        let useless = (*size - old.available).clamp(0, left);
        *size -= useless;
        left -= useless;
    }
    let available = old.iter().map(|size| size.available).sum::<i32>() + new.available;
    let mut left = available - limits.fewest_available();
    for size in &mut sizes {
        let dispensable = (*size).min(left).max(0);
        *size -= dispensable;
        left -= dispensable;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn limits(replicas: i32, surge: Value, unavailable: Value) -> Limits {
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let deployment = json!({"spec": {"replicas": replicas, "selector": {}, "template": {},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}});
        Limits::of(&serde_json::from_value(deployment).unwrap())
    }

    #[test]
    fn shares_are_rounded_towards_safety_and_progress() {
        for (replicas, surge, unavailable, most, fewest) in [
            (10, json!("25%"), json!("25%"), 13, 8),
            (4, json!(0), json!(1), 4, 3),
            (4, json!(2), json!(0), 6, 4),
            (1, json!("25%"), json!("25%"), 2, 1),
            (3, json!(0), json!("10%"), 3, 2),
            (1, json!(0), json!(5), 1, 0),
            (0, json!("25%"), json!("25%"), 0, 0),
        ] {
            let limits = limits(replicas, surge.clone(), unavailable.clone());
            let found = (limits.most(), limits.fewest_available());
            assert_eq!(found, (most, fewest), "{replicas} {surge} {unavailable}");
        }
    }

    #[test]
    fn the_new_one_grows_as_far_as_the_surge_allows() {
        let limits = limits(10, json!(3), json!(2));
        for (all, new, size) in
            [(10, 0, 3), (13, 3, 3), (8, 0, 5), (0, 0, 10), (12, 9, 10), (20, 4, 4)]
        {
            assert_eq!(limits.new_size(all, new), size, "{new} of {all}");
        }
    }

    #[test]
    fn old_ones_shrink_while_enough_is_available() {
        let size = |replicas, available| Size { replicas, available };
        let limits = limits(10, json!(3), json!(2));
        for (case, old, new, sizes) in [
            ("at the start", vec![size(10, 10)], size(0, 0), vec![8]),
            ("the new ones start", vec![size(8, 8)], size(5, 0), vec![8]),
            ("the new ones are there", vec![size(8, 8)], size(5, 5), vec![3]),
            ("useless ones go first", vec![size(4, 4), size(4, 0)], size(5, 5), vec![3, 0]),
            ("nothing works", vec![size(10, 0)], size(3, 0), vec![8]),
            ("done", vec![size(0, 0)], size(10, 10), vec![0]),
            ("the oldest first", vec![size(2, 2), size(8, 8)], size(3, 3), vec![0, 5]),
        ] {
            assert_eq!(scale_down(limits, &old, new), sizes, "{case}");
        }
    }
}
