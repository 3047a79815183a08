//! Expressions as a tree.

use std::sync::Arc;

use super::value::Value;

/// How deep a tree may be: evaluating and dropping it takes the stack of a thread.
pub(super) const DEEPEST: usize = 120;

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Expr {
    Literal(Value),
    /// A variable.
    Variable(Arc<str>),
    /// `of.field`, or `of.?field`.
    Select {
        of: Box<Expr>,
        field: Arc<str>,
        optional: bool,
    },
    /// `has(of.field)`.
    Has {
        of: Box<Expr>,
        field: Arc<str>,
    },
    /// `of[at]`, or `of[?at]`.
    Index {
        of: Box<Expr>,
        at: Box<Expr>,
        optional: bool,
    },
    /// A function; what it is called on is its first argument.
    Call {
        name: &'static str,
        args: Vec<Expr>,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    /// An operator that needs both sides.
    Binary {
        operator: &'static str,
        sides: Box<(Expr, Expr)>,
    },
    And(Box<(Expr, Expr)>),
    Or(Box<(Expr, Expr)>),
    /// `condition ? yes : no`.
    Conditional(Box<(Expr, Expr, Expr)>),
    /// Items; one with `?` is left out if it is nothing.
    List(Vec<(bool, Expr)>),
    /// Keys and values, likewise.
    Map(Vec<(bool, Expr, Expr)>),
    /// One of the macros that go through a list or a map.
    Each(Box<Each>),
    /// `cel.bind(name, value, body)`.
    Bind {
        name: Arc<str>,
        sides: Box<(Expr, Expr)>,
    },
}

/// What a macro does with the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collect {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// A macro that goes through a list or the keys of a map.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) collect: Collect,
    pub(super) over: Expr,
    pub(super) name: Arc<str>,
    /// Which items [`Collect::Map`] takes.
    pub(super) only: Option<Expr>,
    pub(super) body: Expr,
}
