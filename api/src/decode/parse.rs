//! JSON as Go reads it: keys may occur twice (the last one counts, and all are told), what is no
//! UTF-8 and half a surrogate pair become U+FFFD, and brackets may be deeply nested.
//!
//! The parser keeps its own stack, so no text can exhaust that of the thread. A value however can: it
//! is dropped, compared and written by functions that call themselves, and read again by all who
//! watch. So what lies below [`DEEPEST`] is read and forgotten, leaving an empty list or object that
//! shows that something was there; who drops unknown fields may have dropped it as well.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::syntax;

/// Lists and objects that may be inside of each other in what is kept. Go allows 10,000 in a text,
/// unknown fields included, and so does this parser; but what is kept is stored, and read from the
/// store and from watches by programs that stop at 127 (serde_json's limit). Around it come up to
/// nine levels: the owners of its fields in its metadata, its row in a table, the event of a watch.
pub(super) const DEEPEST: usize = 100;

/// Duplicate keys reported at most, and bytes of their paths: whoever sends more means no good.
const MAX_DUPLICATES: usize = 100;
const MAX_PATHS: usize = 64 * 1024;

/// A text that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    /// What it says, down to an empty list or object below [`DEEPEST`].
    pub(super) value: Value,
    /// The paths of keys that occur twice in one object.
    pub(super) twice: Vec<String>,
    /// Whether something lies below [`DEEPEST`].
    pub(super) deep: bool,
}

/// Parses a body.
pub(super) fn parse(body: &[u8]) -> Result<Parsed, String> {
    let mut parser =
        Parser { text: body, at: 0, open: Vec::new(), twice: Twice::default(), deep: false };
    match parser.run() {
        Ok(value) => Ok(Parsed { value, twice: parser.twice.paths, deep: parser.deep }),
        Err(fault) => Err(syntax::error(body).unwrap_or(match fault {
            Fault::Syntax => "invalid JSON".to_owned(),
            Fault::Said(reason) => reason,
        })),
    }
}

/// How many lists and objects are inside of each other in a value.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Why a text is not taken.
enum Fault {
    /// It is no JSON; [`syntax`] says why.
    Syntax,
    /// It is, but.
    Said(String),
}

/// A list or an object whose end has not been seen.
enum Open {
    Map(Map<String, Value>, String),
    List(Vec<Value>),
    /// One below [`DEEPEST`], by its opening bracket.
    Forgotten(u8),
}

/// What comes after a value.
enum After {
    /// Nothing: the text is read.
    End(Value),
    /// It was the last of a list or an object, which is complete.
    Closed(Value),
    /// Another value.
    Another,
}

#[derive(Default)]
struct Twice {
    paths: Vec<String>,
    bytes: usize,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    open: Vec<Open>,
    twice: Twice,
    deep: bool,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<Value, Fault> {
        loop {
            let Some(mut value) = self.begin()? else { continue };
            loop {
                match self.put(value)? {
                    After::End(value) => return Ok(value),
                    After::Closed(whole) => value = whole,
                    After::Another => break,
                }
            }
        }
    }

    /// Reads a value; `None` if it is a list or an object, whose first value comes next.
    fn begin(&mut self) -> Result<Option<Value>, Fault> {
        let value = match self.past_space()? {
            b'{' => return self.bracket(b'{', b'}'),
            b'[' => return self.bracket(b'[', b']'),
            b'"' => Value::String(self.string()?),
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.literal("true", Value::Bool(true))?,
            b'f' => self.literal("false", Value::Bool(false))?,
            b'n' => self.literal("null", Value::Null)?,
            _ => return Err(Fault::Syntax),
        };
        Ok(Some(value))
    }

    fn bracket(&mut self, opening: u8, closing: u8) -> Result<Option<Value>, Fault> {
        if self.open.len() >= syntax::DEPTH {
            return Err(Fault::Syntax);
        }
        self.at += 1;
        let deep = self.open.len() >= DEEPEST;
        self.deep |= deep;
        if self.past_space()? == closing {
            self.at += 1;
            return Ok(Some(empty(opening)));
        }
        self.open.push(match opening {
            _ if deep => Open::Forgotten(opening),
            b'{' => Open::Map(Map::new(), String::new()),
            _ => Open::List(Vec::new()),
        });
        if opening == b'{' {
            self.key()?;
        }
        Ok(None)
    }

