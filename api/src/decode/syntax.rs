//! Why a text is no JSON, in the words of Go's encoding/json, which clients are used to.
//!
//! Only texts that have been refused come here. The scanner knows no values: it stops at the first
//! byte that no JSON has there and says what it was looking for. As in Go, the end of a text counts
//! as one more space: `tru` fails over the space that ends it, `{"a":` over what does not come.

/// What a text ends in the middle of.
const END: &str = "unexpected end of JSON input";
/// How many lists and objects may be inside of each other, as in Go.
pub(super) const DEPTH: usize = 10_000;

/// What is wrong with a text; `None` if it is JSON.
pub(crate) fn error(text: &[u8]) -> Option<String> {
    Scanner { text, at: 0 }.value().err()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// One value and nothing else.
    fn value(&mut self) -> Result<(), String> {
        // The brackets that are open.
        let mut open = Vec::new();
        loop {
            let first = self.past_space()?;
            match first {
                b'{' | b'[' => {
                    open.push(first);
                    if open.len() > DEPTH {
                        return Err(invalid(first, "exceeded max depth"));
                    }
                    self.at += 1;
                    match (first, self.past_space()?) {
                        (b'{', b'}') | (b'[', b']') => {
                            self.at += 1;
                            open.pop();
                        }
                        (b'{', _) => {
                            self.key()?;
                            continue;
                        }
                        _ => continue,
                    }
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                other => return Err(invalid(other, "looking for beginning of value")),
            }
            if !self.go_on(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Closes what ends after a value. Whether another value follows.
    fn go_on(&mut self, open: &mut Vec<u8>) -> Result<bool, String> {
        while let Some(bracket) = open.last() {
            let (close, after) = match bracket {
                b'{' => (b'}', "after object key:value pair"),
                _ => (b']', "after array element"),
            };
            let next = self.past_space()?;
            self.at += 1;
            if next == close {
                open.pop();
            } else if next != b',' {
                return Err(invalid(next, after));
            } else {
                if close == b'}' {
                    self.key()?;
                }
                return Ok(true);
            }
        }
        match self.past_space() {
            Ok(other) => Err(invalid(other, "after top-level value")),
            Err(_) => Ok(false),
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<(), String> {
        match self.past_space()? {
            b'"' => self.string()?,
            other => return Err(invalid(other, "looking for beginning of object key string")),
        }
        match self.past_space()? {
            b':' => self.at += 1,
            other => return Err(invalid(other, "after object key")),
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.next()?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(invalid(digit, r"in \u hexadecimal character escape"));
                            }
                        }
                    }
                    other => return Err(invalid(other, "in string escape code")),
                },
                control @ ..0x20 => return Err(invalid(control, "in string literal")),
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        let mut first = self.next()?;
        if first == b'-' {
            first = self.next()?;
        }
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            other => return Err(invalid(other, "in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digit(&mut self, place: &str) -> Result<(), String> {
        match self.next()? {
            b'0'..=b'9' => self.digits(),
            other => return Err(invalid(other, place)),
        }
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn literal(&mut self, name: &str) -> Result<(), String> {
        self.at += 1;
        for wanted in name.bytes().skip(1) {
            let next = self.next()?;
            if next != wanted {
                let place = format!("in literal {name} (expecting '{}')", char::from(wanted));
                return Err(invalid(next, &place));
            }
        }
        Ok(())
    }

    /// The next byte that is no space, not yet taken.
    fn past_space(&mut self) -> Result<u8, String> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(byte) => return Ok(byte),
                None => return Err(END.to_owned()),
            }
        }
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or_else(|| END.to_owned())?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        match self.text.get(self.at) {
            None if self.at == self.text.len() => Some(b' '),
            byte => byte.copied(),
        }
    }
}

/// A byte as Go shows it: like the character of its number, escaped if that cannot be printed.
fn invalid(byte: u8, place: &str) -> String {
    let shown = match byte {
        b'\'' => r"\'".to_owned(),
        b'"' => "\"".to_owned(),
        // What Latin-1 has there cannot be printed.
        byte @ (0x80..=0xa0 | 0xad) => format!("\\u{byte:04x}"),
        byte => crate::field::go_quote(&char::from(byte).to_string()).trim_matches('"').to_owned(),
    };
    format!("invalid character '{shown}' {place}")
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::Config as ProptestConfig;

    use super::*;

    #[test]
    fn what_is_wrong_is_said_as_go_says_it() {
        let value = "looking for beginning of value";
        let key = "looking for beginning of object key string";
        for (text, want) in [
            ("", END.to_owned()),
            (" \n", END.to_owned()),
            ("{\"a\":", END.to_owned()),
            ("{\"a\"", END.to_owned()),
            ("{\"a\":1", END.to_owned()),
            ("[1,", END.to_owned()),
            ("\"abc", END.to_owned()),
            ("x", format!("invalid character 'x' {value}")),
            ("a: b\n", format!("invalid character 'a' {value}")),
            ("[1,]", format!("invalid character ']' {value}")),
            ("{\"a\":}", format!("invalid character '}}' {value}")),
            ("{a:1}", format!("invalid character 'a' {key}")),
            ("{\"a\":1,}", format!("invalid character '}}' {key}")),
            ("{'a':1}", format!("invalid character '\\'' {key}")),
            ("{,}", format!("invalid character ',' {key}")),
            ("{\"a\" 1}", "invalid character '1' after object key".to_owned()),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair".to_owned()),
            ("{\"a\":[1}", "invalid character '}' after array element".to_owned()),
            ("{} x", "invalid character 'x' after top-level value".to_owned()),
            ("1 2", "invalid character '2' after top-level value".to_owned()),
            ("01", "invalid character '1' after top-level value".to_owned()),
            ("\"a\nb\"", "invalid character '\\n' in string literal".to_owned()),
            ("\"\\x\"", "invalid character 'x' in string escape code".to_owned()),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape".to_owned()),
            ("-", "invalid character ' ' in numeric literal".to_owned()),
            ("-x", "invalid character 'x' in numeric literal".to_owned()),
            ("1.", "invalid character ' ' after decimal point in numeric literal".to_owned()),
            ("1.x", "invalid character 'x' after decimal point in numeric literal".to_owned()),
            ("1e", "invalid character ' ' in exponent of numeric literal".to_owned()),
            ("1e+x", "invalid character 'x' in exponent of numeric literal".to_owned()),
            ("tru", "invalid character ' ' in literal true (expecting 'e')".to_owned()),
            ("[fals]", "invalid character ']' in literal false (expecting 'e')".to_owned()),
            ("nil", "invalid character 'i' in literal null (expecting 'u')".to_owned()),
            ("\u{7f}", format!("invalid character '\\x7f' {value}")),
            ("\u{0}", format!("invalid character '\\x00' {value}")),
        ] {
            assert_eq!(error(text.as_bytes()), Some(want), "{text}");
        }
        assert_eq!(error(b"\xcf"), Some(format!("invalid character 'Ï' {value}")));
        assert_eq!(error(b"\x85"), Some(format!("invalid character '\\u0085' {value}")));
        let deep = "[".repeat(DEPTH + 1);
        let want = "invalid character '[' exceeded max depth";
        assert_eq!(error(deep.as_bytes()).as_deref(), Some(want));
        let text = " {\"a\": [1, -0.5e+7, {}, [], \"\\u00e4\\n\", true, false, null], \"\": 0} ";
        assert_eq!(error(text.as_bytes()), None);
    }

    proptest::proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The scanner finds a mistake exactly where the parser does not get through.
        #[test]
        fn it_knows_json(text in r#"[\[\]{},: "a01.eE+tn-]{0,12}"#) {
            let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            proptest::prop_assert_eq!(parsed.is_ok(), error(text.as_bytes()).is_none());
        }
    }
}
