//! `exec` and `attach`: the streams of a process, copied to and from a caller's.
//!
//! | path | process |
//! |---|---|
//! | `/exec/{namespace}/{pod}/{container}?command=…` | a new one in the container |
//! | `/attach/{namespace}/{pod}/{container}` | the container's first |
//!
//! `input`, `output`, `error` and `tty` say which streams the caller wants. How the process ended is said
//! on the error channel: a `Status`, or plain text in the versions before `v4`. Source:
//! `k8s.io/kubelet/pkg/cri/streaming/remotecommand`.

mod client;
mod copy;
mod outcome;

use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::body::Incoming as RequestBody;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use runtime::streams::Wanted;
use runtime::{ExecError, ExecSpec};
use tokio_util::sync::CancellationToken;

use self::client::Client;
use super::stream::idle::{self, Idle};
use super::stream::upgrade::{Protocol, Supported, negotiate};
use super::{Body, logs, query, text};
use crate::agent::Workers;
use crate::context::Context;
use crate::image::chain;
use crate::pod::containers;

/// What callers may speak, the best first.
const SUPPORTED: Supported = Supported {
    websocket: &[
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io",
        "channel.k8s.io",
        "base64.channel.k8s.io",
    ],
    spdy: &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"],
};

/// Which process is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Exec,
    Attach,
}

/// What was asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Options {
    command: Vec<String>,
    wanted: Wanted,
    tty: bool,
}

impl Options {
    fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in query::pairs(query) {
            let truth = || value == "1" || value == "true";
            match name.as_str() {
                "command" => options.command.push(value),
                "input" => options.wanted.stdin = truth(),
                "output" => options.wanted.stdout = truth(),
                "error" => options.wanted.stderr = truth(),
                "tty" => options.tty = truth(),
                _ => {}
            }
        }
        // A terminal shows errors and output alike.
        options.wanted.stderr &= !options.tty;
        if options.wanted == Wanted::default() {
            return Err("you must specify at least 1 of stdin, stdout, stderr".to_owned());
        }
        Ok(options)
    }
}

/// The process a session is about.
#[derive(Debug, Clone)]
struct Subject {
    uid: String,
    container: String,
}

