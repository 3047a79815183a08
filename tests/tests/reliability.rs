//! API servers and databases that are killed, stopped and lied to about the time while many clients
//! write, watch and read: afterwards the log of the datastore says whether anybody was told wrong.
//!
//! What is random follows from one number, which every test prints; `WHARF_SEED` repeats a run as
//! far as the machine does. `WHARF_ROUNDS` says how many times a server is killed (3).
//!
//! The servers are real processes: `wctl dev` ([`cluster`]), and API servers alone (the example
//! `serve` of the crate `apiserver`), of which several can share a Postgres.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]
#![allow(clippy::print_stderr, reason = "seeds and figures are for whoever reads the output")]

#[path = "reliability/client.rs"]
mod client;
#[path = "reliability/clock.rs"]
mod clock;
#[path = "reliability/cluster.rs"]
mod cluster;
#[path = "reliability/journal.rs"]
mod journal;
#[path = "reliability/kills.rs"]
mod kills;
#[path = "reliability/load.rs"]
mod load;
#[path = "reliability/outage.rs"]
mod outage;
#[path = "reliability/readers.rs"]
mod readers;
#[path = "reliability/server.rs"]
mod server;
#[path = "reliability/watchers.rs"]
mod watchers;
#[path = "reliability/writers.rs"]
mod writers;

/// Small numbers that follow from a seed (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    /// The dice of one test, from `WHARF_SEED` or else the clock; says which.
    fn of_test(name: &str) -> Self {
        let clock = || {
            let now = std::time::SystemTime::now();
            now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
        };
        let seed = number("WHARF_SEED").unwrap_or_else(clock);
        eprintln!("{name}: WHARF_SEED={seed}");
        Self(seed)
    }

    /// Dice of its own for one of many.
    fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// A number from 0 up to, but not including, `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// How many times to kill.
fn rounds() -> u64 {
    number("WHARF_ROUNDS").unwrap_or(3)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
