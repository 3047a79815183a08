//! What an owner of a store may choose.

use std::time::Duration;

/// Settings of one [`Store`](crate::Store); the defaults suit a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Mutations that may wait for the writer; further callers wait to queue.
    pub queue: usize,
    /// Events a watcher may lag behind before it is closed.
    pub watch_buffer: usize,
    /// What is kept of the history; `None` keeps all of it until
    /// [`Store::compact`](crate::Store::compact) is called.
    pub retention: Option<Retention>,
    /// How long one batch, or one read, may take on Postgres before its
    /// connection is given up.
    pub deadline: Duration,
    /// Whether mutations that wait share a transaction. `false` gives every
    /// mutation its own, for measuring what grouping is worth.
    pub group: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            queue: 4096,
            watch_buffer: 32_768,
            retention: Some(Retention::default()),
            deadline: Duration::from_secs(15),
            group: true,
        }
    }
}

/// Which history the background compaction keeps: what exceeds either bound goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most this many of the newest revisions.
    pub revisions: u64,
    /// At most this age. Ages are counted from when this process saw a revision,
    /// so a restart keeps history a little longer, never shorter.
    pub age: Duration,
    /// How often to look.
    pub every: Duration,
}

impl Default for Retention {
    /// Five minutes, like a Kubernetes API server does with etcd, but bounded.
    fn default() -> Retention {
        Retention {
            revisions: 200_000,
            age: Duration::from_secs(300),
            every: Duration::from_secs(15),
        }
    }
}
