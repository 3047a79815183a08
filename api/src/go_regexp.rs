//! Go's regular expressions, which patterns in schemas and in CEL are, as the `regex` crate writes
//! them.
//!
//! A pattern is refused where Go refuses it, in Go's words, and matches what it matches there:
//! `\d`, `\w`, `\s` and `\b` are about ASCII, `[`, `&&` and `--` mean nothing within a class, a `{`
//! that starts no repetition stands for itself, and `a**` is none. Flags such as `(?i)` are worked
//! into the parts they hold for. Nobody asks what a group has matched, so groups capture nothing and
//! have no names.
//!
//! Source: <https://pkg.go.dev/regexp/syntax> (the syntax), golang.org/src/regexp/syntax/parse.go
//! (what is refused, and how).

mod class;
mod compiled;
mod escape;

pub(crate) use compiled::compile;

/// How often something may be repeated, repetitions within it multiplied. Go's own limit.
const MOST: u32 = 1000;

/// Matches nothing, not even an empty text.
const NEVER: &str = r"[^\x00-\x{10FFFF}]";

/// Why a text is no pattern, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {problem}: `{part}`")]
pub(crate) struct Malformed {
    problem: &'static str,
    part: String,
}

impl Malformed {
    fn new(problem: &'static str, part: &str) -> Malformed {
        Malformed { problem, part: part.to_owned() }
    }
}

/// The pattern in the syntax of the `regex` crate.
///
/// # Errors
/// What Go refuses.
pub(crate) fn translate(pattern: &str) -> Result<String, Malformed> {
    let mut parser = Parser {
        whole: pattern,
        rest: pattern,
        flags: Flags::default(),
        groups: vec![Group::default()],
        last_repeat: None,
    };
    while let Some(next) = parser.rest.chars().next() {
        let before = parser.rest;
        let repeated = parser.step(next)?;
        parser.last_repeat = repeated.then_some(before);
    }
    match parser.groups.as_mut_slice() {
        [whole] => {
            whole.end_alternative();
            Ok(std::mem::take(&mut whole.alternatives))
        }
        _ => Err(Malformed::new("missing closing )", pattern)),
    }
}

/// What `(?imsU)` turn on.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    /// Letters match whatever their case.
    fold: bool,
    /// `^` and `$` match at lines, too.
    lines: bool,
    /// `.` matches the end of a line.
    dot_all: bool,
    /// Repetitions match as little as they can.
    lazy: bool,
}

/// A part that a repetition may follow.
#[derive(Debug)]
struct Item {
    text: String,
    /// How often the innermost thing is repeated at most.
    copies: u32,
    /// Whether it ends in a repetition.
    repeated: bool,
}

/// What is between a parenthesis and the other.
#[derive(Debug, Default)]
struct Group {
    /// The flags before it, which hold again behind it.
    outer: Flags,
    /// The alternatives before the last `|`, each with its `|`.
    alternatives: String,
    /// The parts of the last alternative.
    items: Vec<Item>,
    copies: u32,
}

impl Group {
    fn end_alternative(&mut self) {
        for item in self.items.drain(..) {
            self.alternatives.push_str(&item.text);
            self.copies = self.copies.max(item.copies);
        }
    }
}

struct Parser<'p> {
    whole: &'p str,
    rest: &'p str,
    flags: Flags,
    /// The open groups; the first one is the pattern.
    groups: Vec<Group>,
    /// From the repetition on that was the last thing, if it was one.
    last_repeat: Option<&'p str>,
}

