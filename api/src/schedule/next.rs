//! When a schedule is due.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::{Numbers, Rule};

/// Nothing is looked for longer than this.
const YEARS: i16 = 5;

impl Rule {
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let (minute, hour, day, month, weekday) = match self {
            Self::Every(every) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                return whole.checked_add(SignedDuration::try_from(*every).ok()?).ok();
            }
            Self::Clock { minute, hour, day, month, weekday } => {
                (*minute, *hour, *day, *month, *weekday)
            }
        };
        let mut date = after.to_zoned(zone.clone()).date();
        let last = date.year().saturating_add(YEARS);
        while date.year() <= last {
            if !month.contains(date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            if is_day(day, weekday, date) {
                for hour in (0..24).filter(|n| hour.contains(*n)) {
                    let minutes = (0..60).filter(|n| minute.contains(*n));
                    let due = minutes.flat_map(|minute| instants(date, hour, minute, zone));
                    if let Some(first) = due.filter(|due| *due > after).min() {
                        return Some(first);
                    }
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }
}

/// Whether a day is meant. When both fields of days say something, one of them is enough.
fn is_day(day: Numbers, weekday: Numbers, date: Date) -> bool {
    let by_day = day.contains(date.day());
    let by_weekday = weekday.contains(date.weekday().to_sunday_zero_offset());
    if day.any || weekday.any { by_day && by_weekday } else { by_day || by_weekday }
}

/// When the clock of the zone shows that time: once, never (skipped in spring) or twice (in
/// autumn).
fn instants(date: Date, hour: i8, minute: i8, zone: &TimeZone) -> Vec<Timestamp> {
    let time = date.at(hour, minute, 0, 0);
    let offsets = match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![offset],
        AmbiguousOffset::Gap { .. } => Vec::new(),
        AmbiguousOffset::Fold { before, after } => vec![before, after],
    };
    offsets.into_iter().filter_map(|offset| offset.to_timestamp(time).ok()).collect()
}

#[cfg(test)]
mod tests {
    use crate::schedule::{Schedule, time_zone};

    fn due(schedule: &str, zone: &str, after: &str, times: usize) -> Vec<String> {
        let (schedule, zone) = (Schedule::parse(schedule).unwrap(), time_zone(zone).unwrap());
        let mut at = after.parse().unwrap();
        let mut all = Vec::new();
        while all.len() < times
            && let Some(next) = schedule.next(at, &zone)
        {
            at = next;
            all.push(at.to_string());
        }
        all
    }

    #[test]
    fn times_on_the_clock() {
        for (schedule, after, wanted) in [
            ("* * * * *", "2026-01-01T00:00:00Z", ["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"]),
            (
                "*/20 * * * *",
                "2026-01-01T23:30:01Z",
                ["2026-01-01T23:40:00Z", "2026-01-02T00:00:00Z"],
            ),
            ("@hourly", "2026-12-31T23:00:00Z", ["2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z"]),
            ("@monthly", "2026-01-15T00:00:00Z", ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]),
            (
                "30 6-16/4 * * 1-5",
                "2026-01-02T11:00:00Z",
                ["2026-01-02T14:30:00Z", "2026-01-05T06:30:00Z"],
            ),
            (
                "0 0 29 feb *",
                "2026-01-01T00:00:00Z",
                ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
            ),
            // Both days are given: either will do.
            (
                "0 0 13 * fri",
                "2026-01-01T00:00:00Z",
                ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"],
            ),
            (
                "0 0 */2 * fri",
                "2026-01-01T00:00:00Z",
                ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"],
            ),
            (
                "@every 90s",
                "2026-01-01T00:00:00.5Z",
                ["2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z"],
            ),
            (
                "TZ=Asia/Tokyo 0 9 * * *",
                "2026-01-01T12:00:00Z",
                ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"],
            ),
        ] {
            assert_eq!(due(schedule, "UTC", after, 2), wanted, "{schedule}");
        }
        assert_eq!(due("59 23 31 2 *", "UTC", "2026-01-01T00:00:00Z", 1), Vec::<String>::new());
    }

    #[test]
    fn clocks_that_are_changed() {
        // Berlin skips 02:00 to 03:00 on 2026-03-29 and has it twice on 2026-10-25.
        assert_eq!(
            due("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 2),
            ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            due("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:45:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
        );
    }
}
