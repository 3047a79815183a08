//! Addresses and names of hosts. Numbers of IPv4 addresses may begin with zeros, as they could in
//! Go before 1.17.
//!
//! Source: k8s.io/kube-openapi/pkg/validation/strfmt/default.go, k8s.io/utils/net/parse.go,
//! <https://pkg.go.dev/net#ParseMAC>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Known, known};

/// Whether it is an address written with dots.
pub(super) fn is_ipv4(text: &str) -> bool {
    text.contains('.') && address(text).is_some()
}

/// Whether it is an address written with colons.
pub(super) fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// `10.0.0.0/8`.
pub(super) fn is_cidr(text: &str) -> bool {
    let Some((given, bits)) = text.split_once('/') else { return false };
    let most = match address(given) {
        Some(IpAddr::V4(_)) => 32,
        Some(IpAddr::V6(_)) => 128,
        None => return false,
    };
    number(bits).is_some_and(|bits| bits <= most)
}

/// A decimal number, whatever zeros it begins with.
fn number(digits: &str) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

fn address(text: &str) -> Option<IpAddr> {
    if !text.contains(':') {
        return ipv4(text).map(IpAddr::V4);
    }
    // The last part may be an IPv4 address; the others may begin with zeros as well.
    let plain = |part: &str| match part.trim_start_matches('0') {
        _ if part.contains('.') => ipv4(part).map(|address| address.to_string()),
        "" if !part.is_empty() => Some("0".to_owned()),
        rest => Some(rest.to_owned()),
    };
    let parts: Option<Vec<String>> = text.split(':').map(plain).collect();
    parts?.join(":").parse().ok().map(IpAddr::V6)
}

fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut bytes = [0; 4];
    let mut parts = text.split('.');
    for byte in &mut bytes {
        *byte = u8::try_from(number(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(bytes))
}

/// 6, 8 or 20 bytes: `00:00:5e:00:53:01`, `00-00-5e-00-53-01`, `0000.5e00.5301`, `00005e005301`.
pub(super) fn is_mac(text: &str) -> bool {
    let separator = match text.as_bytes() {
        [_, _, separator @ (b':' | b'-'), ..] => Some((*separator, 2)),
        [_, _, _, _, b'.', ..] => Some((b'.', 4)),
        _ => None,
    };
    let hex = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
    let digits = match separator {
        None => text.len() * usize::from(hex(text.as_bytes())),
        Some((separator, length)) => {
            let parts: Vec<_> = text.as_bytes().split(|byte| *byte == separator).collect();
            let good = parts.iter().all(|part| part.len() == length && hex(part));
            parts.len() * length * usize::from(good)
        }
    };
    matches!(digits, 12 | 16 | 40)
}

static LETTER: Known = Known::new(|| known(r"^\p{L}$"));
static LETTER_OR_SYMBOL: Known = Known::new(|| known(r"^[\p{L}\p{S}]$"));

/// A name of letters, digits and symbols. In names with dots, the last part is of letters, and the
/// others have dashes inside; a name without dots has one only behind its first letter.
pub(super) fn is_hostname(text: &str) -> bool {
    let is = |known: &Known, c: char| known.matches(c.encode_utf8(&mut [0; 4]));
    let plain = |c: &char| c.is_ascii_alphanumeric() || is(&LETTER_OR_SYMBOL, *c);
    let mut labels: Vec<Vec<char>> = text.split('.').map(|label| label.chars().collect()).collect();
    if text.len() > 255 || text.split('.').any(|label| label.len() > 63) {
        return false;
    }
    let last = labels.pop().unwrap_or_default();
    if labels.is_empty() {
        return match last.as_slice() {
            [first, '-', rest @ ..] | [first, rest @ ..] => plain(first) && rest.iter().all(plain),
            [] => false,
        };
    }
    let inner = |label: &Vec<char>| match label.as_slice() {
        [only] => plain(only),
        [first, within @ .., end] => {
            plain(first) && plain(end) && within.iter().all(|c| *c == '-' || plain(c))
        }
        [] => false,
    };
    labels.iter().all(inner) && last.len() >= 2 && last.iter().all(|c| is(&LETTER, *c))
}
