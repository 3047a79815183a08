//! The words of an expression.
//!
//! Source: <https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax>.

use super::{CompileError, value::Value};

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
    Bool(bool),
    Null,
    Int(i64),
    /// The magnitude of the smallest integer, which only a minus may stand before.
    Smallest,
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    End,
}

/// Longer ones first.
const SIGNS: [&str; 26] = [
    "&&", "||", "==", "!=", "<=", ">=", ".?", "[?", "<", ">", "+", "-", "*", "/", "%", "!", "?",
    ":", "(", ")", "[", "]", "{", "}", ",", ".",
];

/// Names that mean something else, or will.
pub(crate) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A word and where it begins, in bytes.
pub(super) type Placed = (usize, Word);

/// Cuts an expression into words; the last is [`Word::End`].
pub(super) fn words(text: &str) -> Result<Vec<Placed>, CompileError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut words = Vec::new();
    loop {
        lexer.skip();
        let at = lexer.at;
        let word = lexer.word()?;
        let last = word == Word::End;
        words.push((at, word));
        if last {
            return Ok(words);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn refused(&self, why: &str) -> CompileError {
        CompileError::at(self.text, self.at, format!("Syntax error: {why}"))
    }

    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            if !self.rest().starts_with("//") {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        self.take(rest.find(|c| !wanted(c)).unwrap_or(rest.len()))
    }

    fn word(&mut self) -> Result<Word, CompileError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Word::End) };
        let second = rest[first.len_utf8()..].chars().next();
        if first.is_ascii_digit() || (first == '.' && second.is_some_and(|c| c.is_ascii_digit())) {
            return self.number();
        }
        if let Some(prefix) = quoted(rest) {
            return self.string(prefix);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            return match name {
                "true" => Ok(Word::Bool(true)),
                "false" => Ok(Word::Bool(false)),
                "null" => Ok(Word::Null),
                "in" => Ok(Word::Sign("in")),
                _ if RESERVED.contains(&name) => {
                    self.at -= name.len();
                    Err(self.refused(&format!("reserved identifier: {name}")))
                }
                _ => Ok(Word::Name(name.to_owned())),
            };
        }
        match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            Some(sign) => {
                self.at += sign.len();
                Ok(Word::Sign(sign))
            }
            None => Err(self.refused(&format!("token recognition error at: '{first}'"))),
        }
    }

    fn number(&mut self) -> Result<Word, CompileError> {
        let from = self.at;
        let rest = self.rest();
        if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let digits = &hex[..end];
            self.at += 2 + end;
            return self.whole(from, u64::from_str_radix(digits, 16).ok());
        }
        let whole = self.take_while(|c| c.is_ascii_digit());
        let mut real = false;
        let fraction = self.rest().strip_prefix('.').and_then(|rest| rest.chars().next());
        if fraction.is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
            real = true;
        }
        if let Some(exponent) = self.rest().strip_prefix(['e', 'E']) {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if unsigned.starts_with(|c: char| c.is_ascii_digit()) {
                self.at += 1 + exponent.len() - unsigned.len();
                self.take_while(|c| c.is_ascii_digit());
                real = true;
            }
        }
        if real {
            let text = &self.text[from..self.at];
            return match text.parse() {
                Ok(number) => Ok(Word::Double(number)),
                Err(_) => Err(self.refused("invalid double literal")),
            };
        }
        self.whole(from, whole.parse().ok())
    }

    /// An integer, or an unsigned one with the suffix.
    fn whole(&mut self, from: usize, value: Option<u64>) -> Result<Word, CompileError> {
        if self.rest().starts_with(['u', 'U']) {
            self.at += 1;
            return value.map(Word::Uint).ok_or_else(|| {
                CompileError::at(self.text, from, "invalid uint literal".to_owned())
            });
        }
        let int = value.and_then(|value| {
            if value == 1 << 63 {
                return Some(Word::Smallest);
            }
            i64::try_from(value).ok().map(Word::Int)
        });
        int.ok_or_else(|| CompileError::at(self.text, from, "invalid int literal".to_owned()))
    }

    fn string(&mut self, prefix: usize) -> Result<Word, CompileError> {
        let marks = self.take(prefix).to_ascii_lowercase();
        let (raw, bytes) = (marks.contains('r'), marks.contains('b'));
        let quote = self.rest().chars().next().expect("a quote was seen");
        let triple = quote.to_string().repeat(3);
        let end = if self.rest().starts_with(&triple) { triple } else { quote.to_string() };
        let multiline = end.len() == 3;
        self.at += end.len();
        let mut content: Vec<u8> = Vec::new();
        loop {
            let rest = self.rest();
            let Some(next) = rest.chars().next() else {
                return Err(self.refused("unterminated string"));
            };
            if rest.starts_with(&end) {
                self.at += end.len();
                break;
            }
            if next == '\\' && !raw {
                self.escape(bytes, &mut content)?;
                continue;
            }
            if matches!(next, '\n' | '\r') && !multiline {
                return Err(self.refused("unterminated string"));
            }
            self.at += next.len_utf8();
            content.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if bytes {
            return Ok(Word::Bytes(content));
        }
        String::from_utf8(content).map(Word::String).map_err(|_| self.refused("invalid string"))
    }

    fn escape(&mut self, bytes: bool, content: &mut Vec<u8>) -> Result<(), CompileError> {
        let refused = |lexer: &Self| lexer.refused("invalid escape sequence");
        let mut chars = self.rest().chars().skip(1);
        let Some(kind) = chars.next() else { return Err(refused(self)) };
        let plain = match kind {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' | '\'' | '"' | '`' | '?' => u8::try_from(kind).ok(),
            _ => None,
        };
        if let Some(byte) = plain {
            content.push(byte);
            self.at += 2;
            return Ok(());
        }
        let (from, digits, radix) = match kind {
            'x' | 'X' => (2, 2, 16),
            'u' if !bytes => (2, 4, 16),
            'U' if !bytes => (2, 8, 16),
            '0'..='3' => (1, 3, 8),
            _ => return Err(refused(self)),
        };
        let code = self.rest().get(from..from + digits);
        let code = code.filter(|code| code.chars().all(|c| c.is_digit(radix)));
        let code = code.and_then(|code| u32::from_str_radix(code, radix).ok());
        let Some(code) = code else { return Err(refused(self)) };
        match (bytes, u8::try_from(code), char::from_u32(code)) {
            (true, Ok(byte), _) => content.push(byte),
            (false, _, Some(char)) => {
                content.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err(refused(self)),
        }
        self.at += from + digits;
        Ok(())
    }
}

/// How many letters stand before a quote, if the text begins with a string.
fn quoted(text: &str) -> Option<usize> {
    let marks = text.bytes().take(3).position(|byte| matches!(byte, b'"' | b'\''))?;
    let prefix = &text[..marks];
    let known = ["", "r", "b", "br", "rb"];
    known.iter().any(|mark| prefix.eq_ignore_ascii_case(mark)).then_some(marks)
}

impl Word {
    /// The value of a literal.
    pub(super) fn literal(&self) -> Option<Value> {
        Some(match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Null => Value::Null,
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::Double(value) => Value::Double(*value),
            Self::String(text) => Value::string(text),
            Self::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
            Self::Name(_) | Self::Sign(_) | Self::Smallest | Self::End => return None,
        })
    }

    /// As it is shown in messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Sign(sign) => (*sign).to_owned(),
            Self::End => "<EOF>".to_owned(),
            Self::Smallest => "9223372036854775808".to_owned(),
            other => other.literal().map(|value| value.to_string()).unwrap_or_default(),
        }
    }
}