impl<'p> Parser<'p> {
    /// Takes the next thing, which begins with `next`; true if it is a repetition.
    fn step(&mut self, next: char) -> Result<bool, Malformed> {
        match next {
            '(' if self.rest.starts_with("(?") => self.special_group()?,
            '(' => {
                self.open();
                self.skip(1);
            }
            ')' => self.close()?,
            '|' => {
                if let Some(group) = self.groups.last_mut() {
                    group.end_alternative();
                    group.alternatives.push('|');
                }
                self.skip(1);
            }
            '^' => self.symbol(if self.flags.lines { "(?m:^)" } else { r"\A" }),
            '$' => self.symbol(if self.flags.lines { "(?m:$)" } else { r"\z" }),
            '.' => self.symbol(if self.flags.dot_all { "(?s:.)" } else { "." }),
            '[' => {
                let (class, rest) = class::class(self.rest)?;
                self.push(self.folded(class));
                self.rest = rest;
            }
            '\\' => self.escape()?,
            '*' => return self.repeat(1, 0, None, "*").map(|()| true),
            '+' => return self.repeat(1, 1, None, "+").map(|()| true),
            '?' => return self.repeat(1, 0, Some(1), "?").map(|()| true),
            '{' if counts(self.rest).is_some() => {
                return self.repeat_counted().map(|()| true);
            }
            literal => {
                self.literal(u32::from(literal));
                self.skip(literal.len_utf8());
            }
        }
        Ok(false)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn push(&mut self, text: String) {
        if let Some(group) = self.groups.last_mut() {
            group.items.push(Item { text, copies: 1, repeated: false });
        }
    }

    /// Takes one character that stands for `text`.
    fn symbol(&mut self, text: &str) {
        self.push(text.to_owned());
        self.skip(1);
    }

    fn folded(&self, text: String) -> String {
        if self.flags.fold { format!("(?i:{text})") } else { text }
    }

    /// A code point that stands for itself. Those that are no characters are in no text.
    fn literal(&mut self, point: u32) {
        self.push(match char::from_u32(point) {
            Some(c) if c.is_alphabetic() => self.folded(c.to_string()),
            Some(c) => regex::escape(c.encode_utf8(&mut [0; 4])),
            None => NEVER.to_owned(),
        });
    }

    /// What a backslash begins.
    fn escape(&mut self) -> Result<(), Malformed> {
        let assertion = match self.rest.as_bytes().get(1) {
            Some(b'A') => r"\A",
            Some(b'z') => r"\z",
            Some(b'b') => r"(?-u:\b)",
            Some(b'B') => r"(?-u:\B)",
            Some(b'C') => return Err(Malformed::new(escape::INVALID, &self.rest[..2])),
            Some(b'Q') => {
                let quoted = &self.rest[2..];
                let (text, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                text.chars().for_each(|c| self.literal(u32::from(c)));
                self.rest = rest;
                return Ok(());
            }
            _ => "",
        };
        if !assertion.is_empty() {
            self.push(assertion.to_owned());
            self.skip(2);
        } else if let Some((set, rest)) = class::escaped(self.rest)? {
            self.push(self.folded(class::bracketed(&set, false)));
            self.rest = rest;
        } else {
            let (point, rest) = escape::point(self.rest)?;
            self.literal(point);
            self.rest = rest;
        }
        Ok(())
    }

    fn open(&mut self) {
        self.groups.push(Group { outer: self.flags, copies: 1, ..Group::default() });
    }

    fn close(&mut self) -> Result<(), Malformed> {
        let inner = self.groups.pop();
        let (Some(mut inner), Some(outer)) = (inner, self.groups.last_mut()) else {
            return Err(Malformed::new("unexpected )", self.whole));
        };
        inner.end_alternative();
        let text = format!("(?:{})", inner.alternatives);
        outer.items.push(Item { text, copies: inner.copies, repeated: false });
        self.flags = inner.outer;
        self.skip(1);
        Ok(())
    }

    /// What `(?` begins: a group with a name, or flags, with a group or without.
    fn special_group(&mut self) -> Result<(), Malformed> {
        let text = self.rest;
        let name = match text {
            _ if text.starts_with("(?P<") && text.len() > 4 => Some(4),
            _ if text.starts_with("(?<") && text.len() > 3 => Some(3),
            _ => None,
        };
        if let Some(start) = name {
            const INVALID: &str = "invalid named capture";
            let end = text.find('>').ok_or_else(|| Malformed::new(INVALID, text))?;
            let name = &text[start..end];
            let good = |c: char| c == '_' || c.is_ascii_alphanumeric();
            if name.is_empty() || !name.chars().all(good) {
                return Err(Malformed::new(INVALID, &text[..=end]));
            }
            self.open();
            self.rest = &text[end + 1..];
            return Ok(());
        }
        let (mut flags, mut on, mut seen) = (self.flags, true, false);
        for (at, c) in text.char_indices().skip(2) {
            let behind = at + c.len_utf8();
            match c {
                'i' => flags.fold = on,
                'm' => flags.lines = on,
                's' => flags.dot_all = on,
                'U' => flags.lazy = on,
                '-' if on => {
                    (on, seen) = (false, false);
                    continue;
                }
                ':' | ')' if on || seen => {
                    if c == ':' {
                        self.open();
                    }
                    self.flags = flags;
                    self.rest = &text[behind..];
                    return Ok(());
                }
                _ => return Err(Malformed::new(UNSUPPORTED, &text[..behind])),
            }
            seen = true;
        }
        Err(Malformed::new(UNSUPPORTED, text))
    }

    /// Repeats the last part; the repetition is `bytes` long and called `sign`.
    fn repeat(
        &mut self,
        bytes: usize,
        least: u32,
        most: Option<u32>,
        sign: &str,
    ) -> Result<(), Malformed> {
        let before = self.rest;
        let mut after = &before[bytes..];
        let mut lazy = self.flags.lazy;
        if let Some(rest) = after.strip_prefix('?') {
            (after, lazy) = (rest, !lazy);
        }
        let until_here = |text: &'p str| &text[..text.len() - after.len()];
        if let Some(last) = self.last_repeat {
            return Err(Malformed::new("invalid nested repetition operator", until_here(last)));
        }
        let items = self.groups.last_mut().map(|group| &mut group.items);
        let Some((items, item)) = items.and_then(|items| items.pop().map(|item| (items, item)))
        else {
            let problem = "missing argument to repetition operator";
            return Err(Malformed::new(problem, until_here(before)));
        };
        let mut copies = item.copies;
        if sign.starts_with('{') {
            let times = most.unwrap_or(least);
            // What is never there is not counted.
            copies = if most == Some(0) { 1 } else { copies * times.max(1) };
            if (least >= 2 || times >= 2) && copies > MOST {
                return Err(Malformed::new(TOO_OFTEN, until_here(before)));
            }
        }
        let Item { text, repeated, .. } = item;
        let text = if repeated { format!("(?:{text})") } else { text };
        let lazy = if lazy { "?" } else { "" };
        items.push(Item { text: format!("{text}{sign}{lazy}"), copies, repeated: true });
        self.rest = after;
        Ok(())
    }

    /// Repeats the last part as often as `{2,5}` says.
    fn repeat_counted(&mut self) -> Result<(), Malformed> {
        let Some((least, most, bytes)) = counts(self.rest) else { return Ok(()) };
        let sign = &self.rest[..bytes];
        if least > MOST || most.is_some_and(|most| most > MOST || most < least) {
            return Err(Malformed::new(TOO_OFTEN, sign));
        }
        self.repeat(bytes, least, most, sign)
    }
}

const UNSUPPORTED: &str = "invalid or unsupported Perl syntax";
const TOO_OFTEN: &str = "invalid repeat count";

/// The numbers of `{2}`, `{2,}` or `{2,5}` at the start of a text, and its length. Numbers that are
/// too large are taken for the largest ones.
fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let (inside, _) = text.strip_prefix('{')?.split_once('}')?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let zeros = digits.len() > 1 && digits.starts_with('0');
        (plain && !zeros).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let bytes = inside.len() + 2;
    match inside.split_once(',') {
        None => number(inside).map(|count| (count, Some(count), bytes)),
        Some((least, "")) => Some((number(least)?, None, bytes)),
        Some((least, most)) => Some((number(least)?, Some(number(most)?), bytes)),
    }
}

#[cfg(test)]
mod tests;
