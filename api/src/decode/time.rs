//! What is wrong with a time, in the words of Go's time package, which clients are used to.

use crate::field::go_quote;

/// The elements of RFC 3339 as Go's layouts write them, with what stands before each.
const ELEMENTS: [(&str, &str); 7] =
    [("", "2006"), ("-", "01"), ("-", "02"), ("T", "15"), (":", "04"), (":", "05"), ("", "Z07:00")];

/// Why `text` is no time of `layout`.
pub(super) fn error(text: &str, layout: &str) -> String {
    let quoted = go_quote(text);
    let bad = |rest: &str, element: &str| {
        let (layout, rest, element) = (go_quote(layout), go_quote(rest), go_quote(element));
        format!("parsing time {quoted} as {layout}: cannot parse {rest} as {element}")
    };
    let out_of_range = |what: &str| format!("parsing time {quoted}: {what} out of range");
    let mut rest = text;
    for (before, element) in ELEMENTS {
        rest = match rest.strip_prefix(before) {
            Some(rest) => rest,
            None => return bad(rest, before),
        };
        if element == "Z07:00" {
            break;
        }
        let length = if element == "2006" { 4 } else { 2 };
        let digits = rest.bytes().take(length).take_while(u8::is_ascii_digit).count();
        // An hour may have one digit.
        if digits < length && !(element == "15" && digits == 1) {
            return bad(rest, element);
        }
        let (number, behind) = rest.split_at(digits);
        let number: u32 = number.parse().unwrap_or_default();
        let what = match element {
            "01" if !(1..=12).contains(&number) => "month",
            "15" if number > 23 => "hour",
            "04" if number > 59 => "minute",
            "05" if number > 59 => "second",
            _ => "",
        };
        if !what.is_empty() {
            return out_of_range(what);
        }
        rest = behind;
        if element == "05"
            && let Some(fraction) = rest.strip_prefix(['.', ','])
        {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            rest = if digits > 0 { &fraction[digits..] } else { rest };
        }
    }
    let rest = match rest.as_bytes() {
        [b'Z', ..] => &rest[1..],
        [b'+' | b'-', a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|d| d.is_ascii_digit()) => {
            &rest[6..]
        }
        _ => return bad(rest, "Z07:00"),
    };
    if rest.is_empty() {
        return out_of_range("day");
    }
    format!("parsing time {quoted}: extra text: {}", go_quote(rest))
}

#[cfg(test)]
mod tests {
    use super::error;

    #[test]
    fn times_are_refused_as_go_refuses_them() {
        let layout = "2006-01-02T15:04:05Z07:00";
        let as_layout = format!("as \"{layout}\": cannot parse");
        for (text, want) in [
            ("x", format!("{as_layout} \"x\" as \"2006\"")),
            ("", format!("{as_layout} \"\" as \"2006\"")),
            ("24-01-01", format!("{as_layout} \"24-01-01\" as \"2006\"")),
            ("2024", format!("{as_layout} \"\" as \"-\"")),
            ("2024-1-01", format!("{as_layout} \"1-01\" as \"01\"")),
            ("2024-01-02", format!("{as_layout} \"\" as \"T\"")),
            ("2024-01-02 03:04:05Z", format!("{as_layout} \" 03:04:05Z\" as \"T\"")),
            ("2024-01-02T03:04:05", format!("{as_layout} \"\" as \"Z07:00\"")),
            ("2024-01-02T03:04:05.5+1:00", format!("{as_layout} \"+1:00\" as \"Z07:00\"")),
        ] {
            assert_eq!(error(text, layout), format!("parsing time \"{text}\" {want}"));
        }
        for (text, want) in [
            ("2024-13-02T03:04:05Z", "month out of range"),
            ("2024-02-30T03:04:05Z", "day out of range"),
            ("2024-01-02T24:04:05Z", "hour out of range"),
            ("2024-01-02T3:60:05Z", "minute out of range"),
            ("2024-01-02T03:04:60Z", "second out of range"),
            ("2024-01-02T03:04:05Zx", "extra text: \"x\""),
        ] {
            assert_eq!(error(text, layout), format!("parsing time \"{text}\": {want}"));
        }
    }
}
