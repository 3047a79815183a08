//! What clients may cost: connections before they ask for anything, and requests.

use std::time::Duration;

/// Bounds on connections and requests. The defaults suit a cluster; tests choose smaller ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take for the TLS handshake. Default: 15 s.
    pub handshake: Duration,
    /// How long a client may take from the handshake to the end of its first request's head.
    /// Default: 32 s, kube-apiserver's ReadHeaderTimeout.
    pub first_request: Duration,
    /// How long an HTTP/1.1 connection may be without a whole request head after that; it is also
    /// its idle time. Default: 120 s, more than the 90 s after which Go's clients close an idle
    /// connection themselves, so that no request crosses the closing.
    pub head: Duration,
    /// Connections at a time; what comes beyond is accepted and closed, which its client learns at
    /// once. Default: [`Limits::CONNECTIONS`], or half the files that the process may open if that
    /// is less, for the store and the other components need some too.
    pub connections: usize,
    /// Requests that are worked on at a time, divided among the priority levels. Default: 600, the
    /// sum of kube-apiserver's --max-requests-inflight and --max-mutating-requests-inflight.
    pub in_flight: usize,
}

impl Limits {
    /// Twice the nodes of the largest cluster that Kubernetes supports (5,000): components share
    /// one HTTP/2 connection each, and users come and go.
    pub const CONNECTIONS: usize = 10_000;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake: Duration::from_secs(15),
            first_request: Duration::from_secs(32),
            head: Duration::from_secs(120),
            connections: connections(open_files()),
            in_flight: 600,
        }
    }
}

/// How many files the process may open; `None` for no limit.
fn open_files() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

fn connections(open_files: Option<u64>) -> usize {
    let half = open_files.and_then(|files| usize::try_from(files / 2).ok());
    half.unwrap_or(Limits::CONNECTIONS).clamp(1, Limits::CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_others() {
        for (files, want) in [
            (None, 10_000),
            (Some(1 << 30), 10_000),
            (Some(20_000), 10_000),
            (Some(1024), 512),
            (Some(1), 1),
            (Some(0), 1),
        ] {
            assert_eq!(connections(files), want, "{files:?}");
        }
    }
}
