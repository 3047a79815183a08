//! Classes of characters: `[a-z]`, `[[:alpha:]]`, `\d`, `\p{Greek}`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;

use super::{Malformed, NEVER, escape};

/// The problem of a class that there is not.
const INVALID: &str = "invalid character class range";

/// The names between `[:` and `:]`.
const NAMED: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// The characters that are no characters of their own, in UTF-16 halves of some.
const SURROGATES: (u32, u32) = (0xD800, 0xDFFF);

/// The class at the start of `text`, which is a `[`, and what follows it.
pub(super) fn class(text: &str) -> Result<(String, &str), Malformed> {
    let mut rest = &text[1..];
    let negated = rest.starts_with('^');
    if negated {
        rest = &rest[1..];
    }
    let mut set = String::new();
    let mut first = true;
    loop {
        if rest.starts_with(']') && !first {
            return Ok((bracketed(&set, negated), &rest[1..]));
        }
        first = false;
        if let Some((part, after)) = named(rest)? {
            set.push_str(&part);
            rest = after;
        } else if let Some((part, after)) = escaped(rest)? {
            set.push_str(&part);
            rest = after;
        } else {
            rest = range(&mut set, rest, text)?;
        }
    }
}

/// A set within brackets, or what is not in it.
pub(super) fn bracketed(set: &str, negated: bool) -> String {
    match (set, negated) {
        ("", false) => NEVER.to_owned(),
        ("", true) => "(?s:.)".to_owned(),
        (set, negated) => format!("[{}{set}]", if negated { "^" } else { "" }),
    }
}

/// A character, or a range of them, at the start of `rest` of the class `whole`.
fn range<'t>(set: &mut String, rest: &'t str, whole: &str) -> Result<&'t str, Malformed> {
    let (low, mut after) = one(rest, whole)?;
    let mut high = low;
    // The last dash stands for itself.
    if let Some(ahead) = after.strip_prefix('-')
        && !ahead.is_empty()
        && !ahead.starts_with(']')
    {
        (high, after) = one(ahead, whole)?;
        if high < low {
            return Err(Malformed::new(INVALID, &rest[..rest.len() - after.len()]));
        }
    }
    let (below, above) = (SURROGATES.0 - 1, SURROGATES.1 + 1);
    for (low, high) in [(low, high.min(below)), (low.max(above), high)] {
        if low <= high {
            // Writing into a String does not fail.
            let _ = write!(set, r"\x{{{low:X}}}-\x{{{high:X}}}");
        }
    }
    Ok(after)
}

fn one<'t>(text: &'t str, whole: &str) -> Result<(u32, &'t str), Malformed> {
    match text.chars().next() {
        None => Err(Malformed::new("missing closing ]", whole)),
        Some('\\') => escape::point(text),
        Some(c) => Ok((u32::from(c), &text[c.len_utf8()..])),
    }
}

/// `[:alpha:]` or `[:^alpha:]` at the start of a text.
fn named(text: &str) -> Result<Option<(String, &str)>, Malformed> {
    let Some((name, rest)) = text.strip_prefix("[:").and_then(|text| text.split_once(":]")) else {
        return Ok(None);
    };
    if !NAMED.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(Malformed::new(INVALID, &text[..text.len() - rest.len()]));
    }
    Ok(Some((format!("[:{name}:]"), rest)))
}

/// `\d` and the like, or `\pL` and the like, at the start of a text: a set for use in brackets.
pub(super) fn escaped(text: &str) -> Result<Option<(String, &str)>, Malformed> {
    let mut chars = text.chars();
    let (Some('\\'), Some(letter)) = (chars.next(), chars.next()) else { return Ok(None) };
    let set = match letter {
        'd' => "0-9",
        'D' => "[^0-9]",
        's' => r"\t\n\f\r\x20",
        'S' => r"[^\t\n\f\r\x20]",
        'w' => "0-9A-Za-z_",
        'W' => "[^0-9A-Za-z_]",
        'p' | 'P' => return unicode(text, letter == 'P').map(Some),
        _ => return Ok(None),
    };
    Ok(Some((set.to_owned(), chars.as_str())))
}

/// `\pL`, `\p{Greek}`, `\P{^Greek}`.
fn unicode(text: &str, negated: bool) -> Result<(String, &str), Malformed> {
    let refused = |part: &str| Malformed::new(INVALID, part);
    let inside = &text[2..];
    let (name, rest) = if let Some(braces) = inside.strip_prefix('{') {
        braces.split_once('}').ok_or_else(|| refused(text))?
    } else {
        inside.split_at(inside.chars().next().map_or(0, char::len_utf8))
    };
    let whole = &text[..text.len() - rest.len()];
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, !negated),
        None => (name, negated),
    };
    Ok((property(name, negated).ok_or_else(|| refused(whole))?, rest))
}

/// The characters of a category or of a script, or all others.
fn property(name: &str, negated: bool) -> Option<String> {
    let name: String = name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect();
    let lower = name.to_ascii_lowercase();
    let not = |set: &str| if negated { format!("[^{set}]") } else { set.to_owned() };
    match lower.as_str() {
        "any" if negated => return Some(String::new()),
        "any" => return Some(r"\x00-\x{10FFFF}".to_owned()),
        "ascii" => return Some(not(r"\x00-\x7F")),
        "assigned" => return Some(not(r"\P{gc=Cn}")),
        // None of these is ever in a text.
        "cs" | "surrogate" if negated => return Some(r"\x00-\x{10FFFF}".to_owned()),
        "cs" | "surrogate" => return Some(String::new()),
        _ => {}
    }
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // The crate lets names begin with "is".
    if !plain || lower.starts_with("is") {
        return None;
    }
    kind_of(&lower).map(|kind| not(&format!(r"\p{{{kind}={name}}}")))
}

/// Names that are looked up once.
const KNOWN: usize = 1024;

/// Whether a name is that of a category (`gc`), of a script (`sc`) or of neither, as the crate has
/// them.
fn kind_of(name: &str) -> Option<&'static str> {
    static KINDS: LazyLock<Mutex<HashMap<String, Option<&'static str>>>> =
        LazyLock::new(Mutex::default);
    // Nothing that may fail is done while it is locked.
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kind) = kinds.get(name) {
        return *kind;
    }
    let is = |kind: &&str| Regex::new(&format!(r"\p{{{kind}={name}}}")).is_ok();
    let kind = ["gc", "sc"].into_iter().find(is);
    if kinds.len() < KNOWN {
        kinds.insert(name.to_owned(), kind);
    }
    kind
}
