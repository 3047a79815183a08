//! How far a pull is, for people who wait.

use tokio::sync::watch;

/// What a pull is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Asking the registry what the name means.
    #[default]
    Resolving,
    /// Downloading and unpacking.
    Downloading,
    /// Making machine code of a Wasm module.
    Compiling,
    /// Done.
    Complete,
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Bytes that are here, downloaded now or before.
    pub done: u64,
    /// Bytes that config and layers have; 0 until known.
    pub total: u64,
}

/// The pull's end of it.
#[derive(Debug, Clone)]
pub(crate) struct Reporter(watch::Sender<Progress>);

impl Reporter {
    pub(crate) fn new() -> (Self, watch::Receiver<Progress>) {
        let (sender, receiver) = watch::channel(Progress::default());
        (Self(sender), receiver)
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.0.send_modify(|progress| progress.phase = phase);
    }

    pub(crate) fn total(&self, bytes: u64) {
        self.0.send_modify(|progress| progress.total = bytes);
    }

    pub(crate) fn arrived(&self, bytes: u64) {
        self.0.send_modify(|progress| progress.done += bytes);
    }
}
