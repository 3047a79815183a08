//! The grammar of label selectors, by recursive descent; errors in Kubernetes' words.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::label::{Operator, Requirement};
use super::lexer::{Token, tokens};
use crate::field::go_quote;
use crate::names;

/// Parses a selector into its requirements, in the order written.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    Parser { tokens: tokens(text).into_iter().peekable() }.parse()
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
}

impl Parser {
    fn peek(&mut self) -> Token {
        self.tokens.peek().cloned().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token {
        self.tokens.next().unwrap_or(Token::End)
    }

    fn parse(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::Identifier(_) | Token::Not | Token::In | Token::NotIn => {
                    requirements.push(self.requirement()?);
                    match self.take() {
                        Token::End => return Ok(requirements),
                        Token::Comma => match self.peek() {
                            Token::Identifier(_) | Token::Not | Token::In | Token::NotIn => {}
                            other => {
                                return Err(format!(
                                    "found '{}', expected: identifier after ','",
                                    other.text()
                                ));
                            }
                        },
                        other => {
                            return Err(format!(
                                "found '{}', expected: ',' or 'end of string'",
                                other.text()
                            ));
                        }
                    }
                }
                Token::End => return Ok(requirements),
                other => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.text()
                    ));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.peek() == Token::Not;
        if negated {
            self.take();
        }
        let key = match self.take() {
            Token::Identifier(key) => key,
            other @ (Token::In | Token::NotIn) => other.text().to_owned(),
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        if let Some(message) = names::qualified_name(&key).first() {
            return Err(format!("key: Invalid value: {}: {message}", go_quote(&key)));
        }
        if negated {
            return Ok(Requirement {
                key,
                operator: Operator::DoesNotExist,
                values: BTreeSet::new(),
            });
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(Requirement { key, operator: Operator::Exists, values: BTreeSet::new() });
        }
        let operator = match self.take() {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equal | Token::DoubleEqual => Operator::Equals,
            Token::NotEqual => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            other => {
                return Err(format!(
                    "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                    other.text()
                ));
            }
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.value_list()?,
            _ => BTreeSet::from([self.exact_value()?]),
        };
        check_values(&key, operator, &values)?;
        Ok(Requirement { key, operator, values })
    }

    fn value_list(&mut self) -> Result<BTreeSet<String>, String> {
        let mut values = BTreeSet::new();
        match self.take() {
            Token::Open => {}
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        loop {
            match self.take() {
                Token::Identifier(value) => {
                    values.insert(value);
                }
                word @ (Token::In | Token::NotIn) => {
                    values.insert(word.text().to_owned());
                }
                Token::Comma => {
                    values.insert(String::new());
                    continue;
                }
                Token::Close => {
                    values.insert(String::new());
                    return Ok(values);
                }
                other => {
                    return Err(format!("found '{}', expected: ',', or identifier", other.text()));
                }
            }
            match self.take() {
                Token::Comma if self.peek() == Token::Close => {
                    values.insert(String::new());
                    self.take();
                    return Ok(values);
                }
                Token::Comma => {}
                Token::Close => return Ok(values),
                other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Comma => Ok(String::new()),
            Token::Identifier(_) | Token::In | Token::NotIn => Ok(self.take().text().to_owned()),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }
}

fn check_values(key: &str, operator: Operator, values: &BTreeSet<String>) -> Result<(), String> {
    if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
        for value in values {
            if value.parse::<i64>().is_err() {
                return Err(format!(
                    "values[0]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                    go_quote(value)
                ));
            }
        }
    }
    for (n, value) in values.iter().enumerate() {
        if let Some(message) = names::label_value(value).first() {
            return Err(format!(
                "values[{n}][{key}]: Invalid value: {}: {message}",
                go_quote(value)
            ));
        }
    }
    Ok(())
}
