//! How often what goes wrong, as a seed says.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::random::Random;

/// What goes wrong, and until when.
pub(crate) struct Faults {
    /// How often.
    pub(crate) often: Often,
    /// Nothing goes wrong any more.
    calm: AtomicBool,
    struck: Notify,
}

/// How often in a thousand times something goes wrong. Every seed has some of these, none has all
/// for certain: what one fault does can hide what another would.
#[derive(Debug)]
pub(crate) struct Often {
    /// The request never arrives, or is refused as by a server that is too busy.
    pub(crate) refused: u64,
    /// The request is done and its answer is lost.
    pub(crate) lost: u64,
    /// Somebody else writes the object just before.
    pub(crate) touched: u64,
    /// A request or an event takes seconds; thrice as often a watch is seconds behind all its life.
    pub(crate) slow: u64,
    /// A watch breaks, with some events in it.
    pub(crate) broken: u64,
    /// A watch cannot be resumed: its revision is forgotten.
    pub(crate) forgotten: u64,
    /// An event comes twice.
    pub(crate) repeated: u64,
    /// After a write, the writer's watches of that kind show nothing for a while: what it has just done
    /// is what it sees last.
    pub(crate) blind: u64,
}

impl Faults {
    /// Those of a seed.
    pub(crate) fn new(random: &Random) -> Self {
        let mut random = random.of("faults");
        // Where all components hear of everything at once, nothing of what they do is excused.
        let prompt = random.happens(250);
        let mut some = |most: u64| {
            let often = random.below(most);
            if random.happens(500) && !prompt { often } else { 0 }
        };
        let often = Often {
            refused: some(100),
            lost: some(60),
            touched: some(150),
            slow: some(60),
            broken: some(60),
            forgotten: some(600),
            repeated: some(150),
            blind: some(300),
        };
        Self { often, calm: AtomicBool::new(false), struck: Notify::new() }
    }

    /// Whether all components hear of everything at once.
    pub(crate) fn are_harmless(&self) -> bool {
        let Often { refused, lost, slow, broken, forgotten, blind, .. } = self.often;
        refused + lost + slow + broken + forgotten + blind == 0
    }

    /// Ends all faults.
    pub(crate) fn end(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Whether there are faults still.
    pub(crate) fn are_on(&self) -> bool {
        !self.calm.load(Ordering::Relaxed)
    }

    /// Somebody does not see what it has done.
    pub(crate) fn strike(&self) {
        self.struck.notify_one();
    }

    /// Waits for [`Faults::strike`]: what others do now is where it hurts.
    pub(crate) async fn struck(&self) {
        self.struck.notified().await;
    }
}
