//! How long a request may take: the `timeout` parameter, 60 s at most.
//!
//! Watches have `timeoutSeconds` instead, and what is relayed to a node lasts as long as its client
//! likes (k8s.io/apiserver/pkg/endpoints/filters/request_deadline.go).

use std::time::Duration;

use api::status::Status;

use super::Request;
use super::info;
use super::options::Query;

/// What a request may take that asks for nothing, or for more (kube-apiserver's --request-timeout).
const LIMIT: Duration = Duration::from_secs(60);

/// How long a request may take; `None` is for as long as it likes.
///
/// # Errors
/// 400 for a `timeout` that is no duration.
pub(crate) fn limit(request: &Request) -> Result<Option<Duration>, Status> {
    let query = Query::parse(request.query());
    let path = info::parse(request.parts.uri.path());
    if path.is_some_and(|path| {
        let watch = query.flag("watch").unwrap_or(false);
        info::is_relayed(&path) || info::verb(&request.parts.method, &path, watch) == "watch"
    }) {
        return Ok(None);
    }
    let text = query.get("timeout");
    if text.is_empty() {
        return Ok(Some(LIMIT));
    }
    let asked = duration(text).map_err(|reason| {
        Status::bad_request(format!("invalid timeout specified in the request URL - {reason}"))
    })?;
    Ok(Some(if asked.is_zero() { LIMIT } else { asked.min(LIMIT) }))
}

/// Reads a duration such as `1m30s` or `1.5h`. Less than nothing is nothing.
///
/// # Errors
/// What is wrong with it, as Go's time.ParseDuration says it.
fn duration(text: &str) -> Result<Duration, String> {
    let quoted = api::field::go_quote(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        seconds += number
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "" => return Err(format!("time: missing unit in duration {quoted}")),
                other => {
                    let unit = api::field::go_quote(other);
                    return Err(format!("time: unknown unit {unit} in duration {quoted}"));
                }
            };
        rest = behind;
    }
    let length = Duration::try_from_secs_f64(seconds).map_err(|_| invalid())?;
    Ok(if negative { Duration::ZERO } else { length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::User;

    fn of(method: &str, uri: &str) -> Result<Option<Duration>, Status> {
        let parts = http::Request::builder().method(method).uri(uri).body(()).expect("a request");
        let body = super::super::payload::empty();
        limit(&Request::new(parts.into_parts().0, body, User::anonymous()))
    }

    #[test]
    fn requests_have_a_minute_or_what_they_ask_for() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (method, uri, want) in [
            ("GET", "/version", seconds(60)),
            ("GET", "/api?timeout=32s", seconds(32)),
            ("GET", "/api/v1/pods?timeout=0s", seconds(60)),
            ("GET", "/api/v1/pods?timeout=0", seconds(60)),
            ("GET", "/api/v1/pods?timeout=-5s", seconds(60)),
            ("GET", "/api/v1/pods?timeout=2h", seconds(60)),
            ("GET", "/api/v1/pods?timeout=0.5m5s", seconds(35)),
            ("GET", "/api/v1/pods?timeout=1500ms", Some(Duration::from_millis(1500))),
            ("GET", "/api/v1/pods?watch=true&timeout=5s", None),
            ("POST", "/api/v1/namespaces/d/pods?watch=true&timeout=5s", seconds(5)),
            ("GET", "/api/v1/namespaces/d/pods/p/log?follow=true", None),
            ("POST", "/api/v1/namespaces/d/pods/p/exec", None),
        ] {
            assert_eq!(of(method, uri), Ok(want), "{method} {uri}");
        }
        for (timeout, want) in [
            ("soon", "time: invalid duration \"soon\""),
            ("-", "time: invalid duration \"-\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("10", "time: missing unit in duration \"10\""),
            ("10y", "time: unknown unit \"y\" in duration \"10y\""),
        ] {
            let status =
                of("GET", &format!("/api/v1/pods?timeout={timeout}")).expect_err("refused");
            let message = format!("invalid timeout specified in the request URL - {want}");
            assert_eq!((status.code, status.message), (400, message));
        }
    }
}
