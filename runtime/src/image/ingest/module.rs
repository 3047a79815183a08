//! A Wasm module in the store: inspected, and compiled before the image counts as pulled.

use std::path::PathBuf;
use std::sync::Arc;

use super::assemble::not_wasm;
use super::fetch::Ingest;
use super::progress::Phase;
use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::image::model::ImageConfig;
use crate::image::sniff::{Content as Format, sniff_file};
use crate::image::store::Inner;
use crate::image::store::records::Content;
use crate::wasm::{self, Inspection, ModuleKind, World};

impl Ingest {
    /// Makes the blob `digest` runnable. Spin modules are refused at once if they need Spin itself.
    pub(super) async fn module(
        &self,
        digest: Digest,
        config: &ImageConfig,
        spin: bool,
    ) -> Result<Content, ImageError> {
        let path = self.store.disk.blob(&digest);
        let function = selected_function(config);
        let world = self
            .blocking(move |_, name| {
                let subject = format!("the module in image {name:?}");
                let inspection = inspect(&path, subject.clone())?;
                if spin {
                    only_wasi(name, &inspection)?;
                }
                world(subject, &inspection, function.as_deref())
            })
            .await?;
        self.report.phase(Phase::Compiling);
        self.store.compile(&digest, &self.reference).await?;
        Ok(Content::Wasm { module: digest, world })
    }
}

impl Inner {
    /// The module's machine code for this very engine; quick when it is in the cache.
    pub(crate) async fn compile(
        &self,
        module: &Digest,
        reference: &str,
    ) -> Result<PathBuf, ImageError> {
        let (path, cache) = (self.disk.blob(module), self.disk.compiled());
        wasm::cache::ensure_compiled(&path, &module.to_string(), &cache, &self.executable)
            .await
            .map_err(|source| ImageError::Compile {
                subject: format!("the module in image {reference:?}"),
                source: Arc::new(source),
            })
    }
}

/// Reads imports, exports and world; says what the file is when it is no Wasm.
pub(super) fn inspect(path: &std::path::Path, subject: String) -> Result<Inspection, ImageError> {
    let format =
        sniff_file(path).map_err(|source| ImageError::storage("read", &subject, path, source))?;
    if format != Format::Wasm {
        return Err(not_wasm(subject, format));
    }
    wasm::inspect(path).map_err(|source| match source {
        wasm::InspectError::Precompiled => ImageError::Precompiled { subject },
        source => ImageError::Inspect { subject, source: Arc::new(source) },
    })
}

/// A core module without `_start` may still be started with `#func`, which the pod may say later.
fn world(
    subject: String,
    inspection: &Inspection,
    function: Option<&str>,
) -> Result<World, ImageError> {
    match inspection.runnable(function) {
        Ok(world) => Ok(world),
        Err(wasm::Refusal::NoEntryPoint(_)) if inspection.kind == ModuleKind::Core => {
            Ok(World::WasiP1Command)
        }
        Err(source) => Err(ImageError::Refused { subject, source }),
    }
}

fn only_wasi(reference: &str, inspection: &Inspection) -> Result<(), ImageError> {
    let missing = wasm::missing_imports(inspection);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(ImageError::Spin {
        reference: reference.to_owned(),
        reason: format!("it imports {}", names.join(", ")),
    })
}

/// `#func` at the end of the entrypoint selects an export.
fn selected_function(config: &ImageConfig) -> Option<String> {
    let first = config.entrypoint.first().or(config.cmd.first())?;
    Some(first.split_once('#')?.1.to_owned())
}
