//! Giving back the code that only the start needs.
//!
//! A start runs through much of the executable once: certificates, tables, migrations. Its pages stay
//! mapped although nothing runs there again. They are clean and come back from the page cache when
//! they are needed, so they are unmapped once the cluster has settled.

use std::fs;
use std::time::Duration;

use rustix::mm::{Advice, madvise};

/// How long after `ready` the start is over.
const SETTLED: Duration = Duration::from_secs(2);

/// Waits until the start is over and gives its pages back.
pub(crate) async fn after_start() {
    tokio::time::sleep(SETTLED).await;
    let executable = fs::read_link("/proc/self/exe").unwrap_or_default();
    // What cannot be read or unmapped stays mapped: nothing depends on it.
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for (start, end) in clean(&smaps, &executable.to_string_lossy()) {
        unmap(start, end);
    }
}

#[allow(unsafe_code, reason = "madvise(2) takes an address")]
fn unmap(start: usize, end: usize) {
    let address = std::ptr::without_provenance_mut(start);
    // SAFETY: the range is a private mapping of the executable's file without a page of its own
    // ([`clean`]), and nothing writes to it: what is read there next is read from the file again.
    let _ = unsafe { madvise(address, end - start, Advice::LinuxDontNeed) };
}

/// The executable's mappings that hold nothing but the file's pages: not writable, and without pages
/// of this process' own, as relocated ones are (proc(5), smaps).
fn clean(smaps: &str, executable: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((start, end)) = range(first) {
            let readonly = words.next().is_some_and(|rights| !rights.contains('w'));
            let of_executable = words.nth(3) == Some(executable);
            mapping = (readonly && of_executable).then_some((start, end));
        } else if first == "Anonymous:" && words.next() == Some("0") {
            found.extend(mapping.take());
        }
    }
    found
}

fn range(word: &str) -> Option<(usize, usize)> {
    let (start, end) = word.split_once('-')?;
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_own_pages_are_given_back() {
        let mapping = |range: &str, rights: &str, file: &str, anonymous: u32| {
            format!(
                "{range} {rights} 00000000 08:01 42 {file}\nRss: 8 kB\nAnonymous: {anonymous} kB\n"
            )
        };
        let smaps = mapping("1000-2000", "r--p", "/bin/wctl", 0)
            + &mapping("2000-6000", "r-xp", "/bin/wctl", 0)
            + &mapping("6000-7000", "r--p", "/bin/wctl", 4)
            + &mapping("7000-8000", "rw-p", "/bin/wctl", 0)
            + &mapping("8000-9000", "r-xp", "/lib/libc.so", 0)
            + &mapping("a000-b000", "r--p", "", 0);
        assert_eq!(clean(&smaps, "/bin/wctl"), [(0x1000, 0x2000), (0x2000, 0x6000)]);
        assert_eq!(clean("", "/bin/wctl"), []);
    }
}
