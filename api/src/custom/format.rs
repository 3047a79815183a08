//! The formats of strings that are checked; others are taken for any text, as everywhere.
//!
//! Source: k8s.io/kube-openapi/pkg/validation/strfmt.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;
use regex::Regex;

use crate::names;

/// The formats of strings that mean something, without their dashes.
const OF_STRINGS: &[&str] = &[
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "quantity",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];

/// Whether a format means something for values of a type.
pub(super) fn is_known(kind: &str, format: &str) -> bool {
    match kind {
        "" | "string" => OF_STRINGS.contains(&&*format.replace('-', "")),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Whether a text is of the format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "date" => text.len() == 10 && text.parse::<Date>().is_ok(),
        "datetime" => text.parse::<Timestamp>().is_ok(),
        "duration" => is_duration(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => matches(text, &MAC),
        "uuid" => matches(text, &UUID),
        "uuid3" => matches(text, &UUID3),
        "uuid4" => matches(text, &UUID4),
        "uuid5" => matches(text, &UUID5),
        "byte" => STANDARD.decode(text).is_ok(),
        "email" => matches(text, &EMAIL),
        "hostname" => text.len() <= 255 && matches(text, &HOST),
        "uri" => matches(text, &URI),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "hexcolor" => matches(text, &HEX_COLOR),
        "rgbcolor" => matches(text, &RGB_COLOR),
        "ssn" => matches(text, &SSN),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

type Lazy = LazyLock<Option<Regex>>;

static MAC: Lazy = LazyLock::new(|| Regex::new("^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$").ok());
static UUID: Lazy = LazyLock::new(|| {
    Regex::new("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok()
});
static UUID3: Lazy = LazyLock::new(|| {
    Regex::new("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok()
});
static UUID4: Lazy = LazyLock::new(|| {
    Regex::new("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$").ok()
});
static UUID5: Lazy = LazyLock::new(|| {
    Regex::new("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$").ok()
});
static HEX_COLOR: Lazy = LazyLock::new(|| Regex::new("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$").ok());
static RGB_COLOR: Lazy = LazyLock::new(|| {
    let part = r"\s*(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\s*";
    Regex::new(&format!(r"^rgb\({part},{part},{part}\)$")).ok()
});
static SSN: Lazy = LazyLock::new(|| Regex::new(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$").ok());
static EMAIL: Lazy = LazyLock::new(|| Regex::new(r#"^([^<>@]*<)?[^\s<>@"]+@[^\s<>@"]+>?$"#).ok());
static HOST: Lazy = LazyLock::new(|| {
    Regex::new(r"^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,62}[a-zA-Z0-9_])?)(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,62}[a-zA-Z0-9_])?)*\.?$").ok()
});
static URI: Lazy = LazyLock::new(|| Regex::new(r"^([a-zA-Z][a-zA-Z0-9+.-]*:\S+|/\S*)$").ok());

fn matches(text: &str, regex: &Lazy) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

/// `1h30m`, `1.5s`, and also `3 days` as strfmt reads it.
fn is_duration(text: &str) -> bool {
    static GO: Lazy = LazyLock::new(|| {
        Regex::new(r"^[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)$").ok()
    });
    static WORDS: Lazy = LazyLock::new(|| {
        Regex::new(r"(?i)^\s*(\d+\s*(ns|nano|us|µs|micro|ms|milli|s|sec|m|min|h|hr|hour|d|day|w|week|wk)s?\s*)+$").ok()
    });
    matches(text, &GO) || matches(text, &WORDS)
}
