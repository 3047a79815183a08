//! Probes, lifecycle hooks and the stop signal.

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::validate::Whole;
use crate::field::{Errors, FieldError, Path};
use crate::names;

/// The signals that a Windows host knows.
const WINDOWS_SIGNALS: &[&str] = &["SIGKILL", "SIGTERM"];

/// The signals of Linux but the real-time ones between the first and the last.
const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMIN",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// Checks what only containers have that stay: hooks and probes.
pub(super) fn validate_all(container: &Container, whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(lifecycle) = &container.lifecycle {
        errors.extend(validate_lifecycle(lifecycle, whole, &path.child("lifecycle")));
    }
    for (field, probe, once) in [
        ("livenessProbe", &container.liveness_probe, true),
        ("readinessProbe", &container.readiness_probe, false),
        ("startupProbe", &container.startup_probe, true),
    ] {
        let (Some(probe), path) = (probe, path.child(field)) else { continue };
        errors.extend(validate(probe, &path));
        // A container lives or not; only readiness may take several successes.
        let successes = probe.success_threshold.unwrap_or(1);
        if once && successes != 1 {
            errors.push(FieldError::invalid(
                &path.child("successThreshold"),
                successes,
                "must be 1",
            ));
        }
        if field == "readinessProbe" && probe.termination_grace_period_seconds.is_some() {
            let path = path.child("terminationGracePeriodSeconds");
            let value = probe.termination_grace_period_seconds.unwrap_or_default();
            errors.push(FieldError::invalid(&path, value, "must not be set for readinessProbes"));
        }
    }
    errors
}

fn validate(probe: &Probe, path: &Path) -> Errors {
    let mut handlers = Handlers { errors: Errors::new(), seen: 0 };
    handlers.exec(probe.exec.as_ref(), path);
    handlers.http(probe.http_get.as_ref(), path);
    handlers.tcp(probe.tcp_socket.as_ref(), path);
    if let Some(grpc) = &probe.grpc {
        let path = path.child("grpc");
        if handlers.admit(&path) {
            handlers.port(&IntOrString::Int(grpc.port), &path.child("port"));
        }
    }
    let mut errors = handlers.finish(path);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        if let Some(value) = value.filter(|value| *value < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&path.child(field), value, detail));
        }
    }
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|seconds| *seconds <= 0) {
        let path = path.child("terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(&path, seconds, "must be greater than 0"));
    }
    errors
}

fn validate_lifecycle(lifecycle: &Lifecycle, whole: &Whole<'_>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let grace = whole.spec.termination_grace_period_seconds;
    for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(hook) = hook {
            errors.extend(validate_hook(hook, grace, &path.child(field)));
        }
    }
    let Some(signal) = lifecycle.stop_signal.as_deref() else { return errors };
    let path = path.child("stopSignal");
    match whole.spec.os.as_ref().map(|os| os.name.as_str()) {
        None => {
            let detail = "may not be set for containers with empty `spec.os.name`";
            errors.push(FieldError::forbidden(&path, detail));
        }
        Some("windows") if !WINDOWS_SIGNALS.contains(&signal) => {
            errors.push(FieldError::not_supported(&path, signal, WINDOWS_SIGNALS));
        }
        Some("linux") if !SIGNALS.contains(&signal) && !is_real_time(signal) => {
            let mut all: Vec<String> = SIGNALS.iter().map(|name| (*name).to_owned()).collect();
            all.extend((1..=15).map(|n| format!("SIGRTMIN+{n}")));
            all.extend((1..=14).map(|n| format!("SIGRTMAX-{n}")));
            all.sort();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            errors.push(FieldError::not_supported(&path, signal, &all));
        }
        Some(_) => {}
    }
    errors
}

