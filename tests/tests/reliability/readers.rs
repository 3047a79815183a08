//! Readers: each lists again and again, through any server, and expects to be shown everything that
//! has been acknowledged to anybody.

use std::sync::Arc;
use std::time::Duration;

use tests::history::Read;

use super::Dice;
use super::client::{Door, MAPS};
use super::load::Shared;
use super::watchers::listing;

/// Between two lists: the machine is for the writers.
const PAUSE: Duration = Duration::from_millis(20);

/// One reader.
pub(crate) struct Reader {
    pub(crate) name: String,
    pub(crate) doors: Vec<Door>,
    pub(crate) dice: Dice,
    pub(crate) shared: Arc<Shared>,
}

impl Reader {
    /// Reads until told to stop.
    pub(crate) async fn run(mut self) -> Vec<Read> {
        let mut reads = Vec::new();
        while !self.shared.is_stopping() {
            let at = self.dice.below(self.doors.len() as u64) as usize;
            let not_before = self.shared.newest();
            if let Ok(answer) = self.doors[at].get(MAPS).await
                && let Some(listing) = listing(&answer)
            {
                let name = format!("{} at server {at}", self.name);
                reads.push(Read { name, not_before, listing });
            }
            tokio::time::sleep(PAUSE).await;
        }
        reads
    }
}
