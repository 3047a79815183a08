//! The bell: hears that another process has committed.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::{CONNECT, Postgres};
use crate::hub::Hub;
use crate::model::Revision;

/// The channel that every batch is announced on.
const CHANNEL: &str = "wharf_store";

/// How often the log is looked at although no bell has rung.
const POLL: Duration = Duration::from_secs(5);

/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens until `closing`; connects again whenever the connection is lost.
pub(crate) async fn listen(postgres: Arc<Postgres>, hub: Arc<Hub>, closing: CancellationToken) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT)
        .connect_lazy_with(postgres.options.clone());
    let listening = async {
        loop {
            if let Err(error) = hear(&pool, &hub).await {
                tracing::debug!(error = %error, "not listening to the datastore");
            }
            // Readers need not find out by themselves, and wait for the pool meanwhile.
            postgres.lost.store(true, Ordering::Release);
            // Bells may have rung unheard.
            hub.request_resync();
            sleep(PAUSE).await;
        }
    };
    closing.run_until_cancelled(listening).await;
    pool.close().await;
}

/// Listens on one connection until it is lost.
async fn hear(pool: &sqlx::PgPool, hub: &Hub) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.ignore_pool_close_event(true);
    listener.listen(CHANNEL).await?;
    hub.request_resync();
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Not dropped at a tick: half a message would be lost.
        let mut bell = pin!(listener.try_recv());
        let heard = loop {
            tokio::select! {
                heard = &mut bell => break heard?,
                _ = poll.tick() => hub.request_resync(),
            }
        };
        match heard {
            Some(bell) => ring(&bell, hub),
            None => return Ok(()),
        }
    }
}

fn ring(bell: &PgNotification, hub: &Hub) {
    match bell.payload().parse() {
        Ok(revision) if !hub.is_missing(Revision(revision)) => {}
        _ => hub.request_resync(),
    }
}
