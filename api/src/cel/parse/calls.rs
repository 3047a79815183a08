//! Functions, macros, lists and maps: what has brackets.

use super::kinds::{DYN, Kind, NAMESPACE, kind_of_call};
use super::{Parsed, Parser, Part};
use crate::cel::functions::{self, FUNCTIONS};
use crate::cel::syntax::{Collect, Each, Expr};
use crate::cel::value::Value;

impl Parser<'_> {
    /// `of.name(…)`: a macro, or a function that is called on something.
    pub(super) fn method(&mut self, of: Part) -> Parsed {
        let name_at = self.at();
        let name = self.name()?;
        self.expect("(")?;
        if let Expr::Variable(space) = &of.expr
            && of.kind == NAMESPACE
        {
            if (&**space, &*name) == ("cel", "bind") {
                return self.bind(of.at);
            }
            let full = format!("{space}.{name}");
            return self.call(of.at, name_at, &full, Vec::new());
        }
        let collect = match &*name {
            "all" => Some(Collect::All),
            "exists" => Some(Collect::Exists),
            "exists_one" | "existsOne" => Some(Collect::ExistsOne),
            "filter" => Some(Collect::Filter),
            "map" => Some(Collect::Map),
            _ => None,
        };
        match collect {
            Some(collect) => self.each(of, collect),
            None => self.call(of.at, name_at, &name, vec![of]),
        }
    }

    /// What stands in the brackets of a macro that goes through items.
    fn each(&mut self, over: Part, collect: Collect) -> Parsed {
        if !matches!(over.kind, "list" | "map" | DYN) {
            let why = "cannot be range of a comprehension (must be list, map, or dynamic)";
            let why = format!("expression of type '{}' {why}", over.kind);
            return Err(self.refused_at(over.at, why));
        }
        let name = self.name()?;
        self.expect(",")?;
        self.scope.push((name.clone(), DYN));
        let inner = (|| {
            let first = self.expression()?;
            if collect == Collect::Map && self.accept(",") {
                return Ok((Some(first), self.expression()?));
            }
            Ok((None, first))
        })();
        self.scope.pop();
        let (only, body) = inner?;
        self.expect(")")?;
        let condition = if collect == Collect::Map { only.as_ref() } else { Some(&body) };
        if let Some(condition) = condition {
            self.must_be(condition, "bool", "a condition")?;
        }
        let kind = if matches!(collect, Collect::Filter | Collect::Map) { "list" } else { "bool" };
        let below = over.depth.max(body.depth).max(only.as_ref().map_or(0, |only| only.depth));
        let at = over.at;
        let each = Each {
            collect,
            over: over.expr,
            name,
            only: only.map(|only| only.expr),
            body: body.expr,
        };
        self.part(at, Expr::Each(Box::new(each)), kind, below)
    }

    /// `cel.bind(name, value, body)` from behind the bracket.
    fn bind(&mut self, at: usize) -> Parsed {
        let name = self.name()?;
        self.expect(",")?;
        let value = self.expression()?;
        self.expect(",")?;
        self.scope.push((name.clone(), value.kind));
        let body = self.expression();
        self.scope.pop();
        let body = body?;
        self.expect(")")?;
        let below = value.depth.max(body.depth);
        let sides = Box::new((value.expr, body.expr));
        self.part(at, Expr::Bind { name, sides }, body.kind, below)
    }

    /// A function's arguments from behind the bracket.
    pub(super) fn call(
        &mut self,
        at: usize,
        name_at: usize,
        name: &str,
        mut args: Vec<Part>,
    ) -> Parsed {
        if !self.accept(")") {
            loop {
                args.push(self.expression()?);
                if !self.accept(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        let Some((name, fewest, most)) = FUNCTIONS.iter().find(|(known, _, _)| *known == name)
        else {
            let why = format!("undeclared reference to '{name}' (in container '')");
            return Err(self.refused_at(name_at, why));
        };
        if !(*fewest..=*most).contains(&args.len()) {
            let kinds: Vec<Kind> = args.iter().map(|arg| arg.kind).collect();
            let kinds = kinds.join(", ");
            let why = format!("found no matching overload for '{name}' applied to '({kinds})'");
            return Err(self.refused_at(name_at, why));
        }
        // A pattern that is written out is compiled here for the first time.
        if let ("matches" | "find" | "findAll", Some(Expr::Literal(Value::String(pattern)))) =
            (*name, args.get(1).map(|arg| &arg.expr))
            && let Err(problem) = functions::pattern(pattern)
        {
            return Err(self.refused_at(name_at, problem.to_string()));
        }
        let kind = kind_of_call(name);
        let below = args.iter().map(|arg| arg.depth).max().unwrap_or(0);
        let args = args.into_iter().map(|arg| arg.expr).collect();
        self.part(at, Expr::Call { name, args }, kind, below)
    }

    /// `has(of.field)` from behind the bracket.
    pub(super) fn has(&mut self, at: usize) -> Parsed {
        let part = self.expression()?;
        self.expect(")")?;
        let Part { expr: Expr::Select { of, field, optional: false }, depth, .. } = part else {
            return Err(self.refused_at(at, "invalid argument to has() macro"));
        };
        self.part(at, Expr::Has { of, field }, "bool", depth)
    }

    pub(super) fn list(&mut self, at: usize, mut optional: bool) -> Parsed {
        let (mut items, mut below) = (Vec::new(), 0);
        while !self.accept("]") {
            optional |= self.accept("?");
            let item = self.expression()?;
            below = below.max(item.depth);
            items.push((optional, item.expr));
            optional = false;
            if !self.accept(",") {
                self.expect("]")?;
                break;
            }
        }
        if optional {
            return Err(self.refused("Syntax error: unexpected ']'"));
        }
        self.part(at, Expr::List(items), "list", below)
    }

    pub(super) fn map(&mut self, at: usize) -> Parsed {
        let (mut entries, mut below) = (Vec::new(), 0);
        while !self.accept("}") {
            let optional = self.accept("?");
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            below = below.max(key.depth).max(value.depth);
            entries.push((optional, key.expr, value.expr));
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        self.part(at, Expr::Map(entries), "map", below)
    }
}
