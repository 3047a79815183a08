//! `wasi:config/store`: the container's environment, for components that ask for it by that name.
//!
//! Source: <https://github.com/WebAssembly/wasi-runtime-config>, version 0.2.0-rc.1.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::guest::Guest;
use crate::wasm::provided::CONFIG_STORE;

/// The interface's `error`. Reading the environment cannot fail, but the type must be the interface's.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Get = (Result<Option<String>, Error>,);
type GetAll = (Result<Vec<(String, String)>, Error>,);

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut store = linker.instance(CONFIG_STORE)?;
    store.func_wrap("get", |store: StoreContextMut<'_, Guest>, (key,): (String,)| {
        // The last one wins, as in the environment of a native container.
        let found = store.data().settings.iter().rev().find(|(name, _)| *name == key);
        let answer: Get = (Ok(found.map(|(_, value)| value.clone())),);
        Ok(answer)
    })?;
    store.func_wrap("get-all", |store: StoreContextMut<'_, Guest>, (): ()| {
        let answer: GetAll = (Ok(store.data().settings.to_vec()),);
        Ok(answer)
    })?;
    Ok(())
}
