//! Times as Go's time package reads them, and what is wrong with one in its words, which clients
//! are used to.
//!
//! Source: the layouts of k8s.io/apimachinery's Time and MicroTime, and Go's time.Parse.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use crate::field::go_quote;

/// The layout of a Time: whole seconds, but a fraction is passed over.
pub(super) const TIME: &str = "2006-01-02T15:04:05Z07:00";
/// The layout of a MicroTime: six digits of a fraction, neither more nor fewer.
pub(super) const MICRO_TIME: &str = "2006-01-02T15:04:05.000000Z07:00";

/// The elements of both layouts up to the seconds, with what stands before each.
const ELEMENTS: [(&str, &str); 6] =
    [("", "2006"), ("-", "01"), ("-", "02"), ("T", "15"), (":", "04"), (":", "05")];
/// The fraction that a MicroTime has.
const MICROSECONDS: &str = ".000000";
/// Where the time is that of.
const ZONE: &str = "Z07:00";

/// Reads a time of `layout`.
///
/// # Errors
/// Why it is none.
pub(super) fn parse(text: &str, layout: &str) -> Result<Timestamp, String> {
    let quoted = go_quote(text);
    let bad = |rest: &str, element: &str| {
        let (layout, rest, element) = (go_quote(layout), go_quote(rest), go_quote(element));
        format!("parsing time {quoted} as {layout}: cannot parse {rest} as {element}")
    };
    let out_of_range = |what: &str| format!("parsing time {quoted}: {what} out of range");
    let mut rest = text;
    let mut numbers = [0_u16; ELEMENTS.len()];
    for ((before, element), read) in ELEMENTS.into_iter().zip(&mut numbers) {
        rest = rest.strip_prefix(before).ok_or_else(|| bad(rest, before))?;
        let length = element.len();
        let digits = rest.bytes().take(length).take_while(u8::is_ascii_digit).count();
        // An hour may have one digit.
        if digits < length && !(element == "15" && digits == 1) {
            return Err(bad(rest, element));
        }
        let (number, behind) = rest.split_at(digits);
        *read = number.parse().unwrap_or_default();
        let what = match element {
            "01" if !(1..=12).contains(read) => "month",
            "15" if *read > 23 => "hour",
            "04" if *read > 59 => "minute",
            "05" if *read > 59 => "second",
            _ => "",
        };
        if !what.is_empty() {
            return Err(out_of_range(what));
        }
        rest = behind;
    }
    let mut nanoseconds = 0;
    if layout == MICRO_TIME {
        let digits = rest.get(1..MICROSECONDS.len()).filter(|_| rest.starts_with(['.', ',']));
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let digits = digits.ok_or_else(|| bad(rest, MICROSECONDS))?;
        nanoseconds = digits.parse::<i32>().unwrap_or_default() * 1000;
        rest = &rest[MICROSECONDS.len()..];
    } else if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        rest = match fraction.trim_start_matches(|digit: char| digit.is_ascii_digit()) {
            none if none.len() == fraction.len() => rest,
            behind => behind,
        };
    }
    let pair = |at: usize| rest.get(at..at + 2).and_then(|digits| digits.parse::<i32>().ok());
    let (seconds, behind) = match rest.as_bytes() {
        [b'Z', ..] => (0, &rest[1..]),
        [sign @ (b'+' | b'-'), a, b, b':', c, d, ..]
            if [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()) =>
        {
            let (hours, minutes) = (pair(1).unwrap_or_default(), pair(4).unwrap_or_default());
            // Some people write an hour as sixty minutes, and a day as its last hour.
            if hours > 24 {
                return Err(out_of_range("time zone offset hour"));
            }
            if minutes > 60 {
                return Err(out_of_range("time zone offset minute"));
            }
            let seconds = hours * 3600 + minutes * 60;
            (if *sign == b'-' { -seconds } else { seconds }, &rest[6..])
        }
        _ => return Err(bad(rest, ZONE)),
    };
    if !behind.is_empty() {
        return Err(format!("parsing time {quoted}: extra text: {}", go_quote(behind)));
    }
    let [year, month, day, hour, minute, second] = numbers;
    let number = |number: u16| i8::try_from(number).unwrap_or_default();
    Date::new(i16::try_from(year).unwrap_or_default(), number(month), number(day))
        .ok()
        .and_then(|date| {
            let time = date.at(number(hour), number(minute), number(second), nanoseconds);
            Offset::from_seconds(seconds).ok()?.to_timestamp(time).ok()
        })
        .ok_or_else(|| out_of_range("day"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, layout, want) in [
            ("2024-01-02T03:04:05Z", TIME, "2024-01-02T03:04:05Z"),
            ("2024-01-02T3:04:05Z", TIME, "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05.678Z", TIME, "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05,6+01:30", TIME, "2024-01-02T01:34:05Z"),
            ("2024-02-29T00:00:00+24:00", TIME, "2024-02-28T00:00:00Z"),
            ("2024-01-02T03:04:05.000006Z", MICRO_TIME, "2024-01-02T03:04:05.000006Z"),
            ("2024-01-02T03:04:05,100000-01:00", MICRO_TIME, "2024-01-02T04:04:05.1Z"),
        ] {
            let got = parse(text, layout).map(|time| time.to_string());
            assert_eq!(got.as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn times_are_refused_as_go_refuses_them() {
        let as_time = format!("as \"{TIME}\": cannot parse");
        let as_micro = format!("as \"{MICRO_TIME}\": cannot parse");
        for (text, layout, want) in [
            ("x", TIME, format!("{as_time} \"x\" as \"2006\"")),
            ("", TIME, format!("{as_time} \"\" as \"2006\"")),
            ("24-01-01", TIME, format!("{as_time} \"24-01-01\" as \"2006\"")),
            ("2024", TIME, format!("{as_time} \"\" as \"-\"")),
            ("2024-1-01", TIME, format!("{as_time} \"1-01\" as \"01\"")),
            ("2024-01-02", TIME, format!("{as_time} \"\" as \"T\"")),
            ("2024-01-02 03:04:05Z", TIME, format!("{as_time} \" 03:04:05Z\" as \"T\"")),
            ("2024-01-02t03:04:05Z", TIME, format!("{as_time} \"t03:04:05Z\" as \"T\"")),
            ("20240102T030405Z", TIME, format!("{as_time} \"0102T030405Z\" as \"-\"")),
            ("2024-01-02T03:04Z", TIME, format!("{as_time} \"Z\" as \":\"")),
            ("2024-01-02T03:04:05", TIME, format!("{as_time} \"\" as \"Z07:00\"")),
            ("2024-01-02T03:04:05.Z", TIME, format!("{as_time} \".Z\" as \"Z07:00\"")),
            ("2024-01-02T03:04:05.5+1:00", TIME, format!("{as_time} \"+1:00\" as \"Z07:00\"")),
            ("2024-01-02T03:04:05z", TIME, format!("{as_time} \"z\" as \"Z07:00\"")),
            ("2024-01-02T03:04:05Z", MICRO_TIME, format!("{as_micro} \"Z\" as \".000000\"")),
            ("2024-01-02T03:04:05.1Z", MICRO_TIME, format!("{as_micro} \".1Z\" as \".000000\"")),
            (
                "2024-01-02T03:04:05.123+01:00",
                MICRO_TIME,
                format!("{as_micro} \".123+01:00\" as \".000000\""),
            ),
            (
                "2024-01-02T03:04:05.1234567Z",
                MICRO_TIME,
                format!("{as_micro} \"7Z\" as \"Z07:00\""),
            ),
        ] {
            assert_eq!(parse(text, layout), Err(format!("parsing time \"{text}\" {want}")));
        }
        for (text, want) in [
            ("2024-13-02T03:04:05Z", "month out of range"),
            ("2024-02-30T03:04:05Z", "day out of range"),
            ("2024-01-02T24:04:05Z", "hour out of range"),
            ("2024-01-02T3:60:05Z", "minute out of range"),
            ("2024-01-02T03:04:60Z", "second out of range"),
            ("2024-01-02T03:04:05+25:00", "time zone offset hour out of range"),
            ("2024-01-02T03:04:05+01:61", "time zone offset minute out of range"),
            ("2024-01-02T03:04:05Zx", "extra text: \"x\""),
            ("2024-01-02T03:04:05Z[UTC]", "extra text: \"[UTC]\""),
        ] {
            assert_eq!(parse(text, TIME), Err(format!("parsing time \"{text}\": {want}")));
        }
    }
}
