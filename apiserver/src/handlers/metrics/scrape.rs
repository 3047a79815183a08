//! Reads what an agent says at `/metrics/resource`: counters and gauges in the text format of Prometheus.
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

/// What one answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scrape {
    /// The node as a whole.
    pub(super) node: Option<Point>,
    /// Containers by name, by pod as `namespace/name`. A pod of which not all was measured is not here.
    pub(super) pods: BTreeMap<String, BTreeMap<String, Point>>,
}

/// Counters at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) at: Timestamp,
    /// CPU time since it was started.
    pub(super) cpu: Duration,
    pub(super) memory_bytes: u64,
    /// When it was started; of nodes this is not told.
    pub(super) started: Option<Timestamp>,
}

/// What has been read of a point.
#[derive(Debug, Default)]
struct Partial {
    cpu: Option<(Option<Timestamp>, Duration)>,
    memory_bytes: Option<u64>,
    started: Option<Timestamp>,
}

impl Partial {
    fn whole(self, now: Timestamp) -> Option<Point> {
        let (at, cpu) = self.cpu?;
        let (memory_bytes, started) = (self.memory_bytes?, self.started);
        Some(Point { at: at.unwrap_or(now), cpu, memory_bytes, started })
    }
}

/// One line.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, String>,
    value: f64,
    at: Option<Timestamp>,
}

/// Reads an answer that came at `now`. Lines that say something else are passed over.
pub(super) fn read(text: &str, now: Timestamp) -> Scrape {
    let mut node = Partial::default();
    let mut pods: BTreeMap<String, BTreeMap<String, Partial>> = BTreeMap::new();
    for sample in text.lines().filter_map(sample) {
        let Some((of, what)) = sample.name.split_once('_') else { continue };
        let partial = match of {
            "node" => &mut node,
            "container" => {
                let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
                let pod = format!("{}/{}", label("namespace"), label("pod"));
                pods.entry(pod).or_default().entry(label("container")).or_default()
            }
            _ => continue,
        };
        match what {
            "cpu_usage_seconds_total" => {
                let cpu = Duration::try_from_secs_f64(sample.value).ok();
                partial.cpu = cpu.map(|cpu| (sample.at, cpu));
            }
            "memory_working_set_bytes" => partial.memory_bytes = whole(sample.value),
            "start_time_seconds" => {
                let since = Duration::try_from_secs_f64(sample.value).ok();
                partial.started =
                    since.and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok());
            }
            _ => {}
        }
    }
    let pods = pods.into_iter().filter_map(|(pod, containers)| {
        let points = containers.into_iter().map(|(name, part)| Some((name, part.whole(now)?)));
        Some((pod, points.collect::<Option<_>>()?))
    });
    Scrape { node: node.whole(now), pods: pods.collect() }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes are no fraction, and what is below zero is refused"
)]
fn whole(value: f64) -> Option<u64> {
    (value >= 0.0 && value.is_finite()).then_some(value as u64)
}

/// `name{label="value"} 1.5 1700000000000`, of which labels and time (in milliseconds) may be missing.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label, value);
            rest = after;
        }
    }
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse().ok()?;
    let at = words.next().and_then(|at| Timestamp::from_millisecond(at.parse().ok()?).ok());
    (!name.is_empty() && !name.starts_with('#')).then_some(Sample { name, labels, value, at })
}

/// The value up to the closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn lines() {
        let labels = |all: &[(&'static str, &str)]| {
            all.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        let of = |name, labels, value, at| Some(Sample { name, labels, value, at });
        for (line, want) in [
            ("a 1", of("a", labels(&[]), 1.0, None)),
            ("a_b 1.5e+09 2000", of("a_b", labels(&[]), 1.5e9, Some(at(2)))),
            ("a{} 1", of("a", labels(&[]), 1.0, None)),
            (
                "a{x=\"1\",y=\"q\\\"\\\\\\n}\",} 3 4000",
                of("a", labels(&[("x", "1"), ("y", "q\"\\\n}")]), 3.0, Some(at(4))),
            ),
            ("# HELP a b", None),
            ("", None),
            ("a", None),
            ("a{x=\"1\" 3", None),
            ("a{x=\"1", None),
            ("a{x} 1", None),
            ("a one", None),
        ] {
            assert_eq!(sample(line), want, "{line}");
        }
    }

    #[test]
    fn an_answer_becomes_points() {
        let text = "# TYPE container_cpu_usage_seconds_total counter\n\
            container_cpu_usage_seconds_total{container=\"c\",namespace=\"n\",pod=\"p\"} 1.25 60000\n\
            container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p\"} 4096 60000\n\
            container_start_time_seconds{container=\"c\",namespace=\"n\",pod=\"p\"} 50.5\n\
            container_cpu_usage_seconds_total{container=\"a\",namespace=\"n\",pod=\"half\"} 1 60000\n\
            container_memory_working_set_bytes{container=\"a\",namespace=\"n\",pod=\"half\"} 1 60000\n\
            container_start_time_seconds{container=\"b\",namespace=\"n\",pod=\"half\"} 50\n\
            pod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 7 60000\n\
            node_cpu_usage_seconds_total 100.5 61000\n\
            node_memory_working_set_bytes 1e+06 61000\n\
            node_swap_usage_bytes -1\n\
            resource_scrape_error 0\n";
        let point = Point {
            at: at(60),
            cpu: Duration::from_millis(1250),
            memory_bytes: 4096,
            started: Some(Timestamp::from_millisecond(50_500).unwrap()),
        };
        let node = Point {
            at: at(61),
            cpu: Duration::from_millis(100_500),
            memory_bytes: 1_000_000,
            started: None,
        };
        let pods = [("n/p".to_owned(), [("c".to_owned(), point)].into())].into();
        assert_eq!(read(text, at(99)), Scrape { node: Some(node), pods });
        assert_eq!(read("node_cpu_usage_seconds_total NaN\n", at(99)), Scrape::default());
    }
}
