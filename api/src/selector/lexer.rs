//! Tokens of the label selector syntax.

/// A token; `Display`ed in messages as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    End,
    Open,
    Close,
    Comma,
    Not,
    Equal,
    DoubleEqual,
    NotEqual,
    Greater,
    Less,
    In,
    NotIn,
    Identifier(String),
    Error(String),
}

impl Token {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::End => "",
            Self::Open => "(",
            Self::Close => ")",
            Self::Comma => ",",
            Self::Not => "!",
            Self::Equal => "=",
            Self::DoubleEqual => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::In => "in",
            Self::NotIn => "notin",
            Self::Identifier(text) | Self::Error(text) => text,
        }
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

/// What separates words and is no part of any: not all that Unicode or ASCII calls white.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Splits a selector into tokens, ending with [`Token::End`].
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if is_space(c) {
            at += 1;
        } else if is_special(c) {
            let start = at;
            // The longest operator that the special characters here spell.
            let two: String = chars[at..(at + 2).min(chars.len())].iter().collect();
            let token = match two.as_str() {
                "==" => Some(Token::DoubleEqual),
                "!=" => Some(Token::NotEqual),
                _ => None,
            };
            at += if token.is_some() { 2 } else { 1 };
            out.push(token.unwrap_or_else(|| single(chars[start])));
        } else {
            let start = at;
            while at < chars.len() && !is_special(chars[at]) && !is_space(chars[at]) {
                at += 1;
            }
            let word: String = chars[start..at].iter().collect();
            out.push(match word.as_str() {
                "in" => Token::In,
                "notin" => Token::NotIn,
                _ => Token::Identifier(word),
            });
        }
    }
    out.push(Token::End);
    out
}

fn single(c: char) -> Token {
    match c {
        '=' => Token::Equal,
        '!' => Token::Not,
        '(' => Token::Open,
        ')' => Token::Close,
        ',' => Token::Comma,
        '>' => Token::Greater,
        '<' => Token::Less,
        other => Token::Error(other.to_string()),
    }
}
