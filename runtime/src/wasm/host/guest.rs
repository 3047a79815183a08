//! What every instance is given: arguments, environment, preopens, sockets, output.

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::config::{HostConfig, SocketPolicy};
use super::limits::Share;
use super::settings;
use super::stdio::Stdio;

/// The state of one component instance.
pub(super) struct Guest {
    pub(super) wasi: WasiCtx,
    pub(super) http: WasiHttpCtx,
    pub(super) table: ResourceTable,
    pub(super) memory: Share,
    pub(super) settings: Arc<[(String, String)]>,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

/// The state of a core module's instance.
pub(super) struct CoreGuest {
    pub(super) wasi: WasiP1Ctx,
    pub(super) memory: Share,
}

/// Everything that components are given. Command and HTTP worlds get the same: an HTTP component may
/// read its volumes and environment, a command may call out by HTTP.
///
/// # Errors
/// Only if two definitions clash, which the tests exclude.
pub(super) fn component_linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    settings::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Everything that core modules are given: preview 1 and its predecessor.
///
/// # Errors
/// As [`component_linker`].
pub(super) fn core_linker(
    engine: &wasmtime::Engine,
) -> wasmtime::Result<wasmtime::Linker<CoreGuest>> {
    let mut linker = wasmtime::Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |guest: &mut CoreGuest| &mut guest.wasi)?;
    wasmtime_wasi::p0::add_to_linker_async(&mut linker, |guest: &mut CoreGuest| &mut guest.wasi)?;
    // The engine's own refuses codes above 125, which shells reserve; a container's exit code is the
    // program's, all of it.
    linker.allow_shadowing(true);
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        linker.func_wrap(module, "proc_exit", |code: i32| -> wasmtime::Result<()> {
            Err(I32Exit(code).into())
        })?;
    }
    Ok(linker)
}

/// The part of a guest's surroundings that comes from the container's configuration.
///
/// # Errors
/// When a preopen cannot be opened; the text names it.
pub(super) fn surroundings(
    config: &HostConfig,
    args: &[String],
    stdio: &Stdio,
) -> Result<WasiCtxBuilder, String> {
    let mut builder = WasiCtx::builder();
    builder.args(args).envs(&config.env).allow_ip_name_lookup(true).allow_tcp(true).allow_udp(true);
    for preopen in &config.preopens {
        let perms = if preopen.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        builder.preopened_dir(&preopen.host, &preopen.guest, perms).map_err(|error| {
            format!("cannot open the volume at {}: {}", preopen.guest, error.root_cause())
        })?;
    }
    let (policy, stdio) = (config.sockets, stdio.clone());
    builder.socket_addr_check(move |address, purpose| {
        let allowed = permitted(policy, address, purpose);
        if !allowed {
            stdio.note(&refusal(policy, address));
        }
        Box::pin(async move { allowed })
    });
    Ok(builder)
}

/// Whether `policy` lets a program use `address` for `purpose`.
fn permitted(policy: SocketPolicy, address: SocketAddr, purpose: SocketAddrUse) -> bool {
    let SocketPolicy::Only { address: own } = policy else { return true };
    match purpose {
        // A client's socket is bound implicitly, to the wildcard address and a port of the kernel's choice.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
            address.ip() == own || (address.ip().is_unspecified() && address.port() == 0)
        }
        // By then the socket has its real address, wildcard included.
        SocketAddrUse::TcpListen => address.ip() == own,
        _ => true,
    }
}

fn refusal(policy: SocketPolicy, address: SocketAddr) -> String {
    let SocketPolicy::Only { address: own } = policy else { return String::new() };
    format!(
        "refused to bind {address}: this host runs pods without network namespaces, where every pod \
         has an address of its own in 127.0.0.0/8; bind {own} instead"
    )
}

#[cfg(test)]
mod tests;
