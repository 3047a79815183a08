//! What the host uses as a whole, from proc(5).

use std::time::Duration;

use jiff::Timestamp;
use runtime::cgroup::Usage;

/// A tick of `/proc/stat`: part of the kernel's interface, a hundredth of a second.
const TICK: Duration = Duration::from_millis(10);

/// Its use since it booted, and when that was. What cannot be read is none.
pub(super) fn read() -> (Usage, Option<Timestamp>) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/stat");
    let memory_working_set = working_set(&read("/proc/meminfo"));
    (Usage { cpu: busy(&stat), memory_working_set }, booted(&stat))
}

/// Time in which the CPUs worked: user, nice, system, irq and softirq, not idle, iowait and what a
/// hypervisor took.
fn busy(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|tick| tick.parse().ok()).collect();
    let worked: u64 = [0, 1, 2, 5, 6].iter().filter_map(|column| ticks.get(*column)).sum();
    let ticks = u32::try_from(worked % 100).ok()?;
    Some(Duration::from_secs(worked / 100) + TICK * ticks)
}

fn booted(stat: &str) -> Option<Timestamp> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(seconds.trim().parse().ok()?).ok()
}

/// Memory that is neither free nor filled with pages of files that nobody has read lately, in bytes.
fn working_set(meminfo: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let used = kib("MemTotal:")?.saturating_sub(kib("MemFree:")?);
    Some(used.saturating_sub(kib("Inactive(file):").unwrap_or(0)) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let stat = "cpu  100 20 300 4000 500 6 7 8 9 10\ncpu0 1 1 1\nintr 5\nbtime 1000\n";
        assert_eq!(busy(stat), Some(Duration::from_millis(4330)));
        assert_eq!(booted(stat), Some(Timestamp::from_second(1000).unwrap()));
        let meminfo = "MemTotal: 100 kB\nMemFree: 30 kB\nInactive: 50 kB\nInactive(file): 20 kB\n";
        assert_eq!(working_set(meminfo), Some(50 * 1024));
        assert_eq!((busy(""), booted(""), working_set("")), (None, None, None));
    }

    #[test]
    fn this_host_is_in_use() {
        let (usage, booted) = read();
        assert!(usage.cpu > Some(Duration::ZERO), "{usage:?}");
        assert!(usage.memory_working_set > Some(0), "{usage:?}");
        assert!(booted.is_some_and(|booted| booted < Timestamp::now()), "{booted:?}");
    }
}
