//! Many clusters, each with its own misfortunes.
//!
//! `WHARF_SEEDS` says how many (default: [`SEEDS`]), `WHARF_SEED` tells the story of one: every write and every
//! misfortune with its time, and what `RUST_LOG` selects of the components' own words (default: warnings).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use simulation::simulate;

/// About a minute and a half on two cores: less where the build is not optimized.
const SEEDS: u64 = if cfg!(debug_assertions) { 300 } else { 2_500 };
/// More broken seeds than this teach nothing more.
const ENOUGH: usize = 5;
/// How much of a history is told when a law is broken.
const TOLD: usize = 120;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// The end of a history.
fn tell(log: &[String], lines: usize) -> String {
    log[log.len().saturating_sub(lines)..].join("\n")
}

#[test]
fn no_seed_breaks_a_law() {
    if let Some(seed) = variable("WHARF_SEED") {
        let told = tracing_subscriber::EnvFilter::try_from_default_env();
        let told = told.unwrap_or_else(|_| "simulation=debug,warn".into());
        tracing_subscriber::fmt().without_time().with_env_filter(told).init();
        let history = simulate(seed);
        assert_eq!(history.broken, None, "seed {seed}");
        return;
    }
    let seeds = variable("WHARF_SEEDS").unwrap_or(SEEDS);
    let (next, broken) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || broken.lock().unwrap().len() >= ENOUGH {
                        return;
                    }
                    let history = simulate(seed);
                    if let Some(law) = history.broken {
                        broken.lock().unwrap().push((seed, law, history.log));
                    }
                }
            });
        }
    });
    let mut broken = broken.into_inner().unwrap();
    broken.sort();
    for (seed, law, _) in &broken {
        println!("seed {seed}: {law}");
    }
    if let Some((seed, law, log)) = broken.first() {
        panic!(
            "{} seeds of the first {} break a law, the first is {seed}: {law}\n\
             its whole story: WHARF_SEED={seed} cargo test --profile simulation -p simulation \
             --test seeds -- --nocapture\n\
             its end:\n{}",
            broken.len(),
            next.into_inner().min(seeds),
            tell(log, TOLD)
        );
    }
}

/// Each run is in a thread of its own, so nothing may hang on the keys of hash maps.
#[test]
fn a_seed_is_one_history() {
    for seed in 0..8 {
        let run = || thread::spawn(move || simulate(seed)).join().unwrap();
        let (first, second) = (run(), run());
        let same = first.log.iter().zip(&second.log).take_while(|(a, b)| a == b).count();
        let next = |log: &[String]| log.get(same).cloned();
        assert_eq!(
            next(&first.log),
            next(&second.log),
            "seed {seed} has two histories from line {same} on, after\n{}",
            tell(&first.log[..same], 20)
        );
        assert_eq!(first, second);
    }
}
