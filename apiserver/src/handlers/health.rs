//! `/healthz`, `/livez`, `/readyz` and `/version`.
//!
//! | check | what it asks | `/livez` | `/healthz` | `/readyz` |
//! |---|---|---|---|---|
//! | `ping` | nothing: an answer is the proof | x | x | x |
//! | `etcd` | the datastore answers, its writer is not stuck | alone | x | x |
//! | `etcd-readiness` | the same | | | x |
//! | `watch-cache` | reads can be answered from memory | | x | x |
//! | `shutdown` | the server has not been told to stop | | | x |
//!
//! The datastore goes by the name that users look for. Liveness leaves it out, unless `/livez/etcd` is
//! asked for: starting the server again brings no database back.
//!
//! An endpoint answers `ok`, with `?verbose` or in failure a line per check; `?exclude=NAME` (as
//! often as wanted) leaves a check out, `/readyz/NAME` is one check alone. The format is that of
//! k8s.io/apiserver/pkg/server/healthz. Anybody may read the endpoints, so they do not say why a
//! check failed; the paths of the single checks do, to those who may see them.

use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::context::Context;
use crate::dispatch::page_not_found;
use crate::request::Request;
use crate::request::options::{Query, values};
use crate::response::{Answer, json, text};

mod probe;

pub(crate) use probe::StoreProbe;

/// What can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Ping,
    Etcd,
    EtcdReadiness,
    WatchCache,
    Shutdown,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::Ping => "ping",
            Check::Etcd => "etcd",
            Check::EtcdReadiness => "etcd-readiness",
            Check::WatchCache => "watch-cache",
            Check::Shutdown => "shutdown",
        }
    }

    /// The checks of an endpoint, in the order in which they are shown.
    fn of(endpoint: &str) -> Option<&'static [Check]> {
        match endpoint {
            "livez" => Some(&[Check::Ping]),
            "healthz" => Some(&[Check::Ping, Check::Etcd, Check::WatchCache]),
            "readyz" => Some(&[
                Check::Ping,
                Check::Etcd,
                Check::EtcdReadiness,
                Check::WatchCache,
                Check::Shutdown,
            ]),
            _ => None,
        }
    }

    /// The checks that can be asked for one by one.
    fn alone(endpoint: &str) -> Vec<Check> {
        let mut checks = Check::of(endpoint).unwrap_or_default().to_vec();
        if endpoint == "livez" {
            checks.push(Check::Etcd);
        }
        checks
    }

    async fn run(self, context: &Context) -> Result<(), String> {
        match self {
            Check::Ping => Ok(()),
            Check::Etcd | Check::EtcdReadiness => context.store_probe.ask(&context.store).await,
            Check::WatchCache => {
                context.freshness.problem().map_or(Ok(()), |problem| Err(problem.to_owned()))
            }
            Check::Shutdown if context.stopping.is_cancelled() => Err("stopping".to_owned()),
            Check::Shutdown => Ok(()),
        }
    }
}

/// The endpoints and their checks, as `GET /` lists them.
pub(super) fn paths() -> impl Iterator<Item = String> {
    ["healthz", "livez", "readyz"].into_iter().flat_map(|endpoint| {
        let checks = Check::alone(endpoint).into_iter();
        let checks = checks.map(move |check| format!("/{endpoint}/{}", check.name()));
        std::iter::once(format!("/{endpoint}")).chain(checks)
    })
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Excluded,
}