/// Whether it is one of the signals between `SIGRTMIN` and `SIGRTMAX`, counted from the nearer one.
fn is_real_time(signal: &str) -> bool {
    let number = |prefix: &str| signal.strip_prefix(prefix)?.parse::<u8>().ok();
    // Written as numbers are, without `+` and leading zeros.
    let plain = |prefix: &str, n: u8| signal == format!("{prefix}{n}");
    number("SIGRTMIN+").is_some_and(|n| (1..=15).contains(&n) && plain("SIGRTMIN+", n))
        || number("SIGRTMAX-").is_some_and(|n| (1..=14).contains(&n) && plain("SIGRTMAX-", n))
}

fn validate_hook(hook: &LifecycleHandler, grace: Option<i64>, path: &Path) -> Errors {
    let mut handlers = Handlers { errors: Errors::new(), seen: 0 };
    handlers.exec(hook.exec.as_ref(), path);
    handlers.http(hook.http_get.as_ref(), path);
    handlers.tcp(hook.tcp_socket.as_ref(), path);
    if let Some(sleep) = &hook.sleep {
        let path = path.child("sleep");
        // It cannot take longer than the pod has to end.
        if handlers.admit(&path)
            && let Some(grace) = grace
            && !(0..=grace).contains(&sleep.seconds)
        {
            let detail = format!(
                "must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            );
            handlers.errors.push(FieldError::invalid(&path, sleep.seconds, &detail));
        }
    }
    handlers.finish(path)
}

/// Exactly one handler must be given.
struct Handlers {
    errors: Errors,
    seen: usize,
}

impl Handlers {
    fn admit(&mut self, path: &Path) -> bool {
        self.seen += 1;
        if self.seen > 1 {
            self.errors
                .push(FieldError::forbidden(path, "may not specify more than 1 handler type"));
        }
        self.seen == 1
    }

    fn finish(mut self, path: &Path) -> Errors {
        if self.seen == 0 {
            self.errors.push(FieldError::required(path, "must specify a handler type"));
        }
        self.errors
    }

    fn exec(&mut self, exec: Option<&ExecAction>, path: &Path) {
        let (Some(exec), path) = (exec, path.child("exec")) else { return };
        if self.admit(&path) && exec.command.as_ref().is_none_or(Vec::is_empty) {
            self.errors.push(FieldError::required(&path.child("command"), ""));
        }
    }

    fn http(&mut self, http: Option<&HTTPGetAction>, path: &Path) {
        let (Some(http), path) = (http, path.child("httpGet")) else { return };
        if !self.admit(&path) {
            return;
        }
        if http.path.as_deref().unwrap_or_default().is_empty() {
            self.errors.push(FieldError::required(&path.child("path"), ""));
        }
        self.port(&http.port, &path.child("port"));
        let scheme = http.scheme.as_deref().unwrap_or_default();
        if !matches!(scheme, "HTTP" | "HTTPS") {
            let path = path.child("scheme");
            self.errors.push(FieldError::not_supported(&path, scheme, &["HTTP", "HTTPS"]));
        }
        for (n, header) in http.http_headers.iter().flatten().enumerate() {
            let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            if header.name.is_empty() || !header.name.bytes().all(token) {
                let path = path.child("httpHeaders");
                let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
                self.errors.push(FieldError::invalid(&path, header.name.as_str(), detail));
            }
            if header.value.contains(['\r', '\n', '\0']) {
                let path = path.child("httpHeaders").index(n).child("value");
                let detail = "must not contain line breaks";
                self.errors.push(FieldError::invalid(&path, header.value.as_str(), detail));
            }
        }
    }

    fn tcp(&mut self, tcp: Option<&TCPSocketAction>, path: &Path) {
        let (Some(tcp), path) = (tcp, path.child("tcpSocket")) else { return };
        if self.admit(&path) {
            self.port(&tcp.port, &path.child("port"));
        }
    }

    fn port(&mut self, port: &IntOrString, path: &Path) {
        let errors: Errors = match port {
            IntOrString::Int(port) => names::port_number(i64::from(*port))
                .iter()
                .map(|m| FieldError::invalid(path, *port, m))
                .collect(),
            IntOrString::String(name) => names::port_name(name)
                .iter()
                .map(|m| FieldError::invalid(path, name.as_str(), m))
                .collect(),
        };
        self.errors.extend(errors);
    }
}
