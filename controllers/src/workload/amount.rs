//! Numbers of pods that may be given as a share: `3` or `25%`.
//!
//! Source: k8s.io/apimachinery/pkg/util/intstr (GetScaledValueFromIntOrPercent).

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What to do with a part of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// Count it as one.
    Up,
    /// Leave it out.
    Down,
}

/// The number of pods, for a share of `total`; none for a text that is no percentage.
pub(crate) fn of(amount: &IntOrString, total: i32, round: Round) -> Option<i32> {
    match amount {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let hundredths = i64::from(total).checked_mul(percent)?;
            let rounding = if round == Round::Up { 99 } else { 0 };
            i32::try_from(hundredths.checked_add(rounding)?.div_euclid(100)).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_shares() {
        let text = |text: &str| IntOrString::String(text.to_owned());
        for (amount, total, up, down) in [
            (IntOrString::Int(3), 10, Some(3), Some(3)),
            (text("25%"), 10, Some(3), Some(2)),
            (text("25%"), 4, Some(1), Some(1)),
            (text("0%"), 10, Some(0), Some(0)),
            (text("150%"), 3, Some(5), Some(4)),
            (text("25%"), 0, Some(0), Some(0)),
            (text("25"), 10, None, None),
            (text("99999999999999999999%"), 10, None, None),
        ] {
            assert_eq!(of(&amount, total, Round::Up), up, "{amount:?} of {total}");
            assert_eq!(of(&amount, total, Round::Down), down, "{amount:?} of {total}");
        }
    }
}
