//! The syntax of names, labels and their like, with Kubernetes' words for what is wrong.
//!
//! Every function returns the messages of all rules broken; an empty list means valid.
//! Source: k8s.io/apimachinery/pkg/util/validation.

use std::net::IpAddr;

/// How the name of an object of some kind must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain, at most 253 characters: most kinds.
    Subdomain,
    /// RFC 1123 label, at most 63 characters: namespaces and services.
    Label,
    /// Any path segment: roles and the like.
    PathSegment,
    /// An IP address in canonical form: IPAddresses.
    IpAddress,
}

impl NameRule {
    /// Checks a name, or a `generateName` prefix when `prefix` is set.
    #[must_use]
    pub fn check(self, name: &str, prefix: bool) -> Vec<String> {
        // A trailing dash of a prefix is followed by the random suffix: check as if it were there.
        let shown = if prefix && name.ends_with('-') {
            format!("{}a", name.trim_end_matches('-'))
        } else {
            name.to_owned()
        };
        match self {
            Self::Subdomain => dns1123_subdomain(&shown),
            Self::Label => dns1123_label(&shown),
            Self::PathSegment => path_segment(&shown),
            // Such names are never generated: there is no prefix to complete.
            Self::IpAddress => ip_address(name),
        }
    }
}

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
     and must start and end with an alphanumeric character";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character";
const QUALIFIED_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE_FORMAT: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

/// `must be no more than LIMIT bytes`.
#[must_use]
pub fn max_length(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

fn pattern(message: &str, format: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{format}')");
    }
    let mut shown = String::new();
    // The comma before "or", and the two blanks, are Kubernetes' own.
    for (n, example) in examples.iter().enumerate() {
        if n > 0 {
            shown.push_str(" or ");
        }
        shown.push_str(&format!("'{example}', "));
    }
    format!("{message} (e.g. {shown}regex used for validation is '{format}')")
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = |b: u8| b != b'-';
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&a), Some(&z)) if ends(a) && ends(z))
        && bytes.iter().all(|&b| inner(b))
}

/// RFC 1123 label: at most 63 of `[a-z0-9-]`, not starting or ending with `-`.
#[must_use]
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_length(63));
    }
    if text.contains('.') && text.split('.').all(is_label) {
        errors.push("must not contain dots".to_owned());
    } else if !is_label(text) {
        errors.push(pattern(LABEL_MESSAGE, LABEL_FORMAT, &["my-name", "123-abc"]));
    }
    errors
}

/// RFC 1123 subdomain: labels joined by dots, at most 253 characters.
#[must_use]
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_length(253));
    }
    if !text.split('.').all(is_label) {
        let format = format!("{LABEL_FORMAT}(\\.{LABEL_FORMAT})*");
        errors.push(pattern(SUBDOMAIN_MESSAGE, &format, &["example.com"]));
    }
    errors
}

/// Like [`dns1123_subdomain`], with `_` too: what a resolver may be told to search.
#[must_use]
pub fn subdomain_with_underscore(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_length(253));
    }
    // One at the beginning of a label, any number inside of it.
    let label = |label: &str| is_label(&label.strip_prefix('_').unwrap_or(label).replace('_', "-"));
    let inner = |label: &str| !label.strip_prefix('_').unwrap_or(label).starts_with('_');
    if !text.split('.').all(|part| label(part) && inner(part) && !part.ends_with('_')) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', \
             and must start and end with an alphanumeric character";
        let format = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
        let format = format!("{format}(\\.{format})*");
        errors.push(pattern(message, &format, &["example.com"]));
    }
    errors
}

/// RFC 1035 label: like RFC 1123 but starting with a letter.
#[must_use]
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_length(63));
    }
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        let message = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
             start with an alphabetic character, and end with an alphanumeric character";
        errors.push(pattern(message, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// What is wrong with a kind, in one message; `None` if nothing is.
#[must_use]
pub fn kind(text: &str) -> Option<String> {
    let messages = dns1035_label(&text.to_lowercase());
    let should = "may have mixed case, but should otherwise match: ";
    (!messages.is_empty()).then(|| format!("{should}{}", messages.join(",")))
}

/// `*.` and an RFC 1123 subdomain: the host of an Ingress that stands for many.
#[must_use]
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_length(253));
    }
    if !text.strip_prefix("*.").is_some_and(|rest| rest.split('.').all(is_label)) {
        let message = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, \
             which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        let format = format!("\\*\\.{LABEL_FORMAT}(\\.{LABEL_FORMAT})*");
        errors.push(pattern(message, &format, &["*.example.com"]));
    }
    errors
}

