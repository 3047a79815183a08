//! Query parameters, read into what they mean.

mod list;
mod write;

use std::collections::HashMap;
use std::num::{IntErrorKind, ParseIntError};

use api::status::Status;

use super::info::decode;

pub(crate) use list::{ListOptions, Moment, parse_version, read_version};
pub(crate) use write::{FieldValidation, WriteOptions};

/// The pairs of a query string, decoded.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let spaced = |text: &str| decode(&text.replace('+', " ")).into_owned();
        (spaced(key), spaced(value))
    })
}

/// All values of a parameter that may be given more than once.
pub(crate) fn values(query: &str, key: &str) -> Vec<String> {
    pairs(query).filter(|(name, _)| name == key).map(|(_, value)| value).collect()
}

/// A query string as a map; of a repeated parameter the first counts, as in Go.
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    /// Splits and decodes a query string.
    pub(crate) fn parse(query: &str) -> Query {
        let mut map = HashMap::new();
        for (key, value) in pairs(query) {
            map.entry(key).or_insert(value);
        }
        Query(map)
    }

    /// The value of a parameter, "" when absent.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// Whether a parameter is there, with or without a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// A boolean: false when it says `false` or `0`, true for everything else, `?watch` without a
    /// value included (k8s.io/apimachinery/pkg/runtime: Convert_Slice_string_To_bool).
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.0.get(key)?;
        Some(!matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A number.
    ///
    /// # Errors
    /// 400 for a value that is none, the empty one included.
    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, Status> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let refuse = |error: ParseIntError| Status::bad_request(no_number("Int", value, &error));
        value.parse().map(Some).map_err(refuse)
    }
}

/// Why a text is no number, in the words of Go's strconv package, which clients are used to.
fn no_number(kind: &str, text: &str, error: &ParseIntError) -> String {
    let reason = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.Parse{kind}: parsing {}: {reason}", api::field::go_quote(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode() {
        let query = Query::parse("labelSelector=app%3Dweb&x=a+b&watch&limit=abc&flag=false");
        assert_eq!(query.get("labelSelector"), "app=web");
        assert_eq!(query.get("x"), "a b");
        assert_eq!((query.flag("flag"), query.flag("watch")), (Some(false), Some(true)));
        assert_eq!((query.flag("none"), query.number("none")), (None, Ok(None)));
        let excluded = values("exclude=a&verbose&exclude=b%2Dc&excluded=d", "exclude");
        assert_eq!(excluded, ["a", "b-c"]);
    }
}
