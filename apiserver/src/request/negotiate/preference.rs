//! What of several forms a client likes best.

use super::media_type;

/// How many clauses of an Accept header are put in order; further ones are taken as they come.
const SORTED: usize = 12;

/// The clauses of an Accept header in the order in which Kubernetes tries them: those with the greater
/// `q` first, and what names its media type before what takes any.
///
/// Source: github.com/munnerz/goautoneg (ParseAccept). Its order is none in the strict sense (a clause
/// may come before another by its `q`, and that before it by its type), so that what is sorted how
/// matters: by insertion, as Go does with so few.
pub(super) fn by_preference(accept: &str) -> Vec<&str> {
    let mut clauses: Vec<&str> = accept.split(',').collect();
    for end in 1..clauses.len().min(SORTED) {
        let mut at = end;
        while at > 0 && is_before(clauses[at], clauses[at - 1]) {
            clauses.swap(at, at - 1);
            at -= 1;
        }
    }
    clauses
}

fn is_before(clause: &str, other: &str) -> bool {
    let any = |of: &str| {
        let (kind, below) = media_type(of).split_once('/').unwrap_or(("*", "*"));
        (kind == "*", below == "*")
    };
    let ((any_type, any_below), (other_any_type, other_any_below)) = (any(clause), any(other));
    quality(clause) > quality(other)
        || (!any_type && other_any_type)
        || (!any_below && other_any_below)
}

/// How much a client likes a clause, from 0 to 1; not at all if that is no number.
fn quality(clause: &str) -> f32 {
    let mut params = clause.split(';').skip(1).filter_map(|param| param.trim().split_once('='));
    let said = params.find(|(name, _)| name.trim() == "q");
    said.map_or(1.0, |(_, q)| q.parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_liked_best_comes_first() {
        for (accept, want) in [
            ("a/b", "a/b"),
            ("a/b, c/d", "a/b, c/d"),
            ("a/b;q=0.1,c/d;q=0.2, e/f;q=0.3", " e/f;q=0.3,c/d;q=0.2,a/b;q=0.1"),
            ("*/*,a/b", "a/b,*/*"),
            ("a/*,*,a/b", "a/b,a/*,*"),
            ("a/b;q=0.5,*/*", "*/*,a/b;q=0.5"),
            ("a/b;q=odd,c/d;q=0.1", "c/d;q=0.1,a/b;q=odd"),
            ("a/b;as=Table; q=0.3,c/d;q=0.4", "c/d;q=0.4,a/b;as=Table; q=0.3"),
        ] {
            assert_eq!(by_preference(accept).join(","), want, "{accept}");
        }
    }
}