/// An IPv4 or IPv6 address, written as the standard library writes it (RFC 5952).
#[must_use]
pub fn ip_address(text: &str) -> Vec<String> {
    match text.parse::<IpAddr>() {
        Err(_) => {
            vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
        }
        Ok(ip) if ip.to_string() != text => {
            vec![format!("must be in canonical form (\"{ip}\")")]
        }
        Ok(_) => Vec::new(),
    }
}

/// The machine-readable reason of a condition: CamelCase, perhaps with `_`, `,` and `:`.
#[must_use]
pub fn condition_reason(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let ends = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let valid = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|&b| ends(b))
        && bytes.iter().all(|&b| ends(b) || matches!(b, b',' | b':'));
    if valid {
        return Vec::new();
    }
    let message = "a condition reason must start with alphabetic character, optionally followed by a string of \
         alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
    let format = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
    vec![pattern(
        message,
        format,
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

/// A percentage: digits and `%`.
#[must_use]
pub fn percent(text: &str) -> Vec<String> {
    let digits = text.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    let message = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![pattern(message, "[0-9]+%", &["1%", "93%"])]
}

/// A name that may stand between two slashes of a path.
#[must_use]
pub fn path_segment(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    for bad in ["/", "%"] {
        if text.contains(bad) {
            errors.push(format!("may not contain '{bad}'"));
        }
    }
    errors
}

fn is_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |b: u8| b.is_ascii_alphanumeric();
    matches!((bytes.first(), bytes.last()), (Some(&a), Some(&z)) if ends(a) && ends(z))
        && bytes.iter().all(|&b| ends(b) || matches!(b, b'-' | b'_' | b'.'))
}

/// The key of a label, annotation, taint or extended resource: `[prefix/]name`.
#[must_use]
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name_message = || {
        pattern(
            "name part must consist of alphanumeric characters, '-', '_' or '.', \
             and must start and end with an alphanumeric character",
            QUALIFIED_FORMAT,
            &["MyName", "my.name", "123-abc"],
        )
    };
    let mut parts = text.split('/');
    let (first, second, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let name = match (second, more) {
        (None, _) => first,
        (Some(name), None) => {
            if first.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(
                    dns1123_subdomain(first).into_iter().map(|e| format!("prefix part {e}")),
                );
            }
            name
        }
        (Some(_), Some(_)) => {
            let message = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', \
                 and must start and end with an alphanumeric character";
            let mut text = pattern(message, QUALIFIED_FORMAT, &["MyName", "my.name", "123-abc"]);
            text.push_str(
                " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            );
            return vec![text];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push(format!("name part {}", max_length(63)));
    }
    if !is_qualified_part(name) {
        errors.push(name_message());
    }
    errors
}

/// The value of a label: empty, or like the name part of a key.
#[must_use]
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_length(63));
    }
    if !text.is_empty() && !is_qualified_part(text) {
        errors.push(pattern(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
             and must start and end with an alphanumeric character",
            LABEL_VALUE_FORMAT,
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// The name of a port: at most 15 of `[a-z0-9-]`, with a letter, no `--`, no `-` at an end.
#[must_use]
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 15 {
        errors.push("must be no more than 15 characters".to_owned());
    }
    let permitted = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || !text.bytes().all(permitted) {
        errors.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A port number, 1 to 65535.
#[must_use]
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65_535).contains(&port) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

/// The key of a ConfigMap or Secret, which becomes a file name.
#[must_use]
pub fn config_key(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_length(253));
    }
    if text.is_empty()
        || !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        errors.push(pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// The name of an environment variable: printable ASCII without `=`.
#[must_use]
pub fn env_name(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_owned(),
    ]
}

/// The alphabet of generated suffixes: no vowels (no words) and no 0, 1, 3 (look-alikes).
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Length of a generated suffix.
pub const SUFFIX_LENGTH: usize = 5;

/// The 5 characters that complete a `generateName`, from caller-supplied random bits.
#[must_use]
pub fn suffix(mut random: u64) -> String {
    let base = SUFFIX_ALPHABET.len() as u64;
    (0..SUFFIX_LENGTH)
        .map(|_| {
            let at = usize::try_from(random % base).expect("less than 27");
            random /= base;
            char::from(SUFFIX_ALPHABET[at])
        })
        .collect()
}

/// Text made fit for labels and names, byte by byte, so that equal texts stay equal: what Kubernetes
/// does to the number that a hash is (k8s.io/apimachinery/pkg/util/rand, SafeEncodeString).
#[must_use]
pub fn safe_encode(text: &str) -> String {
    let encode = |byte: u8| SUFFIX_ALPHABET[usize::from(byte) % SUFFIX_ALPHABET.len()];
    text.bytes().map(|byte| char::from(encode(byte))).collect()
}

/// `prefix` followed by a suffix, cut so that the name stays within 63 characters.
#[must_use]
pub fn generate(prefix: &str, random: u64) -> String {
    let room = 63 - SUFFIX_LENGTH;
    let mut end = prefix.len().min(room);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &prefix[..end], suffix(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_match_recorded_ones() {
        assert_eq!(
            dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(
            dns1123_subdomain("Bad_Name"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
    }

    #[test]
    fn accepts_and_refuses() {
        let long = "a".repeat(64);
        type Rule = fn(&str) -> Vec<String>;
        let cases: &[(Rule, &[&str], &[&str])] = &[
            (dns1123_label, &["a", "a-b", "0", "9a"], &["", "-a", "a-", "a.b", "A", "ä", &long]),
            (dns1123_subdomain, &["a.b", "a", "1.2"], &["", ".a", "a.", "a..b", "a_b"]),
            (dns1035_label, &["a", "a1"], &["1a", "", "a-"]),
            (qualified_name, &["a", "A.b_c", "x.io/y"], &["", "/a", "a/", "a/b/c", "-a", "X.io/y"]),
            (label_value, &["", "a", "A_b.c"], &["-", "a b", "a/", &long]),
            (port_name, &["http", "a-1"], &["", "1", "a--b", "-a", "abcdefghijklmnop", "A"]),
            (config_key, &["a", ".a", "A_b-c.d"], &["", ".", "..", "..a", "a/b"]),
            (env_name, &["A", "a.b", "1", "a b"], &["", "A=", "é"]),
            (wildcard_subdomain, &["*.a", "*.a.b"], &["*", "*a.b", "a.*", "*.*.a", "*."]),
            (
                ip_address,
                &["10.0.0.1", "2001:db8::1"],
                &["", "10.0.0", "10.0.0.01", "2001:DB8::1", "::0"],
            ),
            (condition_reason, &["A", "a_b", "A:b,C"], &["", "1a", "a:", "a b", "a-b"]),
            (percent, &["0%", "93%"], &["", "%", "5", "-1%", "1.5%"]),
        ];
        for (n, (check, good, bad)) in cases.iter().enumerate() {
            for text in *good {
                assert!(check(text).is_empty(), "case {n}: {text:?} is valid: {:?}", check(text));
            }
            for text in *bad {
                assert!(!check(text).is_empty(), "case {n}: {text:?} is invalid");
            }
        }
    }

    #[test]
    fn encoded_text_is_safe_and_stays_equal() {
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
        assert_eq!(safe_encode(""), "");
    }

    #[test]
    fn generated_names_fit_and_use_the_alphabet() {
        let name = generate(&"x".repeat(80), u64::MAX);
        assert_eq!(name.len(), 63);
        assert!(dns1123_label(&name).is_empty());
        assert_eq!(suffix(0), "bbbbb");
        assert_ne!(suffix(1), suffix(2));
        assert!(NameRule::Subdomain.check("web-", true).is_empty());
        assert!(!NameRule::Subdomain.check("web-", false).is_empty());
    }
}
