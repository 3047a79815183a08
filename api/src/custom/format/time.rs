//! Dates, times and durations.
//!
//! Source: k8s.io/kube-openapi/pkg/validation/strfmt/{date,time,duration}.go.

use jiff::civil::Date;

use super::{Known, known};
use crate::duration;

static DATE: Known = Known::new(|| known(r"^\d{4}-\d{2}-\d{2}$"));
static TIME: Known =
    Known::new(|| known(r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(.\d+)?(z|[+-]\d{2}:\d{2})$"));

/// `2026-11-21`.
pub(super) fn is_date(text: &str) -> bool {
    DATE.matches(text) && text.parse::<Date>().is_ok()
}

/// `2026-11-21T10:00:00.5Z`. What follows another `T` is not looked at.
pub(super) fn is_date_time(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut parts = text.split('t');
    let (date, time) = (parts.next(), parts.next());
    date.is_some_and(is_date) && time.is_some_and(|time| TIME.matches(time))
}

/// The units of a duration in words; of the second ones the beginning is enough.
const UNITS: &[(&[&str], &str)] = &[
    (&["ns"], "nano"),
    (&["us", "µs"], "micro"),
    (&["ms"], "milli"),
    (&["s"], "sec"),
    (&["m"], "min"),
    (&["h", "hr"], "hour"),
    (&["d"], "day"),
    (&["w", "wk"], "week"),
];

/// `1h30m`, or anything in which a number and a unit follow each other: `3 days`, `1.5 hours`.
pub(super) fn is_duration(text: &str) -> bool {
    if duration::parse(text).is_some() {
        return true;
    }
    let mut known = false;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let number = &rest[start..];
        let (digits, after) = split(number, |c| c.is_ascii_digit());
        let blank = |c| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ');
        let (unit, behind) = split(split(after, blank).1, |c| c.is_ascii_alphabetic() || c == 'µ');
        if unit.is_empty() {
            rest = after;
            continue;
        }
        // Numbers that are too large are none.
        if digits.parse::<i64>().is_err() {
            return false;
        }
        let unit = unit.to_lowercase();
        known |=
            UNITS.iter().any(|(short, long)| short.contains(&&*unit) || unit.starts_with(long));
        rest = behind;
    }
    known
}

/// The longest beginning of such characters, and the rest.
fn split(text: &str, within: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !within(c)).unwrap_or(text.len()))
}
