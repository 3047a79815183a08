//! The process, as Prometheus' client libraries show it: from `/proc` (proc(5)).

use std::fs;

use super::text::Page;

/// Ticks a second in `/proc`, on every architecture that Linux has today (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

/// What is shown of a process.
#[derive(Debug, Default, PartialEq)]
struct Process {
    cpu_seconds: f64,
    /// Since the machine was started.
    start_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
    max_descriptors: u64,
}

/// Adds this process.
pub(super) fn show(page: &mut Page) {
    let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
    let process = Process::read(&read("self/stat"), &read("self/status"), &read("self/limits"));
    let descriptors = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let start = boot_seconds(&read("stat")) + process.start_seconds;
    let mut counter = |name: &str, help: &str, value: f64| {
        page.counter(name, help);
        page.sample(name, &[], value);
    };
    let help = "User and system CPU time spent, in seconds.";
    counter("process_cpu_seconds_total", help, process.cpu_seconds);
    let mut gauge = |name: &str, help: &str, value: f64| {
        page.gauge(name, help);
        page.sample(name, &[], value);
    };
    let help = "Limit of open file descriptors.";
    gauge("process_max_fds", help, process.max_descriptors as f64);
    gauge("process_open_fds", "Open file descriptors.", descriptors as f64);
    let help = "Resident memory, in bytes.";
    gauge("process_resident_memory_bytes", help, process.resident_bytes as f64);
    let help = "Start time of the process, in seconds since 1970.";
    gauge("process_start_time_seconds", help, start);
    let help = "Virtual memory, in bytes.";
    gauge("process_virtual_memory_bytes", help, process.virtual_bytes as f64);
}

impl Process {
    /// Reads `/proc/PID/stat`, `status` and `limits`; what cannot be read is 0.
    fn read(stat: &str, status: &str, limits: &str) -> Process {
        // The name of the process may contain anything; the numbers follow its last bracket.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let fields: Vec<&str> = behind.split_whitespace().collect();
        let ticks = |at: usize| {
            fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / TICKS
        };
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.unwrap_or(0) * 1024
        };
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let limit = limit.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Process {
            cpu_seconds: ticks(11) + ticks(12),
            start_seconds: ticks(19),
            virtual_bytes: kilobytes("VmSize:"),
            resident_bytes: kilobytes("VmRSS:"),
            max_descriptors: limit.unwrap_or(0),
        }
    }
}

/// When the machine was started, in seconds since 1970.
fn boot_seconds(stat: &str) -> f64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 1234 1000000 250 18446744073709551615";
        let status = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        let want = Process {
            cpu_seconds: 2.0,
            start_seconds: 12.34,
            virtual_bytes: 2 << 20,
            resident_bytes: 1 << 20,
            max_descriptors: 1024,
        };
        assert_eq!(Process::read(stat, status, limits), want);
        assert_eq!(Process::read("", "", ""), Process::default());
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\n"), 1_700_000_000.0);
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let mut page = Page::default();
        show(&mut page);
        let text = page.into_text();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0)
        };
        for name in [
            "process_open_fds",
            "process_max_fds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_start_time_seconds",
        ] {
            assert!(value(name) > 0.0, "{name}: {text}");
        }
    }
}
