//! Certificates are renewed before they end: when seven to nine tenths of their life are over, like the
//! kubelet does it, each at a moment of its own so that many nodes do not ask at once.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use apiserver::pki::{self, Identity};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::certificate::{self, Files, Purpose};
use super::connection::Connection;

/// Pause after a failure, and the least between two certificates.
const RETRY: Duration = Duration::from_secs(10);

/// What is renewed.
pub(super) struct Renewal {
    pub(super) node: String,
    pub(super) ip: IpAddr,
    pub(super) files: Files,
    pub(super) connection: Connection,
    pub(super) serving: watch::Sender<agent::ServingTls>,
}

impl Renewal {
    /// Renews both certificates as long as it is polled.
    pub(super) async fn run(&self) {
        let serving = Purpose::serving(&self.node, self.ip);
        tokio::join!(self.keep(Purpose::Client), self.keep(serving));
    }

    async fn keep(&self, purpose: Purpose) {
        loop {
            let wait = self.wait(&purpose);
            tracing::debug!(?purpose, ?wait, "certificate to be renewed");
            tokio::time::sleep(wait.max(RETRY)).await;
            match self.renew(&purpose).await {
                Ok(()) => tracing::info!(what = purpose.describe(), "certificate renewed"),
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    what = purpose.describe(),
                    "certificate not renewed; trying again"
                ),
            }
        }
    }

    /// How long the certificate is good enough.
    fn wait(&self, purpose: &Purpose) -> Duration {
        let now = Timestamp::now();
        let Ok(Some(identity)) = self.files.load(purpose, &self.node) else {
            return Duration::ZERO;
        };
        match pki::certificate_validity(&identity.certificate_pem) {
            Ok((begin, end)) => due(begin, end, chance())
                .duration_since(now)
                .max(SignedDuration::ZERO)
                .unsigned_abs(),
            Err(_) => Duration::ZERO,
        }
    }

    async fn renew(&self, purpose: &Purpose) -> Result<()> {
        let client = self.connection.client("kubelet")?;
        let identity = certificate::request(&client, &self.node, purpose).await?;
        self.files.save(purpose, &self.node, &identity)?;
        match purpose {
            Purpose::Client => self.connection.renew(&identity).context("use the new certificate"),
            Purpose::Serving(_) => {
                let Identity { certificate_pem, key_pem } = identity;
                self.serving.send_modify(|tls| {
                    (tls.certificate_pem, tls.key_pem) = (certificate_pem, key_pem);
                });
                Ok(())
            }
        }
    }
}

/// When a certificate is to be renewed; `chance` from 0 to 1.
fn due(begin: Timestamp, end: Timestamp, chance: f64) -> Timestamp {
    let life = end.duration_since(begin);
    let share = 0.7 + 0.2 * chance;
    let after = SignedDuration::try_from_secs_f64(life.as_secs_f64() * share).unwrap_or(life);
    begin.checked_add(after).unwrap_or(end)
}

/// The keys of a fresh hasher are random enough for this.
fn chance() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let number = RandomState::new().build_hasher().finish() % 1000;
    f64::from(u32::try_from(number).unwrap_or(0)) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewed_before_the_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (begin, end) = (at("2026-01-01T00:00:00Z"), at("2026-01-11T00:00:00Z"));
        for (chance, want) in [
            (0.0, "2026-01-08T00:00:00Z"),
            (0.5, "2026-01-09T00:00:00Z"),
            (1.0, "2026-01-10T00:00:00Z"),
        ] {
            let off = due(begin, end, chance).duration_since(at(want)).abs();
            assert!(off < SignedDuration::from_secs(1), "{chance}");
        }
        assert!((0..100).map(|_| chance()).all(|chance| (0.0..1.0).contains(&chance)));
    }
}
