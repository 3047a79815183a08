//! A whole request at a whole API server: method, path and query, headers, body. Whatever it is, the
//! answer is no 500, and refusals are Status objects. See `apiserver/tests/requests/checks.rs`.
#![no_main]

#[path = "../../apiserver/tests/requests/checks.rs"]
mod checks;

use std::sync::LazyLock;

struct Running {
    runtime: tokio::runtime::Runtime,
    server: checks::Server,
}

static RUNNING: LazyLock<Running> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = runtime.block_on(checks::Server::start());
    Running { runtime, server }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = checks::Request::read(bytes) {
        RUNNING.runtime.block_on(RUNNING.server.check(request));
    }
});
