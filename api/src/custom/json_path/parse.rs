//! Reading a path, as k8s.io/client-go/util/jsonpath/parser.go does.

use serde_json::Value;

use super::{Filter, JsonPath, Operator, Slice, Step};

/// Reads a path, or one side of a comparison.
pub(super) fn path(text: &str) -> Result<JsonPath, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let (step, left) = match c {
            ' ' | '@' | '$' => (None, after),
            _ if rest.starts_with("[?(") => filter(&rest[3..])?,
            _ if rest.starts_with("..") => {
                if steps.last() == Some(&Step::Within) {
                    return Err("invalid multiple recursive descent".to_owned());
                }
                steps.push(Step::Within);
                let below = &rest[2..];
                if below.starts_with(is_name) { field(below) } else { (None, below) }
            }
            '[' => brackets(after)?,
            '.' => field(after),
            '"' | '\'' => quoted(after, c)?,
            '+' | '-' | '0'..='9' => number(rest)?,
            _ if is_name(c) => word(rest),
            _ => return Err(format!("unrecognized character {c:?}")),
        };
        steps.extend(step);
        rest = left;
    }
    Ok(JsonPath(steps))
}

/// A step, if there is one to make, and what follows.
type Read<'t> = (Option<Step>, &'t str);

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn ends_name(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

/// A field's name, in which a backslash takes the next character as it is.
fn field(text: &str) -> Read<'_> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            _ if ends_name(c) => {
                end = at;
                break;
            }
            _ => name.push(c),
        }
    }
    let step = match name.as_str() {
        // A lone dot stays where it is.
        "" => None,
        "*" => Some(Step::All),
        _ => Some(Step::Field(name)),
    };
    (step, &text[end..])
}

/// What follows an opening bracket.
fn brackets(text: &str) -> Result<Read<'_>, String> {
    let inside = text.split_once(']').filter(|(inside, _)| !inside.contains('\n'));
    let (inside, rest) = inside.ok_or("unterminated array")?;
    if inside.contains(',') {
        let each = inside.split(',').map(|part| path(&format!("[{}]", part.trim_matches(' '))));
        return Ok((Some(Step::Union(each.collect::<Result<_, _>>()?)), rest));
    }
    let quoted = inside.strip_prefix('\'').and_then(|inside| inside.strip_suffix('\''));
    if let Some(name) = quoted.filter(|name| !name.contains('\'')) {
        let named = path(&format!(".{name}"))?;
        return Ok((Some(Step::Union(vec![named])), rest));
    }
    let inside = if inside == "*" { ":" } else { inside };
    slice(inside).map(|slice| (Some(Step::Items(slice)), rest))
}

/// `2`, `1:3`, `-2:`, `::2`.
fn slice(text: &str) -> Result<Slice, String> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(format!("invalid array index {text}"));
    }
    let number = |n: usize| match parts.get(n).copied().unwrap_or_default() {
        "" => Ok(None),
        digits if digits.starts_with('+') => Err(format!("invalid array index {text}")),
        digits => digits.parse().map(Some).map_err(|_| format!("invalid array index {text}")),
    };
    let from = number(0)?;
    let start: i64 = from.unwrap_or(0);
    let to = match start {
        _ if parts.len() > 1 => number(1)?,
        // The last one.
        -1 => None,
        _ => Some(start.saturating_add(1)),
    };
    Ok(Slice { from: start, to, step: number(2)?.unwrap_or(1) })
}

/// What follows `[?(`.
fn filter(text: &str) -> Result<Read<'_>, String> {
    let (mut open, mut closed) = (None, false);
    let mut before = ' ';
    let mut end = None;
    for (at, c) in text.char_indices() {
        match c {
            '\n' => break,
            '"' | '\'' if open.is_none() => open = Some(c),
            '"' | '\'' if open == Some(c) && before != '\\' => closed = true,
            // Quotes within are one pair or none.
            ')' if open.is_some() == closed => {
                end = Some(at);
                break;
            }
            _ => {}
        }
        before = c;
    }
    let end = end.ok_or("unterminated filter")?;
    let rest = text[end + 1..].strip_prefix(']').ok_or("unclosed array expect ]")?;
    Ok((Some(Step::Filter(Box::new(condition(&text[..end])?))), rest))
}

fn condition(text: &str) -> Result<Filter, String> {
    let signs = ['!', '<', '>', '='];
    let compared = text.find(signs).filter(|at| *at > 0).and_then(|at| {
        let (left, rest) = text.split_at(at);
        let end = rest.find(|c| !signs.contains(&c))?;
        Some((left, &rest[..end], &rest[end..]))
    });
    let Some((left, sign, right)) = compared else {
        return Ok(Filter { left: path(text)?, comparison: None });
    };
    let operator = match sign {
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterEqual,
        _ => Operator::Unknown,
    };
    Ok(Filter { left: path(left)?, comparison: Some((operator, path(right)?)) })
}

/// A text in quotes, without the opening one.
fn quoted(text: &str, quote: char) -> Result<Read<'_>, String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => break,
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                other => value.extend(other.map(|(_, c)| c)),
            },
            _ if c == quote => return Ok((Some(Step::Value(value.into())), &text[at + 1..])),
            _ => value.push(c),
        }
    }
    Err("unterminated quoted string".to_owned())
}

fn number(text: &str) -> Result<Read<'_>, String> {
    let digits = &text[1..];
    let sign = text.starts_with(['+', '-']);
    let body = if sign { digits } else { text };
    let length = body.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(body.len());
    let (number, rest) = text.split_at(length + usize::from(sign));
    let value = number.parse::<i64>().map(Value::from);
    let value = value.or_else(|_| number.parse::<f64>().map(Value::from));
    let value = value.map_err(|_| format!("cannot parse number {number}"))?;
    Ok((Some(Step::Value(value)), rest))
}

/// A word of its own: a boolean, or nothing that means anything here.
fn word(text: &str) -> Read<'_> {
    let (word, rest) = text.split_at(text.find(ends_name).unwrap_or(text.len()));
    let step = match word {
        "true" => Step::Value(true.into()),
        "false" => Step::Value(false.into()),
        _ => Step::Word,
    };
    (Some(step), rest)
}
