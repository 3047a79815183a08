//! The Prometheus text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use std::fmt::{Display, Write as _};

/// A page of metrics.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins a counter.
    pub(super) fn counter(&mut self, name: &str, help: &str) {
        self.begin(name, "counter", help);
    }

    /// Begins a gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str) {
        self.begin(name, "gauge", help);
    }

    /// Begins a histogram.
    pub(super) fn histogram(&mut self, name: &str, help: &str) {
        self.begin(name, "histogram", help);
    }

    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a value.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            self.escaped(value);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// Adds a histogram: how many values are in each bucket (the last one has no bound), and their sum.
    pub(super) fn buckets(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        let bounds = bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        let bucket = format!("{name}_bucket");
        let mut total = 0;
        for (bound, count) in bounds.zip(counts) {
            total += count;
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.sample(&bucket, &labels, total);
        }
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, total);
    }

    /// The page.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_as_prometheus_reads_it() {
        let mut page = Page::default();
        page.counter("a_total", "What a counts.");
        page.sample("a_total", &[("x", "1\"\\\n"), ("y", "")], 7);
        page.gauge("b", "What b is.");
        page.sample("b", &[], 1.5);
        page.histogram("c_seconds", "How long c takes.");
        page.buckets("c_seconds", &[("x", "1")], &[0.5, 1.0], &[2, 0, 3], 12.25);
        let want = "# HELP a_total What a counts.\n# TYPE a_total counter\n\
                    a_total{x=\"1\\\"\\\\\\n\",y=\"\"} 7\n\
                    # HELP b What b is.\n# TYPE b gauge\nb 1.5\n\
                    # HELP c_seconds How long c takes.\n# TYPE c_seconds histogram\n\
                    c_seconds_bucket{x=\"1\",le=\"0.5\"} 2\nc_seconds_bucket{x=\"1\",le=\"1\"} 2\n\
                    c_seconds_bucket{x=\"1\",le=\"+Inf\"} 5\nc_seconds_sum{x=\"1\"} 12.25\n\
                    c_seconds_count{x=\"1\"} 5\n";
        assert_eq!(page.into_text(), want);
    }
}
