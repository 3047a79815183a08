//! From sending a create to each watcher having the event, at a steady rate of creates.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::load::percentile;

/// Creates per second.
pub(crate) const RATE: u32 = 50;
/// Creates of one measurement.
pub(crate) const COUNT: usize = 300;
/// Room for a watcher's calls, in bytes; there are many watchers.
const STACK: usize = 256 * 1024;

/// Waits for events and appends their objects' numbers.
pub(crate) type Watcher = Box<dyn FnMut(&mut Vec<usize>) -> Result<()> + Send>;

/// What was measured.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    /// Half of the events came within this time.
    pub(crate) p50: Duration,
    /// 99 of 100 events came within this time.
    pub(crate) p99: Duration,
}

/// Lets `create` make `count` objects, from 0, and waits until every watcher has them all.
pub(crate) fn measure(
    watchers: Vec<Watcher>,
    count: usize,
    mut create: impl FnMut(usize) -> Result<()>,
) -> Result<Delivery> {
    let sent: Vec<OnceLock<Instant>> = (0..count).map(|_| OnceLock::new()).collect();
    let watch = |mut next: Watcher| -> Result<Vec<Duration>> {
        let (mut times, mut numbers) = (Vec::with_capacity(count), Vec::new());
        while times.len() < count {
            next(&mut numbers)?;
            let now = Instant::now();
            for number in numbers.drain(..) {
                // One client makes them: each event comes once and in order, or it is no watch.
                ensure!(number == times.len(), "event {number} came, {} was due", times.len());
                let sent = sent[number].get().context("an event of an object not yet made")?;
                times.push(now - *sent);
            }
        }
        Ok(times)
    };
    let watch = &watch;
    let mut times = std::thread::scope(|scope| {
        let threads = watchers.into_iter().map(|watcher| {
            std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, move || watch(watcher))
        });
        let threads: Vec<_> = threads.collect::<Result<_, _>>()?;
        let begin = Instant::now();
        for (number, slot) in sent.iter().enumerate() {
            let due = begin + Duration::from_secs(1) * number as u32 / RATE;
            while let Some(rest) = due.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(rest);
            }
            slot.set(Instant::now()).map_err(|_| anyhow!("object {number} is made twice"))?;
            create(number)?;
        }
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a watcher panicked"))??);
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    times.sort();
    Ok(Delivery { p50: percentile(&times, 50), p99: percentile(&times, 99) })
}

/// Every number that follows `marker` in `text`.
pub(crate) fn numbers(text: &[u8], marker: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].windows(marker.len()).position(|part| part == marker) {
        at += next + marker.len();
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        found.push(number);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_marker() {
        assert_eq!(numbers(b"x/w/12\x10y/w/7", b"/w/"), [12, 7]);
        assert_eq!(numbers(br#"{"name":"w-3","z":"w-4"}"#, br#""name":"w-"#), [3]);
        assert!(numbers(b"/w", b"/w/").is_empty());
    }

    #[test]
    fn every_watcher_is_waited_for() {
        const OBJECTS: usize = 10;
        let mut sends = Vec::new();
        let watchers = (0..3).map(|_| {
            let (send, receive) = std::sync::mpsc::sync_channel(OBJECTS);
            sends.push(send);
            let watcher: Watcher = Box::new(move |found| {
                found.push(receive.recv()?);
                Ok(())
            });
            watcher
        });
        let watchers: Vec<_> = watchers.collect();
        let mut made = Vec::new();
        measure(watchers, OBJECTS, |number| {
            made.push(number);
            sends.iter().try_for_each(|send| Ok(send.send(number)?))
        })
        .unwrap();
        assert_eq!(made, (0..OBJECTS).collect::<Vec<_>>());
    }
}
