//! YAML made into JSON, as sigs.k8s.io/yaml makes it: of several documents the first counts, of
//! several keys of one name the last, and who wants to can hear of that.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Spanned};

/// Lists and maps that may be inside of each other, where Go allows 10,000. Of what is read, fewer are
/// kept in any case ([`api::decode`]).
const DEPTH: usize = 200;
/// Bytes of stack for the parser, which calls itself: a level takes up to 20 KiB of it, without
/// optimization.
const STACK: usize = 8 * 1024 * 1024;

/// Keys told at most that occur twice: whoever sends more means no good.
const TOLD: usize = 100;

/// What a document says.
#[derive(Debug, PartialEq)]
pub(crate) struct Yaml {
    /// As JSON.
    pub(crate) value: Value,
    /// What is odd about keys that occur twice: nothing, or `yaml: unmarshal errors:` and a line for
    /// each key.
    pub(crate) twice: Option<String>,
}

/// Reads the first document of a text.
///
/// # Errors
/// `yaml: line N: …` for a text that is no YAML.
pub(crate) fn read(body: &[u8]) -> Result<Yaml, String> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK);
        let reader = reader.spawn_scoped(scope, || parse(body));
        let reader = reader.map_err(|error| format!("yaml: no thread to read it: {error}"))?;
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn parse(body: &[u8]) -> Result<Yaml, String> {
    let text = std::str::from_utf8(body).map_err(|_| "yaml: invalid leading UTF-8 octet")?;
    let text = first_document(text);
    // kubectl reads `mode: 0644` as 420, and so must we.
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! { max_depth: DEPTH },
    };
    match serde_saphyr::from_str_with_options(text, options) {
        Ok(value) => return Ok(Yaml { value, twice: None }),
        Err(error) if matches!(error.without_snippet(), Error::DuplicateMappingKey { .. }) => {}
        Err(error) => return Err(reason(&error, text)),
    }
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        budget: serde_saphyr::budget! { max_depth: DEPTH },
    };
    let Noted { value, lines } =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| reason(&error, text))?;
    let twice = format!("yaml: unmarshal errors:\n  {}", lines.join("\n  "));
    Ok(Yaml { value, twice: Some(twice) })
}

/// The part of a text up to the second document. Nothing but a marker begins a line like one.
fn first_document(text: &str) -> &str {
    let mut begun = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let is = |marker: &str| {
            line.strip_prefix(marker)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        };
        if is("---") || is("...") {
            if begun {
                return &text[..at];
            }
            begun = is("---");
        } else if !matches!(line.trim_start().as_bytes().first(), None | Some(b'#' | b'%')) {
            begun = true;
        }
        at += line.len();
    }
    text
}

const TOO_DEEP: &str = "exceeded max depth";

/// What Go's parser says where ours says something else.
const WORDS: [(&str, &str); 9] = [
    ("recursion limit exceeded", TOO_DEEP),
    ("unclosed quote", "found unexpected end of stream"),
    ("unexpected character: ", "found character that cannot start any token"),
    ("tabs disallowed ", "found character that cannot start any token"),
    ("tab cannot be used as indentation", "found character that cannot start any token"),
    ("found a tab", "found a tab character that violates indentation"),
    ("simple key expected ':'", "could not find expected ':'"),
    ("simple key is no longer valid", "could not find expected ':'"),
    ("expected ',' or ']'", "did not find expected ',' or ']'"),
];

/// An error in the words that Go's parser has for it, where those are known: it says what is wrong
/// without what it was about to read. It does not say that something is in the first line, and counts
/// from there what was wrong with whole tokens.
fn reason(error: &Error, text: &str) -> String {
    let said = match error.without_snippet() {
        Error::ExternalMessage { msg, .. } | Error::Message { msg, .. } => msg.clone(),
        Error::UnknownAnchor { location } => {
            let name = alias(text, location.line(), location.column()).unwrap_or_default();
            return format!("yaml: unknown anchor '{name}' referenced");
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => TOO_DEEP.to_owned(),
        other => other.to_string(),
    };
    let said = said
        .strip_prefix("while ")
        .and_then(|said| said.split_once(", "))
        .map_or(said.as_str(), |(_, said)| said);
    if let Some(bracket) = said.strip_prefix("unclosed bracket ") {
        return unclosed(bracket, text);
    }
    let known = WORDS.iter().find(|(ours, _)| said.starts_with(ours));
    let said = known.map_or(said, |(_, theirs)| theirs);
    let line = error.location().map_or(0, |location| location.line());
    let line = match said {
        _ if said.starts_with("did not find expected") => line.saturating_sub(1),
        _ if line == 1 => 0,
        _ => line,
    };
    if line > 0 { format!("yaml: line {line}: {said}") } else { format!("yaml: {said}") }
}

/// The name of the alias at a place, both numbers counted from one.
fn alias(text: &str, line: u64, column: u64) -> Option<&str> {
    let number = |number: u64| usize::try_from(number.checked_sub(1)?).ok();
    let line = text.lines().nth(number(line)?)?;
    let (at, _) = line.char_indices().nth(number(column)?)?;
    let (_, name) = line[at..].split_once('*')?;
    name.split([' ', '\t', ',', ']', '}', '[', '{']).next()
}

/// The error of a text that ends in a bracket: with another item to come, or without the bracket.
fn unclosed(bracket: &str, text: &str) -> String {
    let line = text.lines().count();
    let said = match (bracket, text.trim_end().chars().next_back()) {
        (_, Some(',' | '[' | '{' | ':')) => "did not find expected node content",
        ("'['", _) => "did not find expected ',' or ']'",
        _ => "did not find expected ',' or '}'",
    };
    format!("yaml: line {line}: {said}")
}

/// A document and its keys that occur twice.
struct Noted {
    value: Value,
    lines: Vec<String>,
}

impl<'de> Deserialize<'de> for Noted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Noted, D::Error> {
        let lines = RefCell::default();
        let value = Node(&lines).deserialize(deserializer)?;
        Ok(Noted { value, lines: lines.into_inner() })
    }
}

