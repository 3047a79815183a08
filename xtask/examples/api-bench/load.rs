//! Closed-loop load: each client sends its next request when it has the answer to the last.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After this long; answers that are due are waited for.
    Time(Duration),
    /// After this many requests.
    Count(u64),
}

/// What was measured.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Answers per second.
    pub(crate) rate: f64,
    /// Half of the answers came within this time.
    pub(crate) p50: Duration,
    /// 99 of 100 answers came within this time.
    pub(crate) p99: Duration,
}

/// Runs one thread per client; `request` gets the request's number, from 0, each once.
pub(crate) fn run<C: Send>(
    clients: &mut [C],
    until: Until,
    request: impl Fn(&mut C, u64) -> Result<()> + Sync,
) -> Result<Load> {
    let numbers = AtomicU64::new(0);
    let begin = Instant::now();
    let work = |client: &mut C| -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        loop {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let more = match until {
                Until::Time(limit) => begin.elapsed() < limit,
                Until::Count(limit) => number < limit,
            };
            if !more {
                return Ok(times);
            }
            let sent = Instant::now();
            request(client, number)?;
            times.push(sent.elapsed());
        }
    };
    let work = &work;
    let mut times = std::thread::scope(|scope| {
        let threads: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(move || work(client))).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
    times.sort();
    Ok(Load { rate, p50: percentile(&times, 50), p99: percentile(&times, 99) })
}

/// The smallest of the sorted `times` that `percent` of them do not exceed; 0 of none.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let rank = (times.len() * percent).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        for (count, percent, want) in
            [(200, 50, 100), (200, 99, 198), (1, 99, 1), (3, 50, 2), (0, 50, 0)]
        {
            assert_eq!(
                percentile(&times[..count], percent),
                Duration::from_millis(want),
                "{count}"
            );
        }
    }

    #[test]
    fn a_count_is_kept_to_and_each_number_comes_once() {
        let seen = std::sync::Mutex::new(Vec::new());
        let load = run(&mut [(), (), ()], Until::Count(50), |(), number| {
            seen.lock().unwrap().push(number);
            Ok(())
        });
        assert!(load.unwrap().rate > 0.0);
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }
}
