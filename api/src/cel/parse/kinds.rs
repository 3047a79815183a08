//! What can be known of types before an expression is evaluated: operators between types that do not go
//! together, and fields that a device does not have.

use super::{Parser, Part};
use crate::cel::syntax::Expr;
use crate::cel::{CompileError, DEVICE, DEVICE_FIELDS};

/// What is known of the type of an expression; `dyn` is anything.
pub(in crate::cel) type Kind = &'static str;

pub(super) const DYN: Kind = "dyn";
/// The type of the variable `device`.
pub(super) const DEVICE_KIND: Kind = "kubernetes.DRADevice";

/// What `cel`, `optional` and `sets` are: the first half of a function's name.
pub(super) const NAMESPACE: Kind = "namespace";

impl Parser<'_> {
    /// The type of what an operator makes of two values.
    pub(super) fn kind_of(
        &self,
        sign: &str,
        a: &Part,
        b: &Part,
        at: usize,
    ) -> Result<Kind, CompileError> {
        let compares = matches!(sign, "==" | "!=" | "<" | "<=" | ">" | ">=");
        let both = if a.kind == DYN { b.kind } else { a.kind };
        let known = a.kind != DYN && b.kind != DYN;
        let fits = match sign {
            "in" => matches!(b.kind, "list" | "map" | DYN),
            "<" | "<=" | ">" | ">=" if is_number(a.kind) && is_number(b.kind) => true,
            _ if known && a.kind != b.kind => false,
            "==" | "!=" => true,
            "<" | "<=" | ">" | ">=" => {
                matches!(both, "bool" | "int" | "uint" | "double" | "string" | "bytes" | DYN)
            }
            "+" => matches!(both, "int" | "uint" | "double" | "string" | "bytes" | "list" | DYN),
            "%" => matches!(both, "int" | "uint" | DYN),
            _ => matches!(both, "int" | "uint" | "double" | DYN),
        };
        if !fits {
            let operator = if sign == "in" { "@in".to_owned() } else { format!("_{sign}_") };
            let args = format!("({}, {})", a.kind, b.kind);
            let why = format!("found no matching overload for '{operator}' applied to '{args}'");
            return Err(self.refused_at(at, why));
        }
        Ok(if compares || sign == "in" { "bool" } else { both })
    }

    pub(super) fn must_be(
        &self,
        part: &Part,
        kind: Kind,
        operator: &str,
    ) -> Result<(), CompileError> {
        if part.kind == kind || part.kind == DYN {
            return Ok(());
        }
        let why = format!("expected type '{kind}' but found '{}' for '{operator}'", part.kind);
        Err(self.refused_at(part.at, why))
    }

    pub(super) fn kind_of_field(
        &self,
        of: &Part,
        field: &str,
        at: usize,
    ) -> Result<Kind, CompileError> {
        match of.kind {
            DEVICE_KIND => DEVICE_FIELDS
                .iter()
                .find(|(name, _)| *name == field)
                .map(|(_, kind)| *kind)
                .ok_or_else(|| self.refused_at(at, format!("undefined field '{field}'"))),
            "map" => Ok(indexed(of, false)),
            "optional_type" => Ok("optional_type"),
            DYN => Ok(DYN),
            other => {
                let why = format!("type '{other}' does not support field selection");
                Err(self.refused_at(at, why))
            }
        }
    }
}

/// Numbers of all types are in one order.
fn is_number(kind: Kind) -> bool {
    matches!(kind, "int" | "uint" | "double")
}

/// The type of what an index or a field gives: the domains of a device have maps.
pub(super) fn indexed(of: &Part, optional: bool) -> Kind {
    if optional || of.kind == "optional_type" {
        return "optional_type";
    }
    match &of.expr {
        Expr::Select { of: parent, field, .. }
            if of.kind == "map"
                && matches!(&**parent, Expr::Variable(name) if **name == *DEVICE)
                && matches!(&**field, "attributes" | "capacity") =>
        {
            "map"
        }
        _ => DYN,
    }
}

pub(super) fn kind_of_call(name: &str) -> Kind {
    match name {
        "contains" | "startsWith" | "endsWith" | "matches" | "isQuantity" | "isSemver"
        | "isInteger" | "isLessThan" | "isGreaterThan" | "isSorted" | "hasValue" | "bool"
        | "sets.contains" | "sets.equivalent" | "sets.intersects" => "bool",
        "size" | "int" | "indexOf" | "lastIndexOf" | "compareTo" | "major" | "minor" | "patch"
        | "sign" | "asInteger" => "int",
        "uint" => "uint",
        "double" | "asApproximateFloat" => "double",
        "string" | "lowerAscii" | "upperAscii" | "trim" | "replace" | "substring" | "charAt"
        | "find" | "join" => "string",
        "bytes" => "bytes",
        "split" | "findAll" => "list",
        "quantity" | "add" | "sub" => "kubernetes.Quantity",
        "semver" => "kubernetes.Semver",
        "type" => "type",
        "optional.none" | "optional.of" | "optional.ofNonZeroValue" | "or" => "optional_type",
        _ => DYN,
    }
}
