//! Paths of fields that a schema names: `.spec.color`, and in rules `['spec'].labels['a.b']`.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel (ValidFieldPath).

use super::Schema;
use super::schema::Additional;

const NO_FIELD: &str = "does not refer to a valid field";
const ENDS: &str = "unexpected end of JSON path";

/// A path, and the schema of what it leads to.
#[derive(Debug)]
pub(crate) struct FieldPath<'s> {
    /// The names on the way.
    pub(crate) names: Vec<String>,
    /// What is there.
    pub(crate) schema: &'s Schema,
}

impl<'s> FieldPath<'s> {
    /// Follows a path in the schema of an object; `brackets`: whether names may be in brackets.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub(crate) fn find(
        path: &str,
        schema: &'s Schema,
        brackets: bool,
    ) -> Result<FieldPath<'s>, String> {
        let mut found = FieldPath { names: Vec::new(), schema };
        let mut rest = path;
        while !rest.is_empty() {
            let (token, after) = token(rest);
            rest = match token {
                "[" if !brackets => return Err("array notation is not allowed".to_owned()),
                "[" => found.in_brackets(after)?,
                "." if after.is_empty() => return Err(ENDS.to_owned()),
                "." => {
                    let (name, after) = self::token(after);
                    found.enter(name.to_owned())?;
                    after
                }
                other => return Err(format!("expected [ or . but got: {other}")),
            };
        }
        Ok(found)
    }

    fn in_brackets<'t>(&mut self, text: &'t str) -> Result<&'t str, String> {
        if text.is_empty() {
            return Err(ENDS.to_owned());
        }
        let (name, rest) = token(text);
        let quoted = name.strip_prefix('\'').and_then(|name| name.strip_suffix('\''));
        let quoted =
            quoted.ok_or_else(|| format!("expected single quoted string but got {name}"))?;
        self.enter(unescaped(quoted)?)?;
        if rest.is_empty() {
            return Err(ENDS.to_owned());
        }
        match token(rest) {
            ("]", rest) => Ok(rest),
            (other, _) => Err(format!("expected ] but got {other}")),
        }
    }

    fn enter(&mut self, name: String) -> Result<(), String> {
        let schema = self.schema;
        let next = match &schema.additional_properties {
            _ if !schema.properties.is_empty() => schema.properties.get(&name),
            Some(Additional::Schema(values)) => Some(&**values),
            _ => None,
        };
        self.schema = next.ok_or(NO_FIELD)?;
        self.names.push(name);
        Ok(())
    }
}

/// A delimiter, a text in quotes or what is before the next delimiter; and what follows.
fn token(text: &str) -> (&str, &str) {
    let quoted = text.starts_with('\'');
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '\'' if quoted && at > 0 && before != '\\' => return text.split_at(at + 1),
            '.' | '[' | ']' if !quoted => return text.split_at(at.max(1)),
            _ => before = c,
        }
    }
    (text, "")
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match chars.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(c @ ('\'' | '\\')) => c,
            Some(c) => return Err(format!("invalid string literal: invalid escape char \\{c}")),
            None => '\\',
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_followed_along_the_schema() {
        let schema = Schema::read(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"n": {"type": "integer"}, "a.b": {"type": "string"}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "open": {"type": "object"}}}))
        .expect("a schema");
        for (path, brackets, want) in [
            (".spec.n", false, Ok("spec/n: integer")),
            (".labels.any", false, Ok("labels/any: string")),
            (".spec['a.b']", true, Ok("spec/a.b: string")),
            ("['spec']['n']", true, Ok("spec/n: integer")),
            ("", true, Ok(": object")),
            (".spec['n']", false, Err("array notation is not allowed")),
            ("spec.n", false, Err("expected [ or . but got: spec")),
            (".spec.", false, Err(ENDS)),
            (".spec.other", false, Err(NO_FIELD)),
            (".open.any", false, Err(NO_FIELD)),
            (".spec.n.more", false, Err(NO_FIELD)),
            (".spec[n]", true, Err("expected single quoted string but got n")),
            (".spec['n'", true, Err(ENDS)),
            (".spec['n'.", true, Err("expected ] but got .")),
            (".spec['\\x']", true, Err("invalid string literal: invalid escape char \\x")),
        ] {
            let found = FieldPath::find(path, &schema, brackets);
            let shown =
                found.map(|found| format!("{}: {}", found.names.join("/"), found.schema.kind));
            assert_eq!(shown, want.map(str::to_owned).map_err(str::to_owned), "{path}");
        }
    }
}
