//! `/healthz`, `/livez`, `/readyz` (each with `?verbose`) and `/version`.

use std::time::Duration;

use http::StatusCode;

use crate::context::Context;
use crate::request::Request;
use crate::request::options::Query;
use crate::response::{Answer, json, text};

/// How long the store may take to answer before readiness is denied.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Answers a health or version path; `None` for any other.
pub(super) async fn answer(context: &Context, request: &Request, path: &str) -> Option<Answer> {
    if path == "/version" || path == "/version/" {
        return Some(json(StatusCode::OK, &api::discovery::version()));
    }
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let endpoint = parts.next()?;
    let only = parts.next().unwrap_or_default();
    let readiness = match endpoint {
        "healthz" | "livez" => false,
        "readyz" => true,
        _ => return None,
    };
    let mut checks = vec![("ping", Ok(()))];
    if readiness {
        checks.push(("store", store(context).await));
        let problem = context.freshness.problem().map(str::to_owned);
        checks.push(("watch-cache", problem.map_or(Ok(()), Err)));
        checks.push(("shutdown", shutdown(context)));
    }
    if !only.is_empty() {
        checks.retain(|(name, _)| *name == only);
        if checks.is_empty() {
            return Some(crate::dispatch::page_not_found());
        }
    }
    let verbose = Query::parse(request.query()).has("verbose");
    Some(report(endpoint, &checks, verbose))
}

async fn store(context: &Context) -> Result<(), String> {
    match tokio::time::timeout(STORE_PATIENCE, context.store.ping()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {STORE_PATIENCE:?}")),
    }
}

fn shutdown(context: &Context) -> Result<(), String> {
    if context.stopping.is_cancelled() { Err("stopping".to_owned()) } else { Ok(()) }
}

type Check = (&'static str, Result<(), String>);

fn report(endpoint: &str, checks: &[Check], verbose: bool) -> Answer {
    let failed = checks.iter().any(|(_, result)| result.is_err());
    let mut lines = String::new();
    for (name, result) in checks {
        match result {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(reason) => lines.push_str(&format!("[-]{name} failed: {reason}\n")),
        }
    }
    if failed {
        lines.push_str(&format!("{endpoint} check failed\n"));
        return text(StatusCode::INTERNAL_SERVER_ERROR, lines);
    }
    if verbose {
        lines.push_str(&format!("{endpoint} check passed\n"));
        return text(StatusCode::OK, lines);
    }
    text(StatusCode::OK, "ok")
}
