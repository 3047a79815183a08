//! Keys and the ranges that prefixes stand for.
//!
//! Both engines compare keys as UTF-8 bytes (SQLite's BINARY, Postgres' "C"
//! collation), so a prefix is the half-open range from itself to its successor.

/// Whether both engines can hold this key and every prefix of it has a successor.
pub(crate) fn is_valid(key: &str) -> bool {
    !key.is_empty() && !key.contains(['\0', char::MAX])
}

/// All keys from `from` on that sort before `end`, except `skip`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: String,
    pub(crate) end: String,
    /// The key a page continues behind; empty when there is none.
    pub(crate) skip: String,
}

impl Range {
    /// Every key that starts with `prefix`.
    pub(crate) fn prefix(prefix: &str) -> Range {
        // NUL occurs in no key, and Postgres refuses it in a parameter.
        let prefix: &str = if prefix.contains('\0') { "\u{10FFFF}" } else { prefix };
        Range { from: prefix.to_owned(), end: successor(prefix), skip: String::new() }
    }

    /// The part of the range behind `key`.
    pub(crate) fn after(mut self, key: &str) -> Range {
        if key >= self.from.as_str() && !key.contains('\0') {
            self.from = key.to_owned();
            self.skip = key.to_owned();
        }
        self
    }
}

/// The smallest text that sorts behind everything starting with `prefix`.
fn successor(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    match end.pop() {
        None => end.push(char::MAX),
        // No valid key contains char::MAX: an empty range is right.
        Some(char::MAX) => end.push(char::MAX),
        Some('\u{D7FF}') => end.push('\u{E000}'),
        Some(last) => {
            end.push(char::from_u32(last as u32 + 1).expect("only surrogates and MAX lack a next"));
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_exactly_its_keys() {
        for (prefix, inside, outside) in [
            ("/a/", &["/a/", "/a/b", "/a/\u{10FFFE}"][..], &["/a", "/a0", "/b"][..]),
            ("", &["a", "\u{10FFFE}x"], &[]),
            ("x\u{D7FF}", &["x\u{D7FF}", "x\u{D7FF}z"], &["x\u{E000}", "x"]),
            ("z", &["z", "zz"], &["{", "y"]),
        ] {
            let range = Range::prefix(prefix);
            for key in inside {
                assert!(range.from.as_str() <= *key && *key < range.end.as_str(), "{prefix} {key}");
            }
            for key in outside {
                assert!(
                    !(range.from.as_str() <= *key && *key < range.end.as_str()),
                    "{prefix} {key}"
                );
            }
        }
    }

    #[test]
    fn a_continuation_starts_behind_its_key_but_never_before_the_prefix() {
        let page = Range::prefix("/a/").after("/a/b");
        assert_eq!((page.from.as_str(), page.skip.as_str()), ("/a/b", "/a/b"));
        let page = Range::prefix("/b/").after("/a/b");
        assert_eq!((page.from.as_str(), page.skip.as_str()), ("/b/", ""));
    }

    #[test]
    fn keys_that_an_engine_cannot_hold_are_invalid() {
        assert!(is_valid("/registry/pods/default/web-0"));
        for bad in ["", "a\0b", "a\u{10FFFF}"] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }
}
