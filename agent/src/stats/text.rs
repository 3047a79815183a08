//! `/metrics/resource`: samples in the text format of Prometheus, under the kubelet's names.
//! Source: k8s.io/kubernetes/pkg/kubelet/metrics/collectors/resource_metrics.go, and
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::{Measured, Sample, label};

/// A metric and its samples.
struct Family {
    name: String,
    kind: &'static str,
    help: &'static str,
    lines: String,
}

impl Family {
    fn new(name: impl Into<String>, kind: &'static str, help: &'static str) -> Self {
        Self { name: name.into(), kind, help, lines: String::new() }
    }

    /// Adds a sample. `labels` are in the order of their names; writing into a String does not fail.
    fn push(
        &mut self,
        labels: &[(&str, &str)],
        value: impl std::fmt::Display,
        at: Option<Timestamp>,
    ) {
        self.lines.push_str(&self.name);
        for (nth, (name, value)) in labels.iter().enumerate() {
            let before = if nth == 0 { '{' } else { ',' };
            let _ = write!(self.lines, "{before}{name}=\"{}\"", escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = write!(self.lines, "{close} {value}");
        if let Some(at) = at {
            let _ = write!(self.lines, " {}", at.as_millisecond());
        }
        self.lines.push('\n');
    }
}

/// CPU and memory of one kind of thing.
struct Pair {
    cpu: Family,
    memory: Family,
}

impl Pair {
    fn of(prefix: &str, cpu: &'static str, memory: &'static str) -> Self {
        Self {
            cpu: Family::new(format!("{prefix}_cpu_usage_seconds_total"), "counter", cpu),
            memory: Family::new(format!("{prefix}_memory_working_set_bytes"), "gauge", memory),
        }
    }

    /// Adds what is known of a sample; whether that is all.
    fn push(&mut self, labels: &[(&str, &str)], sample: Sample) -> bool {
        let Sample { at, usage } = sample;
        if let Some(cpu) = usage.cpu {
            self.cpu.push(labels, cpu.as_secs_f64(), Some(at));
        }
        if let Some(bytes) = usage.memory_working_set {
            self.memory.push(labels, bytes, Some(at));
        }
        usage.cpu.is_some() && usage.memory_working_set.is_some()
    }
}

/// Writes everything that was measured.
pub(super) fn render(measured: &Measured) -> String {
    let mut containers = Pair::of(
        "container",
        "CPU time of the container since it was started, in core-seconds",
        "Memory of the container without file pages that can be dropped, in bytes",
    );
    let mut started = Family::new(
        "container_start_time_seconds",
        "gauge",
        "When the container was started, in seconds since 1970",
    );
    let mut pods = Pair::of(
        "pod",
        "CPU time of the pod since its sandbox was made, in core-seconds",
        "Memory of the pod without file pages that can be dropped, in bytes",
    );
    let mut nodes = Pair::of(
        "node",
        "CPU time of the node since it booted, in core-seconds",
        "Memory of the node without file pages that can be dropped, in bytes",
    );
    let mut complete = nodes.push(&[], measured.node);
    for pod in &measured.pods {
        let (namespace, name) = (label(pod, "namespace"), label(pod, "name"));
        let labels = [("namespace", namespace), ("pod", name)];
        complete &= pods.push(&labels, Sample { at: pod.at, usage: pod.usage });
        for container in &pod.containers {
            let labels = [("container", &*container.name), labels[0], labels[1]];
            let sample = Sample { at: container.at, usage: container.usage };
            complete &= containers.push(&labels, sample);
            let since = Duration::try_from(container.started_at.as_duration()).unwrap_or_default();
            started.push(&labels, since.as_secs_f64(), None);
        }
    }
    // The older of the two names is still what many alerts are about.
    let errors = ["resource_scrape_error", "scrape_error"].map(|name| {
        let mut family = Family::new(name, "gauge", "1 if something could not be measured");
        family.push(&[], u8::from(!complete), None);
        family
    });
    let [error, old_error] = errors;
    let mut all = String::new();
    for family in [
        containers.cpu,
        containers.memory,
        started,
        nodes.cpu,
        nodes.memory,
        pods.cpu,
        pods.memory,
        error,
        old_error,
    ] {
        let Family { name, kind, help, lines } = family;
        if !lines.is_empty() {
            let _ = write!(all, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
        }
    }
    all
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::measured;
    use super::*;

    #[test]
    fn every_sample_has_its_line() {
        let text = render(&measured(1250, 60));
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let of = "namespace=\"default\",pod=\"web\"}";
        assert_eq!(
            samples,
            [
                format!("container_cpu_usage_seconds_total{{container=\"a\",{of} 1.25 60000"),
                format!("container_memory_working_set_bytes{{container=\"a\",{of} 4096 60000"),
                format!("container_start_time_seconds{{container=\"a\",{of} 5"),
                format!("container_start_time_seconds{{container=\"b\",{of} 5"),
                "node_cpu_usage_seconds_total 1.25 60000".to_owned(),
                "node_memory_working_set_bytes 4096 60000".to_owned(),
                format!("pod_cpu_usage_seconds_total{{{of} 1.25 60000"),
                format!("pod_memory_working_set_bytes{{{of} 4096 60000"),
                "resource_scrape_error 1".to_owned(),
                "scrape_error 1".to_owned(),
            ]
        );
        assert!(text.contains("# TYPE container_cpu_usage_seconds_total counter\n"), "{text}");
        let mut whole = measured(1, 1);
        whole.pods[0].containers.pop();
        assert!(render(&whole).contains("\nresource_scrape_error 0\n"));
    }

    #[test]
    fn label_values_stay_on_their_line() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
