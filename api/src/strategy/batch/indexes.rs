//! Lists of indexes of an indexed job, as `1,3-5,7`.

use crate::field::go_quote;

/// An interval of indexes, both ends included.
pub(super) type Interval = (i64, i64);

/// Reads a list: intervals in increasing order, all below `completions`.
///
/// # Errors
/// What is wrong, in Kubernetes' words.
pub(super) fn parse(text: &str, completions: i64) -> Result<Vec<Interval>, String> {
    let mut intervals: Vec<Interval> = Vec::new();
    if text.is_empty() {
        return Ok(intervals);
    }
    for part in text.split(',') {
        let (first, last) = parse_interval(part, completions)?;
        if let Some((_, previous)) = intervals.last().filter(|(_, previous)| *previous >= first) {
            return Err(format!("non-increasing order, previous: {previous}, current: {first}"));
        }
        intervals.push((first, last));
    }
    Ok(intervals)
}

fn parse_interval(text: &str, completions: i64) -> Result<Interval, String> {
    let number = |text: &str| {
        let n: i64 = text.parse().map_err(|_| {
            format!("cannot convert string to integer for index: {}", go_quote(text))
        })?;
        if n >= completions {
            return Err(format!("too large index: {}", go_quote(text)));
        }
        Ok(n)
    };
    let Some((first, last)) = text.split_once('-') else {
        let n = number(text)?;
        return Ok((n, n));
    };
    if last.contains('-') {
        return Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two \
             parts separated by '-'",
            go_quote(text)
        ));
    }
    let (first, last) = (number(first)?, number(last)?);
    if first >= last {
        return Err(format!("non-increasing order, previous: {first}, current: {last}"));
    }
    Ok((first, last))
}

/// How many indexes there are in a list.
pub(super) fn count(intervals: &[Interval]) -> i64 {
    intervals.iter().map(|(first, last)| last - first + 1).sum()
}

/// The first index that is in both lists.
pub(super) fn overlap(one: &[Interval], other: &[Interval]) -> Option<i64> {
    let (mut one, mut other) = (one, other);
    while let (Some((a, b)), Some((c, d))) = (one.first(), other.first()) {
        if a <= d && c <= b {
            return Some(*a.max(c));
        }
        if a <= c {
            one = &one[1..];
        } else {
            other = &other[1..];
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_order() {
        for (text, wanted) in [
            ("", Ok(vec![])),
            ("3", Ok(vec![(3, 3)])),
            ("1,3-5,7", Ok(vec![(1, 1), (3, 5), (7, 7)])),
            ("5,5", Err("non-increasing order, previous: 5, current: 5")),
            ("5-3", Err("non-increasing order, previous: 5, current: 3")),
            ("10", Err("too large index: \"10\"")),
            ("x", Err("cannot convert string to integer for index: \"x\"")),
            ("1-2-3", Err("the fragment \"1-2-3\" violates the requirement")),
        ] {
            match (parse(text, 10), wanted) {
                (Ok(have), Ok(want)) => assert_eq!(have, want, "{text}"),
                (Err(have), Err(want)) => assert!(have.starts_with(want), "{text}: {have}"),
                (have, _) => panic!("{text}: {have:?}"),
            }
        }
        assert_eq!(count(&[(1, 1), (3, 5)]), 4);
        for (one, other, first) in [
            (&[(1, 3)][..], &[(3, 4)][..], Some(3)),
            (&[(0, 1), (5, 9)], &[(2, 4), (9, 9)], Some(9)),
            (&[(0, 1)], &[(2, 4)], None),
        ] {
            assert_eq!(overlap(one, other), first);
        }
    }
}
