//! Compiled patterns. A schema is read several times with each write of its definition, and again
//! in each of its versions, so a pattern that is in use somewhere is not compiled twice.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use regex::{Error, Regex, RegexBuilder};

use super::{Malformed, translate};

/// Bytes that a compiled pattern may take. Go has no limit that is met in practice; a schema must
/// not be able to take the memory of the server.
const SIZE: usize = 16 << 20;

/// Patterns known before those are forgotten that nothing uses any more.
const KNOWN: usize = 256;

/// The patterns in use, by their text.
static IN_USE: LazyLock<Mutex<HashMap<String, Weak<Regex>>>> = LazyLock::new(Mutex::default);

/// The pattern, ready to match.
///
/// # Errors
/// What Go refuses, and what would be too large here.
pub(crate) fn compile(pattern: &str) -> Result<Arc<Regex>, Malformed> {
    // Nothing that may fail is done while it is locked.
    let mut known = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = known.get(pattern).and_then(Weak::upgrade) {
        return Ok(regex);
    }
    drop(known);
    let built = RegexBuilder::new(&translate(pattern)?).size_limit(SIZE).build();
    let regex = Arc::new(built.map_err(|error| {
        Malformed::new(
            match error {
                Error::CompiledTooBig(_) => "expression too large",
                _ => "expression nests too deeply",
            },
            pattern,
        )
    })?);
    known = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= KNOWN {
        known.retain(|_, regex| regex.strong_count() > 0);
    }
    known.insert(pattern.to_owned(), Arc::downgrade(&regex));
    Ok(regex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_compiled_once() {
        let first = compile("^once$").expect("a pattern");
        assert!(Arc::ptr_eq(&first, &compile("^once$").expect("a pattern")));
        assert!(!Arc::ptr_eq(&first, &compile("^twice$").expect("a pattern")));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let deep = format!("{}a{}", "(".repeat(300), ")".repeat(300));
        for (pattern, problem) in [
            (r"(\pL{100}\pN{100}){9}".repeat(9), "expression too large"),
            (deep, "expression nests too deeply"),
        ] {
            let refused = compile(&pattern).expect_err("too much").to_string();
            assert!(
                refused.starts_with(&format!("error parsing regexp: {problem}: `")),
                "{refused}"
            );
        }
    }
}
