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

/// Whether a text is of the format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format {
        "date" => text.len() == 10 && text.parse::<Date>().is_ok(),
        "date-time" | "datetime" => text.parse::<Timestamp>().is_ok(),
        "duration" => is_duration(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => matches(text, &MAC),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => matches(text, &UUID),
        "byte" => STANDARD.decode(text).is_ok(),
        "email" => matches(text, &EMAIL),
        "hostname" => text.len() <= 255 && matches(text, &HOST),
        "uri" => matches(text, &URI),
        _ => true,
    }
}

type Lazy = LazyLock<Option<Regex>>;

static MAC: Lazy = LazyLock::new(|| Regex::new("^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$").ok());
static UUID: Lazy = LazyLock::new(|| {
    Regex::new("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok()
});
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
