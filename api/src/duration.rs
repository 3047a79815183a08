//! Durations as Go writes them, such as `1m0.5s`: the text form of `metav1.Duration`.
//! Source: <https://pkg.go.dev/time#Duration.String>.

use std::fmt::Write as _;

use jiff::SignedDuration;

/// Nanoseconds of a microsecond and of a millisecond.
const MICRO: u128 = 1_000;
const MILLI: u128 = 1_000_000;
const SECOND: u128 = 1_000_000_000;

/// A duration as text, exact to the nanosecond.
#[must_use]
pub fn format(duration: SignedDuration) -> String {
    let mut text = String::new();
    if duration.is_negative() {
        text.push('-');
    }
    let nanos = duration.as_nanos().unsigned_abs();
    let unit = match nanos {
        0 => return "0s".to_owned(),
        1..MICRO => (1, "ns"),
        MICRO..MILLI => (MICRO, "µs"),
        MILLI..SECOND => (MILLI, "ms"),
        _ => (SECOND, "s"),
    };
    let (hours, minutes) = (nanos / (3600 * SECOND), nanos / (60 * SECOND) % 60);
    // Writing into a String does not fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let (size, name) = unit;
    let rest = nanos % (60 * SECOND);
    let digits = size.ilog10() as usize;
    let fraction = match rest % size {
        0 => String::new(),
        fraction => format!(".{fraction:0digits$}").trim_end_matches('0').to_owned(),
    };
    let _ = write!(text, "{}{fraction}{name}", rest / size);
    text
}

/// The duration that a text stands for; `None` if it is none.
#[must_use]
pub fn parse(text: &str) -> Option<SignedDuration> {
    match text {
        "0" => Some(SignedDuration::ZERO),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_100_000_000, "1.1s"),
            (15_042_000_000, "15.042s"),
            (60_000_000_000, "1m0s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_661_000_000_007, "1h1m1.000000007s"),
            (-1_500_000_000, "-1.5s"),
        ] {
            let duration = SignedDuration::from_nanos(nanos);
            assert_eq!(format(duration), text);
            assert_eq!(parse(text), Some(duration), "{text}");
        }
        assert_eq!(parse("0"), Some(SignedDuration::ZERO));
        for wrong in ["", "s", "1 apple", "15"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