/// Answers the request, and when it is an upgrade, serves the session beside.
pub(super) fn begin(
    verb: Verb,
    context: &Arc<Context>,
    workers: &Workers,
    (namespace, pod, container): (&str, &str, &str),
    request: &mut http::Request<RequestBody>,
) -> Response<Body> {
    let mut options = match Options::parse(request.uri().query().unwrap_or_default()) {
        Ok(options) => options,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let Some(found) = logs::find_pod(workers, namespace, pod) else {
        return text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    let uid = found.metadata.uid.clone().unwrap_or_default();
    let checked = match verb {
        Verb::Exec => context.runtime.can_exec(&uid, container),
        Verb::Attach => {
            // Whether there is a terminal was decided when the container was started.
            options.tty = is_terminal(&found, container);
            options.wanted.stderr &= !options.tty;
            context.runtime.can_attach(&uid, container)
        }
    };
    match checked {
        Ok(()) => {}
        Err(ExecError::NotRunning { .. }) => {
            let message = format!("container not found ({container:?})");
            return text(StatusCode::INTERNAL_SERVER_ERROR, message);
        }
        Err(error @ ExecError::Wasm { .. }) => {
            return text(StatusCode::BAD_REQUEST, chain(&error));
        }
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, chain(&error)),
    }
    let (response, protocol) = match negotiate(request.headers(), &SUPPORTED) {
        Ok(negotiated) => negotiated,
        Err(refusal) => return *refusal,
    };
    let subject = Subject { uid, container: container.to_owned() };
    let upgrade = hyper::upgrade::on(request);
    let (served, stop) = (Arc::clone(context), context.shutdown.clone());
    context.tracker.spawn(async move {
        tokio::select! {
            () = serve(verb, served, subject, options, protocol, upgrade) => {}
            () = stop.cancelled() => {}
        }
    });
    response
}

fn is_terminal(pod: &k8s_openapi::api::core::v1::Pod, name: &str) -> bool {
    containers::find(pod, name).is_some_and(|container| container.tty == Some(true))
}

async fn serve(
    verb: Verb,
    context: Arc<Context>,
    subject: Subject,
    options: Options,
    protocol: Protocol,
    upgrade: OnUpgrade,
) {
    let io = match upgrade.await {
        Ok(upgraded) => Idle::new(TokioIo::new(upgraded), idle::TIMEOUT),
        Err(error) => {
            tracing::debug!(%error, "a connection did not become a stream");
            return;
        }
    };
    match protocol {
        Protocol::WebSocket(subprotocol) => {
            let (client, channels) = client::of_websocket(&subprotocol, &options);
            tokio::join!(channels.serve(io), run(verb, &context, &subject, options, client));
        }
        Protocol::Spdy(version) => {
            client::of_spdy(io, &version, &options.clone(), async |client| {
                run(verb, &context, &subject, options, client).await;
            })
            .await;
        }
    }
}

/// The session, from the start of the process to its last words.
async fn run(
    verb: Verb,
    context: &Context,
    subject: &Subject,
    options: Options,
    mut client: Client,
) {
    client.greet().await;
    let said = match verb {
        Verb::Exec => exec(context, subject, options, &mut client).await,
        Verb::Attach => attach(context, subject, options, &mut client).await,
    };
    if let Some(outcome) = said {
        client.end(outcome).await;
    }
}

/// How it ended; `None` if the caller is gone, and then so is the process.
async fn exec(
    context: &Context,
    subject: &Subject,
    options: Options,
    client: &mut Client,
) -> Option<outcome::Outcome> {
    let spec = ExecSpec {
        command: options.command.clone(),
        streams: options.wanted,
        terminal: options.tty,
        size: None,
    };
    let mut exec = match context.runtime.exec(&subject.uid, &subject.container, spec).await {
        Ok(exec) => exec,
        Err(error) => return Some(outcome::Outcome::not_executed(&chain(&error))),
    };
    let streams = std::mem::take(&mut exec.streams);
    let (exited, error) = (CancellationToken::new(), client.error.clone());
    let ended = async {
        let waited = async {
            let code = exec.wait().await;
            exited.cancel();
            code
        };
        tokio::join!(copy::copy(streams, client, exited.clone()), waited).1
    };
    tokio::select! {
        code = ended => Some(match code {
            Ok(code) => outcome::Outcome::of_code(code, &options.command),
            Err(error) => outcome::Outcome::not_executed(&error.to_string()),
        }),
        () = error.gone() => None,
    }
}

async fn attach(
    context: &Context,
    subject: &Subject,
    options: Options,
    client: &mut Client,
) -> Option<outcome::Outcome> {
    // The output is what tells that the process has ended.
    let wanted = Wanted { stdout: true, ..options.wanted };
    let attached = context.runtime.attach(&subject.uid, &subject.container, wanted).await;
    let streams = match attached {
        Ok(streams) => streams,
        Err(error) => return Some(outcome::Outcome::not_attached(&chain(&error))),
    };
    let error = client.error.clone();
    tokio::select! {
        () = copy::copy(streams, client, CancellationToken::new()) => {
            Some(outcome::Outcome::success())
        }
        () = error.gone() => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_a_kubelet_reads_them() {
        let parsed =
            Options::parse("command=sh&command=-c&command=a+b%26&input=1&output=1&tty=1&error=1");
        let wanted = Wanted { stdin: true, stdout: true, stderr: false };
        let command = ["sh", "-c", "a b&"].map(str::to_owned).to_vec();
        assert_eq!(parsed, Ok(Options { command, wanted, tty: true }));
        let parsed = Options::parse("command=ls&error=1&output=0").unwrap();
        assert_eq!(parsed.wanted, Wanted { stderr: true, ..Wanted::default() });
        for nothing in ["command=ls", "error=1&tty=1", ""] {
            assert!(Options::parse(nothing).unwrap_err().contains("at least 1 of"), "{nothing}");
        }
    }
}
