//! What a file is, read from its bytes alone: nothing is compiled and nothing is executed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wasmparser::component_types::ComponentEntityType;
use wasmparser::{
    ComponentExternalKind, Encoding, ExternalKind, Parser, Payload, ValidPayload, Validator,
    WasmFeatures,
};
use wasmtime::Engine;

/// Core module or component: the two layers of the WebAssembly binary format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleKind {
    /// A core module (binary format version 1).
    Core,
    /// A component of the component model.
    Component,
}

/// What a module expects of its host and what the host calls in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// A core module with `_start`, importing `wasi_snapshot_preview1` (or its predecessor).
    WasiP1Command,
    /// A component that exports `wasi:cli/run@0.2`.
    CliCommand,
    /// A component that exports `wasi:http/incoming-handler@0.2`.
    HttpProxy,
    /// A component that exports `wasi:cli/run@0.3`; recognised, and refused for now.
    CliCommandP3,
    /// A component that exports `wasi:http/handler@0.3`; recognised, and refused for now.
    HttpServiceP3,
}

impl World {
    /// Every world that containers may be of, on any host.
    pub const RUN: [World; 3] = [Self::WasiP1Command, Self::CliCommand, Self::HttpProxy];

    /// The world in one word that may be part of a label: `http-proxy-0.2`.
    pub fn word(self) -> &'static str {
        match self {
            Self::WasiP1Command => "wasip1-command",
            Self::CliCommand => "cli-command-0.2",
            Self::HttpProxy => "http-proxy-0.2",
            Self::CliCommandP3 => "cli-command-0.3",
            Self::HttpServiceP3 => "http-service-0.3",
        }
    }

    /// Whether containers of this world listen for HTTP requests instead of running to an end.
    pub fn serves_http(self) -> bool {
        matches!(self, Self::HttpProxy | Self::HttpServiceP3)
    }

    /// The layer of the binary format that programs of this world are written in.
    pub fn kind(self) -> ModuleKind {
        match self {
            Self::WasiP1Command => ModuleKind::Core,
            _ => ModuleKind::Component,
        }
    }

    /// The `os` of an OCI image configuration for this world.
    pub fn oci_os(self) -> &'static str {
        match self {
            Self::WasiP1Command => "wasip1",
            Self::CliCommand | Self::HttpProxy => "wasip2",
            Self::CliCommandP3 | Self::HttpServiceP3 => "wasip3",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::WasiP1Command => "WASI preview 1 command",
            Self::CliCommand => "wasi:cli/command@0.2",
            Self::HttpProxy => "wasi:http/proxy@0.2",
            Self::CliCommandP3 => "wasi:cli/command@0.3",
            Self::HttpServiceP3 => "wasi:http/service@0.3",
        })
    }
}

/// One thing a module wants from its host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Import {
    /// The module (core) or interface (`wasi:cli/environment@0.2.3`) it is imported from; for a
    /// component's import outside any interface, that import's name.
    pub from: String,
    /// The item: a core import's field, or a function or resource of the interface.
    pub item: Option<String>,
}

impl fmt::Display for Import {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            Some(item) => write!(out, "{}#{item}", self.from),
            None => out.write_str(&self.from),
        }
    }
}

/// What [`inspect`] found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// Core module or component.
    pub kind: ModuleKind,
    /// The world it was built for; `None` for a library (no entry point that Wharf knows).
    pub world: Option<World>,
    /// Functions, resources and other items that the host must provide, in the file's order.
    /// Interfaces that only carry types need no provider and are left out.
    pub imports: Vec<Import>,
    /// Names of the exports (of a component: interfaces and functions), in the file's order.
    pub exports: Vec<String>,
}

/// Why a module that is well formed is nevertheless not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing in it can be started.
    #[error(
        "the {0} has no entry point: a core module needs an exported function `_start` (or `#func` in \
         the command), a component must export wasi:cli/run or wasi:http/incoming-handler"
    )]
    NoEntryPoint(&'static str),
    /// WASI 0.3, which the engine still calls experimental.
    #[error("{0} is WASI 0.3, which is still experimental and not enabled")]
    Experimental(World),
}

impl Inspection {
    /// The world to run this module in, or why it is not run.
    ///
    /// `function` is the export selected by `#func` in the container's command, if one was.
    ///
    /// # Errors
    /// [`Refusal`] when the module has no entry point or needs an experimental world.
    pub fn runnable(&self, function: Option<&str>) -> Result<World, Refusal> {
        match (self.world, self.kind) {
            (Some(world), _) if !World::RUN.contains(&world) => Err(Refusal::Experimental(world)),
            (Some(world), _) => Ok(world),
            (None, ModuleKind::Core) if function.is_some() => Ok(World::WasiP1Command),
            (None, ModuleKind::Core) => Err(Refusal::NoEntryPoint("module")),
            (None, ModuleKind::Component) => Err(Refusal::NoEntryPoint("component")),
        }
    }
}

/// Why a file could not be read as Wasm.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Not the magic number `\0asm`.
    #[error("not WebAssembly: expected the file to start with `\\0asm`, found {found}")]
    NotWasm {
        /// What the first bytes look like.
        found: String,
    },
    /// Native code made by some wasmtime. It is never executed: nobody can verify it.
    #[error(
        "precompiled native code is refused: ship the .wasm it was made from, Wharf compiles it itself"
    )]
    Precompiled,
    /// It starts like Wasm, but is not well formed.
    #[error("malformed WebAssembly at byte {offset}: {message}")]
    Malformed {
        /// Position in the file.
        offset: usize,
        /// What is wrong there.
        message: String,
    },
}

