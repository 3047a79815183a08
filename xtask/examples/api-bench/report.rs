//! The table that docs/BENCHMARKS.md keeps.

use std::time::Duration;

use crate::load::Load;

/// Prints the table's head.
pub(crate) fn head() {
    println!("\n| what | bar | wctl, SQLite | wctl, PostgreSQL | etcd | SQLite to etcd |");
    println!("|---|---|---|---|---|---|");
}

/// Prints a row of rates; more is better.
pub(crate) fn rates(
    what: &str,
    bar: &str,
    sqlite: &Load,
    postgres: Option<&Load>,
    etcd: Option<&Load>,
) {
    let cell = |load: Option<&Load>| load.map_or_else(String::new, rate);
    let ratio = etcd.map_or_else(String::new, |etcd| format!("{:.2}", sqlite.rate / etcd.rate));
    row(what, bar, [cell(Some(sqlite)), cell(postgres), cell(etcd), ratio]);
}

/// Prints a row of one figure.
pub(crate) fn figure(what: &str, bar: &str, figure: String) {
    row(what, bar, [figure, String::new(), String::new(), String::new()]);
}

/// Prints a row.
pub(crate) fn row(what: &str, bar: &str, cells: [String; 4]) {
    println!("| {what} | {bar} | {} |", cells.join(" | "));
}

/// Milliseconds at 50 and 99 percent.
pub(crate) fn percentiles(p50: Duration, p99: Duration) -> String {
    format!("{:.2} / {:.2} ms", milliseconds(p50), milliseconds(p99))
}

/// Milliseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn rate(load: &Load) -> String {
    format!("{:.0}/s, {}", load.rate, percentiles(load.p50, load.p99))
}
