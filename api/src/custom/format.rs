//! The formats that are checked; others are taken for any text, and told of when a definition
//! names them.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go (which there are),
//! k8s.io/kube-openapi/pkg/validation/strfmt (what they mean).

mod codes;
mod email;
mod net;
mod time;
mod uri;

use std::sync::{Arc, LazyLock};

use regex::Regex;

use super::Schema;
use crate::go_regexp;
use crate::names;
use crate::quantity::Quantity;

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

/// The format of a schema's values; "" if there is none, or none that means something.
pub(super) fn of(schema: &Schema) -> &str {
    // Two types together are like none.
    let kind = if schema.int_or_string { "" } else { &schema.kind };
    if is_known(kind, &schema.format) { &schema.format } else { "" }
}

/// Whether a text is of the format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "byte" => BASE64.matches(text),
        "cidr" => net::is_cidr(text),
        "creditcard" => codes::is_credit_card(text),
        "date" => time::is_date(text),
        "datetime" => time::is_date_time(text),
        "duration" => time::is_duration(text),
        "email" => email::is_address(text),
        "hexcolor" => HEX_COLOR.matches(text),
        "hostname" => net::is_hostname(text),
        "ipv4" => net::is_ipv4(text),
        "ipv6" => net::is_ipv6(text),
        "isbn" => codes::is_isbn10(text) || codes::is_isbn13(text),
        "isbn10" => codes::is_isbn10(text),
        "isbn13" => codes::is_isbn13(text),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        "mac" => net::is_mac(text),
        "quantity" => text.parse::<Quantity>().is_ok(),
        "rgbcolor" => RGB_COLOR.matches(text),
        "ssn" => text.len() == 11 && SSN.matches(text),
        "uri" => uri::is_request_uri(text),
        "uuid" => UUID.matches(text),
        "uuid3" => UUID3.matches(text),
        "uuid4" => UUID4.matches(text),
        "uuid5" => UUID5.matches(text),
        _ => true,
    }
}

/// A pattern of Go's that is known to be one.
struct Known(LazyLock<Option<Arc<Regex>>>);

impl Known {
    const fn new(compile: fn() -> Option<Arc<Regex>>) -> Known {
        Known(LazyLock::new(compile))
    }

    fn matches(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

fn known(pattern: &str) -> Option<Arc<Regex>> {
    go_regexp::compile(pattern).ok()
}

static BASE64: Known = Known::new(|| {
    known("^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$")
});
static UUID: Known = Known::new(|| uuid("[0-9a-f]", "[0-9a-f]"));
static UUID3: Known = Known::new(|| uuid("3", "[0-9a-f]"));
static UUID4: Known = Known::new(|| uuid("4", "[89ab]"));
static UUID5: Known = Known::new(|| uuid("5", "[89ab]"));
static HEX_COLOR: Known = Known::new(|| known("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static RGB_COLOR: Known = Known::new(|| {
    let part = r"\s*(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\s*";
    known(&format!(r"^rgb\({part},{part},{part}\)$"))
});
static SSN: Known = Known::new(|| known(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$"));

/// UUIDs with this digit for the version, and this one for the variant.
fn uuid(version: &str, variant: &str) -> Option<Arc<Regex>> {
    let hex = "[0-9a-f]";
    known(&format!(
        "(?i)^{hex}{{8}}-?{hex}{{4}}-?{version}{hex}{{3}}-?{variant}{hex}{{3}}-?{hex}{{12}}$"
    ))
}

#[cfg(test)]
mod tests;
