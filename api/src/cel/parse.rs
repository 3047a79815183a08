//! Makes a tree of words, and finds what can be seen to be wrong with it before it is evaluated: names and
//! functions that do not exist, fields that a device does not have, operators between types that do not go
//! together.

mod calls;
mod kinds;

use std::sync::Arc;

use super::lex::{Placed, Word, words};
use super::syntax::{DEEPEST, Expr};
use super::value::Value;
use super::{CompileError, DEVICE};
pub(super) use kinds::Kind;
use kinds::{DEVICE_KIND, DYN, NAMESPACE, indexed};

/// A tree with its type, its depth and where it begins.
struct Part {
    expr: Expr,
    kind: Kind,
    depth: usize,
    at: usize,
}

/// Parses an expression. Gives its type as well.
pub(super) fn parse(text: &str) -> Result<(Expr, Kind), CompileError> {
    let mut parser = Parser { text, words: words(text)?, next: 0, scope: Vec::new(), nested: 0 };
    let part = parser.expression()?;
    match parser.peek() {
        Word::End => Ok((part.expr, part.kind)),
        other => {
            let why = format!("Syntax error: extraneous input '{}'", other.shown());
            Err(parser.refused(why))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    words: Vec<Placed>,
    next: usize,
    /// Variables of macros around.
    scope: Vec<(Arc<str>, Kind)>,
    /// Brackets and prefixes around.
    nested: usize,
}

type Parsed = Result<Part, CompileError>;

impl Parser<'_> {
    fn peek(&self) -> &Word {
        &self.words[self.next].1
    }

    fn at(&self) -> usize {
        self.words[self.next].0
    }

    fn refused(&self, why: impl Into<String>) -> CompileError {
        CompileError::at(self.text, self.at(), why.into())
    }

    fn refused_at(&self, at: usize, why: impl Into<String>) -> CompileError {
        CompileError::at(self.text, at, why.into())
    }

    fn advance(&mut self) -> Word {
        let word = self.words[self.next].1.clone();
        if word != Word::End {
            self.next += 1;
        }
        word
    }

    fn accept(&mut self, sign: &'static str) -> bool {
        let found = *self.peek() == Word::Sign(sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), CompileError> {
        if self.accept(sign) {
            return Ok(());
        }
        let why = format!("Syntax error: expected '{sign}' at '{}'", self.peek().shown());
        Err(self.refused(why))
    }

    fn name(&mut self) -> Result<Arc<str>, CompileError> {
        match self.peek().clone() {
            Word::Name(name) => {
                self.next += 1;
                Ok(name.into())
            }
            other => {
                let why = format!("Syntax error: expected a name at '{}'", other.shown());
                Err(self.refused(why))
            }
        }
    }

    /// A part whose depth is one more than that of its deepest child.
    fn part(&self, at: usize, expr: Expr, kind: Kind, below: usize) -> Parsed {
        if below + 1 > DEEPEST {
            return Err(self.refused_at(at, "expression recursion limit exceeded"));
        }
        Ok(Part { expr, kind, depth: below + 1, at })
    }

    /// Goes one bracket deeper while `inner` parses.
    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.nested += 1;
        if self.nested > DEEPEST / 3 {
            return Err(self.refused("expression recursion limit exceeded"));
        }
        let part = inner(self);
        self.nested -= 1;
        part
    }

    fn expression(&mut self) -> Parsed {
        self.nested(Self::conditional)
    }

    fn conditional(&mut self) -> Parsed {
        let condition = self.or()?;
        if !self.accept("?") {
            return Ok(condition);
        }
        self.must_be(&condition, "bool", "_?_:_")?;
        let yes = self.expression()?;
        self.expect(":")?;
        let no = self.expression()?;
        let kind = if yes.kind == no.kind { yes.kind } else { DYN };
        let below = condition.depth.max(yes.depth).max(no.depth);
        let sides = Box::new((condition.expr, yes.expr, no.expr));
        self.part(condition.at, Expr::Conditional(sides), kind, below)
    }

    fn or(&mut self) -> Parsed {
        self.logical("||", "_||_", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Parsed {
        self.logical("&&", "_&&_", Self::relation, Expr::And)
    }

    /// A chain of one operator becomes a tree that is as low as can be.
    fn logical(
        &mut self,
        sign: &'static str,
        operator: &str,
        operand: fn(&mut Self) -> Parsed,
        join: fn(Box<(Expr, Expr)>) -> Expr,
    ) -> Parsed {
        let first = operand(self)?;
        if *self.peek() != Word::Sign(sign) {
            return Ok(first);
        }
        let mut row = vec![first];
        while self.accept(sign) {
            row.push(operand(self)?);
        }
        for part in &row {
            self.must_be(part, "bool", operator)?;
        }
        while row.len() > 1 {
            let mut pairs = Vec::with_capacity(row.len().div_ceil(2));
            let mut rest = row.into_iter();
            while let Some(one) = rest.next() {
                let Some(other) = rest.next() else {
                    pairs.push(one);
                    break;
                };
                let below = one.depth.max(other.depth);
                let expr = join(Box::new((one.expr, other.expr)));
                pairs.push(self.part(one.at, expr, "bool", below)?);
            }
            row = pairs;
        }
        row.pop().ok_or_else(|| self.refused("Syntax error"))
    }

    fn relation(&mut self) -> Parsed {
        self.chain(&["==", "!=", "<", "<=", ">", ">=", "in"], Self::sum)
    }

    fn sum(&mut self) -> Parsed {
        self.chain(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Parsed {
        self.chain(&["*", "/", "%"], Self::unary)
    }

    fn chain(&mut self, signs: &[&'static str], operand: fn(&mut Self) -> Parsed) -> Parsed {
        let mut left = operand(self)?;
        while let Word::Sign(sign) = *self.peek()
            && signs.contains(&sign)
        {
            let at = self.at();
            self.next += 1;
            let right = operand(self)?;
            let kind = self.kind_of(sign, &left, &right, at)?;
            let below = left.depth.max(right.depth);
            let sides = Box::new((left.expr, right.expr));
            left = self.part(left.at, Expr::Binary { operator: sign, sides }, kind, below)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        if self.accept("!") {
            let of = self.nested(Self::unary)?;
            self.must_be(&of, "bool", "!_")?;
            return self.part(at, Expr::Not(Box::new(of.expr)), "bool", of.depth);
        }
        if self.accept("-") {
            if *self.peek() == Word::Smallest {
                self.next += 1;
                return self.part(at, Expr::Literal(Value::Int(i64::MIN)), "int", 0);
            }
            let of = self.nested(Self::unary)?;
            if !matches!(of.kind, "int" | "double" | DYN) {
                let why = format!("found no matching overload for '-_' applied to '({})'", of.kind);
                return Err(self.refused_at(at, why));
            }
            return self.part(at, Expr::Negate(Box::new(of.expr)), of.kind, of.depth);
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let mut part = self.primary()?;
        loop {
            let at = part.at;
            if self.accept(".") {
                part = if let (Word::Name(_), Word::Sign("(")) = (self.peek(), self.ahead()) {
                    self.method(part)?
                } else {
                    self.select(part, false)?
                };
            } else if self.accept(".?") {
                part = self.select(part, true)?;
            } else if *self.peek() == Word::Sign("[") || *self.peek() == Word::Sign("[?") {
                let optional = self.advance() == Word::Sign("[?");
                let index = self.expression()?;
                self.expect("]")?;
                let kind = match (part.kind, index.kind) {
                    ("list" | "map" | DYN | "optional_type", _) => indexed(&part, optional),
                    (other, with) => {
                        let why = "found no matching overload for '_[_]' applied to";
                        return Err(self.refused_at(at, format!("{why} '({other}, {with})'")));
                    }
                };
                let below = part.depth.max(index.depth);
                let (of, index) = (Box::new(part.expr), Box::new(index.expr));
                part = self.part(at, Expr::Index { of, at: index, optional }, kind, below)?;
            } else {
                return Ok(part);
            }
        }
    }

    fn ahead(&self) -> &Word {
        let last = self.words.len() - 1;
        &self.words[(self.next + 1).min(last)].1
    }

    fn select(&mut self, of: Part, optional: bool) -> Parsed {
        let field_at = self.at();
        let field = self.name()?;
        let kind = self.kind_of_field(&of, &field, field_at)?;
        let kind = if optional { "optional_type" } else { kind };
        let (at, below) = (of.at, of.depth);
        let expr = Expr::Select { of: Box::new(of.expr), field, optional };
        self.part(at, expr, kind, below)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        // A name from the root is the same: nothing is nested in anything.
        let word =
            if self.accept(".") { Word::Name(self.name()?.to_string()) } else { self.advance() };
        if let Some(value) = word.literal() {
            let kind = value.kind();
            return self.part(at, Expr::Literal(value), kind, 0);
        }
        match word {
            Word::Name(name) => {
                if *self.peek() == Word::Sign("(") {
                    self.next += 1;
                    return if name == "has" {
                        self.has(at)
                    } else {
                        self.call(at, at, &name, vec![])
                    };
                }
                let found = self.scope.iter().rev().find(|(known, _)| **known == *name);
                let kind = match found {
                    Some((_, kind)) => kind,
                    None if name == DEVICE => DEVICE_KIND,
                    None if matches!(name.as_str(), "cel" | "optional" | "sets")
                        && matches!(self.peek(), Word::Sign(".")) =>
                    {
                        NAMESPACE
                    }
                    None => {
                        let why = format!("undeclared reference to '{name}' (in container '')");
                        return Err(self.refused_at(at, why));
                    }
                };
                self.part(at, Expr::Variable(name.into()), kind, 0)
            }
            Word::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Word::Sign("[") => self.list(at, false),
            Word::Sign("[?") => self.list(at, true),
            Word::Sign("{") => self.map(at),
            other => {
                let why = format!("Syntax error: unexpected '{}'", other.shown());
                Err(self.refused_at(at, why))
            }
        }
    }
}