    /// Puts a value where it belongs.
    fn put(&mut self, value: Value) -> Result<After, Fault> {
        let closing = match self.open.last_mut() {
            None => {
                while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
                    self.at += 1;
                }
                let ends = self.at == self.text.len();
                return if ends { Ok(After::End(value)) } else { Err(Fault::Syntax) };
            }
            Some(Open::Map(map, key)) => {
                map.insert(std::mem::take(key), value);
                b'}'
            }
            Some(Open::List(list)) => {
                list.push(value);
                b']'
            }
            Some(Open::Forgotten(b'{')) => b'}',
            Some(Open::Forgotten(_)) => b']',
        };
        let next = self.past_space()?;
        self.at += 1;
        if next == closing {
            return Ok(After::Closed(match self.open.pop() {
                Some(Open::Map(map, _)) => Value::Object(map),
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Forgotten(bracket)) => empty(bracket),
                None => Value::Null,
            }));
        }
        match next {
            b',' if closing == b'}' => self.key()?,
            b',' => {}
            _ => return Err(Fault::Syntax),
        }
        Ok(After::Another)
    }

    /// The key of the next value, and its colon.
    fn key(&mut self) -> Result<(), Fault> {
        if self.past_space()? != b'"' {
            return Err(Fault::Syntax);
        }
        let name = self.string()?;
        if self.past_space()? != b':' {
            return Err(Fault::Syntax);
        }
        self.at += 1;
        let Some(Open::Map(map, key)) = self.open.last_mut() else { return Ok(()) };
        let known = map.contains_key(&name);
        *key = name;
        if known { self.note() } else { Ok(()) }
    }

    /// Notes that the key at hand was there before.
    fn note(&mut self) -> Result<(), Fault> {
        let mut path = String::new();
        for open in &self.open {
            // Writing into a String cannot fail.
            let _ = match open {
                Open::Map(_, key) if path.is_empty() => write!(path, "{key}"),
                Open::Map(_, key) => write!(path, ".{key}"),
                Open::List(list) => write!(path, "[{}]", list.len()),
                Open::Forgotten(_) => break,
            };
        }
        self.twice.bytes += path.len();
        if self.twice.paths.len() >= MAX_DUPLICATES || self.twice.bytes > MAX_PATHS {
            return Err(Fault::Said("too many duplicate keys".to_owned()));
        }
        self.twice.paths.push(path);
        Ok(())
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let rest = &self.text[self.at..];
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
        let plain = rest.iter().position(ends).ok_or(Fault::Syntax)?;
        let start = self.at;
        self.at += plain;
        match rest[plain] {
            b'"' => {
                self.at += 1;
                Ok(mended(&rest[..plain]))
            }
            b'\\' => self.escaped(start),
            _ => Err(Fault::Syntax),
        }
    }

    /// The rest of a string in which something is escaped. A character of its own never continues
    /// one that was broken off before, so all can be mended at the end.
    fn escaped(&mut self, start: usize) -> Result<String, Fault> {
        let mut bytes = self.text[start..self.at].to_vec();
        loop {
            let byte = self.next()?;
            match byte {
                b'"' => return Ok(mended(&bytes)),
                b'\\' => {
                    let c = self.escape()?;
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                ..0x20 => return Err(Fault::Syntax),
                _ => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        Ok(match self.next()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            c @ (b'\\' | b'/' | b'"') => char::from(c),
            b'u' => {
                let unit = self.hex()?;
                if let Some(c) = char::from_u32(unit) {
                    return Ok(c);
                }
                // Half of a pair: with its other half a character, without it none.
                let before = self.at;
                if (0xd800..0xdc00).contains(&unit) && self.text[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        let both = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                }
                self.at = before;
                char::REPLACEMENT_CHARACTER
            }
            _ => return Err(Fault::Syntax),
        })
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + char::from(self.next()?).to_digit(16).ok_or(Fault::Syntax)?;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        let text = str::from_utf8(&self.text[start..self.at]).map_err(|_| Fault::Syntax)?;
        text.parse::<Number>().map(Value::Number).map_err(|error| {
            if error.is_syntax() && error.to_string().contains("out of range") {
                let kind = "Go value of type float64";
                Fault::Said(format!("json: cannot unmarshal number {text} into {kind}"))
            } else {
                Fault::Syntax
            }
        })
    }

    fn literal(&mut self, name: &str, value: Value) -> Result<Value, Fault> {
        if !self.text[self.at..].starts_with(name.as_bytes()) {
            return Err(Fault::Syntax);
        }
        self.at += name.len();
        Ok(value)
    }

    /// The next byte that is no space, not yet taken.
    fn past_space(&mut self) -> Result<u8, Fault> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(Fault::Syntax),
            }
        }
    }

    fn next(&mut self) -> Result<u8, Fault> {
        let byte = self.text.get(self.at).ok_or(Fault::Syntax)?;
        self.at += 1;
        Ok(*byte)
    }
}

fn empty(bracket: u8) -> Value {
    if bracket == b'{' { Value::Object(Map::new()) } else { Value::Array(Vec::new()) }
}

/// Text in which every byte that belongs to no character is U+FFFD.
fn mended(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    loop {
        match str::from_utf8(bytes) {
            Ok(rest) if text.is_empty() => return rest.to_owned(),
            Ok(rest) => return text + rest,
            Err(error) => {
                let (good, bad) = bytes.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(good));
                text.push(char::REPLACEMENT_CHARACTER);
                bytes = &bad[1..];
            }
        }
    }
}

#[cfg(test)]
mod tests;
