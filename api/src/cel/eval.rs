//! Evaluates a tree. Every step is paid for, so that it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Problem;
use super::budget::Budget;
use super::functions;
use super::operators;
use super::syntax::{Collect, Each, Expr};
use super::value::{Key, Map, Value};

/// Variables that can be seen, the innermost last, and what is left to spend.
pub(super) struct Evaluation {
    variables: Vec<(Arc<str>, Value)>,
    budget: Budget,
}

type Evaluated = Result<Value, Problem>;

impl Evaluation {
    pub(super) fn new(name: &str, value: Value) -> Self {
        Self { variables: vec![(name.into(), value)], budget: Budget::default() }
    }

    pub(super) fn value(&mut self, expr: &Expr) -> Evaluated {
        self.budget.spend(1)?;
        match expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let found = found.map(|(_, value)| value.clone());
                found.ok_or_else(|| Problem::new(format!("no such attribute: {name}")))
            }
            Expr::Select { of, field, optional } => {
                let of = self.value(of)?;
                get(&of, &Value::String(field.clone()), *optional)
            }
            Expr::Has { of, field } => match self.value(of)? {
                Value::Map(map) => Ok(Value::Bool(map.get(&Key::String(field.clone())).is_some())),
                Value::Optional(None) => Ok(Value::Bool(false)),
                value @ Value::Optional(Some(_)) => {
                    let got = get(&value, &Value::String(field.clone()), true)?;
                    Ok(Value::Bool(matches!(got, Value::Optional(Some(_)))))
                }
                other => Err(Problem::overload("has", &[other])),
            },
            Expr::Index { of, at, optional } => {
                let (of, at) = (self.value(of)?, self.value(at)?);
                get(&of, &at, *optional)
            }
            Expr::Call { name, args } => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    values.push(self.value(arg)?);
                }
                functions::call(name, &values, &mut self.budget)
            }
            Expr::Not(of) => match self.value(of)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                other => Err(Problem::overload("!_", &[other])),
            },
            Expr::Negate(of) => match self.value(of)? {
                Value::Int(value) => {
                    value.checked_neg().map(Value::Int).ok_or_else(Problem::overflow)
                }
                Value::Double(value) => Ok(Value::Double(-value)),
                other => Err(Problem::overload("-_", &[other])),
            },
            Expr::Binary { operator, sides } => {
                let (a, b) = (self.value(&sides.0)?, self.value(&sides.1)?);
                operators::binary(operator, &a, &b, &mut self.budget)
            }
            Expr::And(sides) => self.logical(&sides.0, &sides.1, false, "_&&_"),
            Expr::Or(sides) => self.logical(&sides.0, &sides.1, true, "_||_"),
            Expr::Conditional(sides) => match self.value(&sides.0)? {
                Value::Bool(true) => self.value(&sides.1),
                Value::Bool(false) => self.value(&sides.2),
                other => Err(Problem::overload("_?_:_", &[other])),
            },
            Expr::List(items) => self.list(items),
            Expr::Map(entries) => self.map(entries),
            Expr::Each(each) => self.each(each),
            Expr::Bind { name, sides } => {
                let value = self.value(&sides.0)?;
                self.with(name, value, |inner| inner.value(&sides.1))
            }
        }
    }

    fn with<T>(&mut self, name: &Arc<str>, value: Value, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.variables.push((name.clone(), value));
        let result = inner(self);
        self.variables.pop();
        result
    }

    /// Either side alone decides if it has the value `decisive`, even if the other one fails.
    fn logical(&mut self, a: &Expr, b: &Expr, decisive: bool, operator: &str) -> Evaluated {
        let truth = |value: Value| match value {
            Value::Bool(value) => Ok(value),
            other => Err(Problem::overload(operator, &[other])),
        };
        let first = self.value(a).and_then(truth);
        if first.as_ref().is_ok_and(|value| *value == decisive) {
            return Ok(Value::Bool(decisive));
        }
        let second = self.value(b).and_then(truth);
        if second.as_ref().is_ok_and(|value| *value == decisive) {
            return Ok(Value::Bool(decisive));
        }
        first?;
        second.map(Value::Bool)
    }

    fn list(&mut self, items: &[(bool, Expr)]) -> Evaluated {
        let mut values = Vec::with_capacity(items.len());
        for (optional, item) in items {
            match (optional, self.value(item)?) {
                (false, value) => values.push(value),
                (true, Value::Optional(value)) => values.extend(value.map(|value| *value)),
                (true, other) => return Err(Problem::overload("[?_]", &[other])),
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &[(bool, Expr, Expr)]) -> Evaluated {
        let mut map = BTreeMap::new();
        for (optional, key, value) in entries {
            let (key, value) = (self.value(key)?, self.value(value)?);
            let named = Key::of(&key)
                .ok_or_else(|| Problem::new(format!("unsupported key type: {}", key.kind())))?;
            let value = match (optional, value) {
                (false, value) => value,
                (true, Value::Optional(None)) => continue,
                (true, Value::Optional(Some(value))) => *value,
                (true, other) => return Err(Problem::overload("{?_: _}", &[other])),
            };
            if map.insert(named, value).is_some() {
                return Err(Problem::new(format!("Failed with repeated key {key}")));
            }
        }
        Ok(Value::Map(Arc::new(Map { entries: map, or_empty: false })))
    }

    fn each(&mut self, each: &Each) -> Evaluated {
        let items: Vec<Value> = match self.value(&each.over)? {
            Value::List(items) => items.to_vec(),
            Value::Map(map) => map.entries.keys().map(Key::value).collect(),
            other => return Err(Problem::overload("comprehension", &[other])),
        };
        self.budget.spend(items.len())?;
        let (mut kept, mut failed) = (Vec::new(), None);
        for item in items {
            let shown = item.clone();
            let result = self.with(&each.name, item, |inner| {
                if let Some(only) = &each.only {
                    match inner.value(only)? {
                        Value::Bool(true) => {}
                        Value::Bool(false) => return Ok(None),
                        other => return Err(Problem::overload("map", &[other])),
                    }
                }
                inner.value(&each.body).map(Some)
            });
            match (each.collect, result) {
                (Collect::Map, Ok(value)) => kept.extend(value),
                (Collect::All, Ok(Some(Value::Bool(false)))) => return Ok(Value::Bool(false)),
                (Collect::Exists, Ok(Some(Value::Bool(true)))) => return Ok(Value::Bool(true)),
                (Collect::Filter | Collect::ExistsOne, Ok(Some(Value::Bool(true)))) => {
                    kept.push(shown);
                }
                (_, Ok(None | Some(Value::Bool(_)))) => {}
                (_, Ok(Some(other))) => return Err(Problem::overload("comprehension", &[other])),
                // Another item may decide all the same.
                (Collect::All | Collect::Exists, Err(problem)) if !problem.is_final() => {
                    failed.get_or_insert(problem);
                }
                (_, Err(problem)) => return Err(problem),
            }
        }
        match failed {
            Some(problem) => Err(problem),
            None => Ok(match each.collect {
                Collect::All => Value::Bool(true),
                Collect::Exists => Value::Bool(false),
                Collect::ExistsOne => Value::Bool(kept.len() == 1),
                Collect::Filter | Collect::Map => Value::list(kept),
            }),
        }
    }
}

/// An entry of a map or a list; of an optional value an optional one.
fn get(of: &Value, at: &Value, optional: bool) -> Evaluated {
    let found = match of {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => {
            return Ok(match get(inner, at, true)? {
                found @ Value::Optional(_) => found,
                found => Value::Optional(Some(Box::new(found))),
            });
        }
        Value::Map(map) => {
            let Some(key) = Key::of(at) else {
                return Err(Problem::new(format!("unsupported key type: {}", at.kind())));
            };
            map.get(&key).ok_or_else(|| Problem::new(format!("no such key: {at}")))
        }
        Value::List(items) => {
            let Some(Key::Int(index)) = Key::of(at) else {
                return Err(Problem::new(format!("unsupported index type '{}'", at.kind())));
            };
            let found = usize::try_from(index).ok().and_then(|index| items.get(index)).cloned();
            found.ok_or_else(|| Problem::new(format!("index out of bounds: {index}")))
        }
        other => return Err(Problem::overload("_[_]", &[other.clone(), at.clone()])),
    };
    match (optional, found) {
        (false, found) => found,
        (true, Ok(value)) => Ok(Value::Optional(Some(Box::new(value)))),
        (true, Err(_)) => Ok(Value::Optional(None)),
    }
}
