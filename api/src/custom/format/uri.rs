//! URIs, and absolute paths, as a request may name them.
//!
//! Source: <https://pkg.go.dev/net/url#ParseRequestURI>.

use std::net::Ipv6Addr;

/// What may be in the name of a host besides letters and digits.
const OF_HOSTS: &str = "!$&'()*+,;=:[]<>\"-_.~";

/// What may be in the name of a user besides letters and digits.
const OF_USERS: &str = "-._:~!$&'()*+,;=%@";

/// Whether a text is one.
pub(super) fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < b' ' || byte == 0x7F) {
        return false;
    }
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = scheme(text) else { return false };
    let path = match rest.split_once('?') {
        Some((path, _)) => path,
        None => rest,
    };
    if !path.starts_with('/') {
        return !scheme.is_empty();
    }
    match path.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            is_authority(authority) && is_escaped(path)
        }
        None => is_escaped(path),
    }
}

/// The scheme, "" if there is none, and what follows it.
fn scheme(text: &str) -> Option<(&str, &str)> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return None,
            ':' => return Some((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Some(("", text))
}

/// Whether two digits follow each percent sign.
fn is_escaped(text: &str) -> bool {
    text.split('%').skip(1).all(|part| escaped_byte(part).is_some())
}

fn escaped_byte(part: &str) -> Option<u8> {
    let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    u8::from_str_radix(digits?, 16).ok()
}

fn is_authority(authority: &str) -> bool {
    match authority.rsplit_once('@') {
        None => is_host(authority),
        Some((user, host)) => {
            let good = |c: char| c.is_ascii_alphanumeric() || OF_USERS.contains(c);
            is_host(host) && user.chars().all(good) && is_escaped(user)
        }
    }
}

fn is_host(host: &str) -> bool {
    if let Some((before, inside)) = host.rsplit_once('[') {
        let Some((address, port)) = inside.rsplit_once(']') else { return false };
        let (address, zone) = address.split_once("%25").unwrap_or((address, ""));
        return before.is_empty()
            && is_port(port)
            && is_escaped(zone)
            && address.parse::<Ipv6Addr>().is_ok();
    }
    if let Some(colon) = host.rfind(':')
        && !is_port(&host[colon..])
    {
        return false;
    }
    // Only what is not ASCII may be escaped.
    let escapes = host
        .split('%')
        .skip(1)
        .all(|part| escaped_byte(part).is_some_and(|byte| !byte.is_ascii() || byte == b'%'));
    let good = |c: char| c.is_alphanumeric() || !c.is_ascii() || c == '%' || OF_HOSTS.contains(c);
    escapes && host.chars().all(good)
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}