/// Reads the file at `path`; see [`inspect_bytes`].
///
/// Blocking and CPU-bound (tens of milliseconds for 20 MB): call it through `spawn_blocking`.
///
/// # Errors
/// As [`inspect_bytes`], and [`InspectError::Read`].
pub fn inspect(path: &Path) -> Result<Inspection, InspectError> {
    let bytes =
        fs::read(path).map_err(|source| InspectError::Read { path: path.to_path_buf(), source })?;
    inspect_bytes(&bytes)
}

/// Finds out what `bytes` are: kind, world, imports and exports.
///
/// Types and sections are validated; function bodies are not (compiling does that).
///
/// # Errors
/// [`InspectError`] unless `bytes` are a well-formed core module or component.
pub fn inspect_bytes(bytes: &[u8]) -> Result<Inspection, InspectError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(match Engine::detect_precompiled(bytes) {
            Some(_) => InspectError::Precompiled,
            None => InspectError::NotWasm { found: describe(bytes) },
        });
    }
    scan(bytes).map_err(|error| InspectError::Malformed {
        offset: error.offset(),
        message: error.message().to_owned(),
    })
}

/// Walks the sections. Nested modules and components are validated but their imports are not the host's.
fn scan(bytes: &[u8]) -> Result<Inspection, wasmparser::BinaryReaderError> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut kind = ModuleKind::Core;
    let mut depth = 0_u32;
    let mut imports = Vec::new();
    let mut component_imports = Vec::new();
    let mut exports = Vec::new();
    let mut functions = BTreeMap::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match &payload {
            Payload::Version { encoding, .. } => {
                depth += 1;
                if depth == 1 {
                    kind = match encoding {
                        Encoding::Module => ModuleKind::Core,
                        Encoding::Component => ModuleKind::Component,
                    };
                }
            }
            Payload::ImportSection(section) if depth == 1 => {
                for import in section.clone().into_imports() {
                    let import = import?;
                    imports.push(Import {
                        from: import.module.to_owned(),
                        item: Some(import.name.to_owned()),
                    });
                }
            }
            Payload::ExportSection(section) if depth == 1 => {
                for export in section.clone() {
                    let export = export?;
                    functions.insert(export.name.to_owned(), export.kind == ExternalKind::Func);
                    exports.push(export.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section.clone() {
                    component_imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section.clone() {
                    let export = export?;
                    if export.kind != ComponentExternalKind::Type {
                        exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::End(_) => depth -= 1,
            _ => {}
        }
        if let ValidPayload::End(types) = validator.payload(&payload)?
            && depth == 0
        {
            for name in component_imports.drain(..) {
                component_import(&types, name, &mut imports);
            }
        }
    }
    let world = match kind {
        ModuleKind::Core => {
            (functions.get("_start") == Some(&true)).then_some(World::WasiP1Command)
        }
        ModuleKind::Component => component_world(&exports),
    };
    Ok(Inspection { kind, world, imports, exports })
}

/// Lists what a component's import called `name` demands of the host; a type alone demands nothing.
fn component_import(types: &wasmparser::types::Types, name: String, imports: &mut Vec<Import>) {
    let types = types.as_ref();
    match types.component_item_for_import(&name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(instance)) => {
            for (item, description) in &types[instance].exports {
                let demanded = match &description.ty {
                    ComponentEntityType::Type { created, .. } => is_resource(created),
                    _ => true,
                };
                if demanded {
                    imports.push(Import { from: name.clone(), item: Some(item.clone()) });
                }
            }
        }
        Some(ComponentEntityType::Type { created, .. }) if !is_resource(&created) => {}
        _ => imports.push(Import { from: name, item: None }),
    }
}

fn is_resource(of: &wasmparser::component_types::ComponentAnyTypeId) -> bool {
    matches!(of, wasmparser::component_types::ComponentAnyTypeId::Resource(_))
}

/// HTTP wins over a command when a component offers both: serving is what its image is deployed for.
fn component_world(exports: &[String]) -> Option<World> {
    const WORLDS: [(&str, &str, World); 4] = [
        ("wasi:http/incoming-handler", "0.2.", World::HttpProxy),
        ("wasi:http/handler", "0.3.", World::HttpServiceP3),
        ("wasi:cli/run", "0.2.", World::CliCommand),
        ("wasi:cli/run", "0.3.", World::CliCommandP3),
    ];
    WORLDS.into_iter().find_map(|(interface, series, world)| {
        exports
            .iter()
            .filter_map(|export| export.split_once('@'))
            .any(|(name, version)| name == interface && version.starts_with(series))
            .then_some(world)
    })
}

/// Says what a file looks like, for people who pushed the wrong one.
fn describe(bytes: &[u8]) -> String {
    let known = match bytes {
        [] => "an empty file",
        [0x7f, b'E', b'L', b'F', ..] => "an ELF file (native code)",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "a zstd archive",
        [b'#', b'!', ..] => "a script",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [b'(', b'm' | b'c', ..] => "WebAssembly text (compile it to binary first)",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let head: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("bytes {}", head.join(" "))
}

#[cfg(test)]
mod tests;
