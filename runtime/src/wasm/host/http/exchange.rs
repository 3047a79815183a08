//! One request, one instance, one response.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpView};

use super::Server;
use super::body::{EndWithBody, GuardedBody};
use crate::wasm::host::guest::{self, Guest};
use crate::wasm::host::outcome;
use crate::wasm::host::stdio::Lines;

/// What a handler leaves in its `response-outparam`.
type Answer = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// Handles one request. Whatever the component does, there is a response.
///
/// Dropping the future (the client went away) ends the instance.
pub(super) async fn handle(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Response<GuardedBody> {
    let permit = Arc::clone(&server.free).acquire_owned().await;
    let permit = permit.expect("the semaphore is never closed");
    let line = RequestLine { method: request.method().clone(), uri: request.uri().clone() };
    let mut store = match server.store() {
        Ok(store) => store,
        Err(message) => return server.failed(&line, &message),
    };
    let (sender, receiver) = oneshot::channel::<Answer>();
    let mut http = store.data_mut().http();
    let handed_over = http.new_incoming_request(Scheme::Http, request).and_then(|request| {
        let out = http.new_response_outparam(sender)?;
        Ok((request, out))
    });
    let (incoming, out) = match handed_over {
        Ok(resources) => resources,
        // The one thing the engine insists on is an authority, which HTTP/1.0 clients may leave out.
        Err(_) => return plain(StatusCode::BAD_REQUEST, "the request names no host\n"),
    };

    let method = line.method.clone();
    let timeout = server.config.http.as_ref().and_then(|http| http.request_timeout);
    let task = server.tasks.spawn({
        let server = Arc::clone(&server);
        async move {
            // Dropped in reverse order, also when this task is aborted: the store gives back its slot in
            // the engine's pool before the permit lets the next request look for one.
            let _permit = permit;
            let _guest = server.activity.guest();
            let mut store = store;
            let called = async {
                let proxy = server.pre.instantiate_async(&mut store).await?;
                let handler = proxy.wasi_http_incoming_handler();
                handler.call_handle(&mut store, incoming, out).await
            };
            if let Err(error) = called.await {
                server.stdio.note(&format!("{line} failed: {}", outcome::story(&error)));
            }
        }
    });
    let end_with_body = EndWithBody::new(task.abort_handle());
    let answer = match timeout {
        None => receiver.await,
        Some(limit) => match tokio::time::timeout(limit, receiver).await {
            Ok(answer) => answer,
            Err(_) => return plain(StatusCode::GATEWAY_TIMEOUT, "the request took too long\n"),
        },
    };
    match answer {
        Ok(Ok(response)) => GuardedBody::wrap(response, &method, end_with_body),
        // It gave an error code instead of a response: its own decision, told to the client as one.
        Ok(Err(code)) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{code}\n")),
        // It ended without an answer; if by a trap, the task has logged it. The client is told nothing
        // of the inside.
        Err(_) => {
            end_with_body.disarm();
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the handler ended without a response\n")
        }
    }
}

impl Server {
    /// A store with everything that one instance is given.
    fn store(&self) -> Result<Store<Guest>, String> {
        let mut wasi = guest::surroundings(&self.config, &self.config.args, &self.stdio)?;
        wasi.stdout(Lines::new(Arc::clone(&self.stdio.out)))
            .stderr(Lines::new(Arc::clone(&self.stdio.err)));
        let state = Guest {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            memory: self.budget.share(),
            settings: Arc::clone(&self.settings),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|guest| &mut guest.memory);
        self.activity.attach(&mut store);
        Ok(store)
    }

    fn failed(&self, line: &RequestLine, message: &str) -> Response<GuardedBody> {
        self.stdio.note(&format!("{line} failed: {message}"));
        plain(StatusCode::INTERNAL_SERVER_ERROR, "the handler could not be started\n")
    }
}

/// What the log says of a request.
struct RequestLine {
    method: Method,
    uri: http::Uri,
}

impl std::fmt::Display for RequestLine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.method, self.uri.path())
    }
}

/// An answer of the host's own.
fn plain(status: StatusCode, text: &str) -> Response<GuardedBody> {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes()));
    let mut response = Response::new(GuardedBody::free(
        body.map_err(|never: std::convert::Infallible| match never {}).boxed_unsync(),
    ));
    *response.status_mut() = status;
    response
}
