//! Fills the hub from the log when events were committed that it was not given.
//!
//! That is rare on SQLite (a commit whose outcome was unknown turns out to have
//! happened) and everyday life on Postgres with several processes, where the
//! bell ([`crate::engine::postgres`]) asks for it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::Error;
use crate::hub::Hub;
use crate::keys::Range;

/// Events read at once.
const PAGE: usize = 1000;

/// How long to wait after a failed read.
const PAUSE: Duration = Duration::from_millis(500);

/// Fills gaps until dropped.
pub(crate) async fn run(engine: Arc<dyn Engine>, hub: Arc<Hub>) {
    loop {
        hub.gap().await;
        while let Err(error) = fill(&*engine, &hub).await {
            match error {
                Error::Closed => return,
                Error::Compacted { .. } => {
                    // This process slept through a whole retention period. Its
                    // watchers have to list again; they are told by closing them.
                    if let Ok(newest) = engine.revision().await {
                        tracing::warn!(revision = newest.0, "events were lost to compaction");
                        hub.lose_to(newest);
                        continue;
                    }
                }
                error => tracing::debug!(error = %error, "cannot read the log yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn fill(engine: &dyn Engine, hub: &Hub) -> Result<(), Error> {
    let everything = Range::prefix("");
    loop {
        let history = engine.history(&everything, hub.published(), PAGE).await?;
        let full = history.events.len() == PAGE;
        hub.publish(history.events.into());
        if !full {
            return Ok(());
        }
    }
}