struct Node<'a>(&'a RefCell<Vec<String>>);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Node(self.0))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            if map.contains_key(&key.value) && self.0.borrow().len() < TOLD {
                let (line, name) = (key.referenced.line(), api::field::go_quote(&key.value));
                self.0.borrow_mut().push(format!("line {line}: key {name} already set in map"));
            }
            let value = entries.next_value_seed(Node(self.0))?;
            map.insert(key.value, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> Value {
        let read = read(text.as_bytes()).expect(text);
        assert_eq!(read.twice, None, "{text}");
        read.value
    }

    #[test]
    fn yaml_becomes_json() {
        let text = "a: 0644\nb: [x, 'y', ~, 1.5]\nc: {d: true}\n";
        assert_eq!(plain(text), json!({"a": 420, "b": ["x", "y", null, 1.5], "c": {"d": true}}));
        assert_eq!(plain(""), Value::Null);
    }

    #[test]
    fn the_last_key_of_a_name_counts_and_all_are_told() {
        let text = "a: 1\nb:\n- c: {x: 0644}\n  d: 2\n  c: [~, true, 1.5]\na:\n  e: x\n  e: 'y'\n\"a\": 5\n";
        let got = read(text.as_bytes()).unwrap();
        assert_eq!(got.value, json!({"a": 5, "b": [{"c": [null, true, 1.5], "d": 2}]}));
        let want = "yaml: unmarshal errors:\n  line 5: key \"c\" already set in map\n  \
                    line 6: key \"a\" already set in map\n  \
                    line 8: key \"e\" already set in map\n  line 9: key \"a\" already set in map";
        assert_eq!(got.twice.as_deref(), Some(want));
    }

    #[test]
    fn of_several_documents_the_first_counts() {
        let one = json!({"a": 1});
        for text in [
            "a: 1\n---\na: 2\n",
            "---\na: 1\n---\na: 2\n",
            "# what follows\n%YAML 1.1\n--- # the first\na: 1\n...\nnot: [yaml\n",
            "a: 1\n--- {b: [\n",
            "a: 1\r\n---\r\nb: 2\r\n",
        ] {
            assert_eq!(plain(text), one, "{text}");
        }
        assert_eq!(plain("---\n---\na: 1\n"), Value::Null);
        let text = "a: |\n  ---\n  x\nb: ---\nc: ---x\n";
        assert_eq!(plain(text), json!({"a": "---\nx\n", "b": "---", "c": "---x"}));
    }

    #[test]
    fn what_is_no_yaml_is_refused_as_go_refuses_it() {
        for (text, want) in [
            ("a: [", "yaml: line 1: did not find expected node content"),
            ("v:\n- [A,", "yaml: line 2: did not find expected node content"),
            ("v:\n- [A", "yaml: line 2: did not find expected ',' or ']'"),
            ("{a: 1\n", "yaml: line 1: did not find expected ',' or '}'"),
            ("a: b: c\n", "yaml: mapping values are not allowed in this context"),
            ("a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
            ("value: -", "yaml: block sequence entries are not allowed in this context"),
            ("a:\n\t- b\n", "yaml: line 2: found character that cannot start any token"),
            ("a: @b\n", "yaml: found character that cannot start any token"),
            ("a: *b\n", "yaml: unknown anchor 'b' referenced"),
            ("x: 1\na: [é, *bc]\n", "yaml: unknown anchor 'bc' referenced"),
        ] {
            assert_eq!(read(text.as_bytes()), Err(want.to_owned()), "{text}");
        }
        for text in ["a: \"", "{a: 1", "- a\nb: 1\n", "@"] {
            let refused = read(text.as_bytes()).expect_err(text);
            assert!(refused.starts_with("yaml: "), "{text}: {refused}");
            assert!(!refused.contains("while "), "{text}: {refused}");
        }
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
            let nested = |depth: usize| open.repeat(depth) + "x" + &close.repeat(depth);
            if open != "? " {
                let got = read(nested(DEPTH).as_bytes());
                assert!(got.is_ok(), "{open}: {got:?}");
            }
            for depth in [DEPTH + 1, DEPTH * 2, 100_000] {
                let refused = read(nested(depth).as_bytes()).expect_err("too deep");
                assert!(refused.contains("exceeded max depth"), "{open} {depth}: {refused}");
            }
        }
        assert_eq!(read(b"\xff"), Err("yaml: invalid leading UTF-8 octet".to_owned()));
    }
}
