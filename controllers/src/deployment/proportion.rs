//! A Deployment that is scaled in the middle of a rolling update: every ReplicaSet gets its share,
//! so that what is not tested yet does not take all the new traffic.
//!
//! Source: k8s.io/kubernetes/pkg/controller/deployment/util (GetReplicaSetProportion).

/// One ReplicaSet with pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// How many pods it asks for.
    pub(super) replicas: i32,
    /// The most pods that the Deployment was allowed when this was last scaled.
    pub(super) most_before: i32,
}

/// The new sizes of `parts`, which come largest first (when growing, of equal ones the youngest
/// first, else the oldest), so that `most` pods are allowed. `scaled_to_zero`: none is wanted.
pub(super) fn sizes(parts: &[Part], most: i32, scaled_to_zero: bool) -> Vec<i32> {
    let now: i32 = parts.iter().map(|part| part.replicas).sum();
    let to_add = if scaled_to_zero { -now } else { most - now };
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::with_capacity(parts.len());
    for part in parts {
        let share = if to_add == 0 || to_add == added || part.replicas == 0 {
            0
        } else {
            let fraction = fraction(*part, most, scaled_to_zero);
            let left = to_add - added;
            if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
        };
        added += share;
        sizes.push(part.replicas + share);
    }
    // What rounding left over goes to the largest.
    if let Some(largest) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    sizes
}

/// By how much a part has to change to keep its share.
fn fraction(part: Part, most: i32, scaled_to_zero: bool) -> i32 {
    if scaled_to_zero {
        return -part.replicas;
    }
    let before = i64::from(part.most_before);
    if before == 0 {
        return 0;
    }
    let doubled = 2 * i64::from(part.replicas) * i64::from(most) + before;
    let rounded = doubled.div_euclid(2 * before);
    i32::try_from(rounded).unwrap_or(i32::MAX) - part.replicas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_keeps_its_share() {
        let part = |replicas, most_before| Part { replicas, most_before };
        for (case, parts, most, expected) in [
            // 10 + surge 3 before; 15 + 3 now: the documentation's example.
            ("up", vec![part(8, 13), part(5, 13)], 18, vec![11, 7]),
            ("one alone takes all", vec![part(5, 5)], 8, vec![8]),
            ("down", vec![part(8, 13), part(5, 13)], 7, vec![4, 3]),
            (
                "leftovers go to the largest",
                vec![part(1, 3), part(1, 3), part(1, 3)],
                4,
                vec![2, 1, 1],
            ),
            ("nothing to do", vec![part(2, 4), part(2, 4)], 4, vec![2, 2]),
            ("never known", vec![part(2, 0), part(1, 0)], 6, vec![5, 1]),
        ] {
            assert_eq!(sizes(&parts, most, false), expected, "{case}");
        }
        assert_eq!(sizes(&[part(8, 13), part(5, 13)], 0, true), [0, 0]);
        assert!(sizes(&[], 4, false).is_empty());
    }
}