/// Answers a health or version path; `None` for any other.
pub(super) async fn answer(context: &Context, request: &Request, path: &str) -> Option<Answer> {
    if path == "/version" || path == "/version/" {
        return Some(json(StatusCode::OK, &api::discovery::version()));
    }
    let (endpoint, only) = match path.strip_prefix('/')?.split_once('/') {
        Some((endpoint, only)) => (endpoint, Some(only)),
        None => (path.strip_prefix('/')?, None),
    };
    let checks = Check::of(endpoint)?;
    let Some(only) = only else {
        return Some(all(context, request, endpoint, checks).await);
    };
    let Some(check) = Check::alone(endpoint).into_iter().find(|check| check.name() == only) else {
        return Some(page_not_found());
    };
    Some(match check.run(context).await {
        Ok(()) => said(StatusCode::OK, "ok".to_owned()),
        Err(reason) => {
            said(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {reason}\n"))
        }
    })
}

async fn all(context: &Context, request: &Request, endpoint: &str, checks: &[Check]) -> Answer {
    let excluded = values(request.query(), "exclude");
    let mut outcomes = Vec::with_capacity(checks.len());
    for check in checks {
        let outcome = if excluded.iter().any(|name| name == check.name()) {
            Outcome::Excluded
        } else if let Err(reason) = check.run(context).await {
            let check = check.name();
            tracing::debug!(endpoint, check, reason, "a check failed");
            Outcome::Failed
        } else {
            Outcome::Passed
        };
        outcomes.push((check.name(), outcome));
    }
    let verbose = Query::parse(request.query()).has("verbose");
    // What does not count here anyway may be left out.
    let counts = |name: &str| {
        checks.iter().any(|check| check.name() == name)
            || Check::alone(endpoint).iter().all(|check| check.name() != name)
    };
    let excluded: Vec<_> = excluded.into_iter().filter(|name| counts(name)).collect();
    let (code, body) = report(endpoint, &outcomes, &excluded, verbose);
    said(code, body)
}

/// What an endpoint says.
fn report(
    endpoint: &str,
    outcomes: &[(&str, Outcome)],
    excluded: &[String],
    verbose: bool,
) -> (StatusCode, String) {
    let mut lines = String::new();
    for (name, outcome) in outcomes {
        lines.push_str(&match outcome {
            Outcome::Passed => format!("[+]{name} ok\n"),
            Outcome::Excluded => format!("[+]{name} excluded: ok\n"),
            Outcome::Failed => format!("[-]{name} failed: reason withheld\n"),
        });
    }
    let known = |asked: &String| outcomes.iter().any(|(name, _)| name == asked);
    let mut unknown: Vec<_> = excluded.iter().filter(|asked| !known(asked)).collect();
    unknown.sort();
    unknown.dedup();
    if !unknown.is_empty() {
        let quoted: Vec<_> = unknown.iter().map(|name| api::field::go_quote(name)).collect();
        lines.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            quoted.join(",")
        ));
    }
    if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Failed) {
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{endpoint} check failed\n"));
    }
    if verbose {
        return (StatusCode::OK, format!("{lines}{endpoint} check passed\n"));
    }
    (StatusCode::OK, "ok".to_owned())
}

fn said(code: StatusCode, body: String) -> Answer {
    let mut answer = text(code, body);
    let nosniff = HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Excluded, Failed, Passed};
    use super::*;

    #[test]
    fn endpoints_speak_as_kubernetes_does() {
        for (outcomes, excluded, verbose, want) in [
            (&[("ping", Passed)][..], &[][..], false, (200, "ok")),
            (&[("ping", Passed)], &[], true, (200, "[+]ping ok\nreadyz check passed\n")),
            (
                &[("ping", Passed), ("etcd", Failed)],
                &[],
                false,
                (500, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n"),
            ),
            (
                &[("ping", Passed), ("etcd", Excluded)],
                &["etcd"],
                true,
                (200, "[+]ping ok\n[+]etcd excluded: ok\nreadyz check passed\n"),
            ),
            (
                &[("ping", Passed)],
                &["z", "a", "z"],
                true,
                (
                    200,
                    "[+]ping ok\nwarn: some health checks cannot be excluded: no matches for \
                     \"a\",\"z\"\nreadyz check passed\n",
                ),
            ),
            (&[("ping", Passed)], &["z"], false, (200, "ok")),
        ] {
            let excluded: Vec<_> = excluded.iter().map(|name| (*name).to_owned()).collect();
            let (code, body) = report("readyz", outcomes, &excluded, verbose);
            assert_eq!((code.as_u16(), &*body), want);
        }
    }
}
