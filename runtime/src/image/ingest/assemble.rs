//! From a manifest to a record: fetch what it names, find out what it is.

use std::sync::Arc;

use futures_util::future::try_join_all;
use jiff::Timestamp;

use super::fetch::{Fetched, Ingest};
use super::program;
use super::progress::Phase;
use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::image::manifest::platform::wanted;
use crate::image::manifest::{ConfigFile, Descriptor, Manifest, SPIN_CONFIG, spin};
use crate::image::model::ImageConfig;
use crate::image::sniff::Content as Format;
use crate::image::store::records::{Content, Record};

/// What the manifest and config say an image is, before its content is seen.
#[derive(Debug, PartialEq, Eq)]
enum Packaging<'a> {
    /// A blob that is the Wasm module, and whether Spin made it.
    Artifact { module: &'a Descriptor, spin: bool },
    /// Tars upon tars; what they hold will show.
    Layers,
}

/// Decides by media types alone. The error is the reason to refuse.
fn packaging<'a>(manifest: &'a Manifest, config: &[u8]) -> Result<Packaging<'a>, String> {
    if manifest.config.media_type == SPIN_CONFIG {
        let module = spin::program(config, &manifest.layers)?;
        return Ok(Packaging::Artifact { module, spin: true });
    }
    let modules: Vec<_> = manifest.layers.iter().filter(|layer| layer.is_module()).collect();
    match (modules.as_slice(), manifest.layers.len()) {
        ([], 0) => Err("it has no layers".to_owned()),
        ([], _) => Ok(Packaging::Layers),
        ([module], _) => Ok(Packaging::Artifact { module, spin: false }),
        (several, _) => Err(format!("it has {} Wasm layers; one is expected", several.len())),
    }
}

/// Brings in everything that `manifest` names. The caller writes the record.
pub(super) async fn assemble(
    ingest: &Arc<Ingest>,
    bytes: &[u8],
    manifest: &Manifest,
    index: Option<&[u8]>,
) -> Result<Record, ImageError> {
    // A registry may claim any size.
    let size = manifest
        .layers
        .iter()
        .fold(manifest.config.size, |size, layer| size.saturating_add(layer.size));
    ingest.report.total(size);
    ingest.report.phase(Phase::Downloading);
    let (digest, index_digest) = keep_documents(ingest, bytes, index).await?;
    let config_bytes = ingest.document(&manifest.config).await?;
    let reference = &ingest.reference;
    let file = ConfigFile::parse(&config_bytes)
        .map_err(|reason| ImageError::malformed(reference, "config", reason))?;
    let spin_artifact = manifest.config.media_type == SPIN_CONFIG;
    let packaging = packaging(manifest, &config_bytes).map_err(|reason| {
        if spin_artifact {
            ImageError::Spin { reference: reference.clone(), reason }
        } else {
            ImageError::malformed(reference, "manifest", reason)
        }
    })?;
    let mut config = file.execution();
    let content = match packaging {
        Packaging::Artifact { module, spin } => {
            if config.entrypoint.is_empty() {
                config.entrypoint = vec![module_name(reference, module)];
            }
            ingest.blob(module).await?;
            ingest.module(module.digest.clone(), &config, spin).await?
        }
        Packaging::Layers => layered(ingest, manifest, &file, &mut config).await?,
    };
    let mut blobs = vec![digest.clone(), manifest.config.digest.clone()];
    blobs.extend(index_digest.clone());
    Ok(Record {
        digest,
        index_digest,
        size,
        created: file.created(),
        added: Timestamp::now(),
        platform: file.platform().to_string(),
        config,
        content,
        blobs,
    })
}

async fn keep_documents(
    ingest: &Ingest,
    manifest: &[u8],
    index: Option<&[u8]>,
) -> Result<(Digest, Option<Digest>), ImageError> {
    let (manifest, index) = (manifest.to_vec(), index.map(<[u8]>::to_vec));
    ingest
        .blocking(move |store, name| {
            let put = |bytes: &[u8]| {
                let blobs = store.disk.blobs();
                store
                    .disk
                    .put_blob(bytes)
                    .map_err(|source| ImageError::storage("write", name, &blobs, source))
            };
            Ok((put(&manifest)?, index.as_deref().map(put).transpose()?))
        })
        .await
}

/// Unpacks the layers and looks whether the program they hold is Wasm.
async fn layered(
    ingest: &Arc<Ingest>,
    manifest: &Manifest,
    file: &ConfigFile,
    config: &mut ImageConfig,
) -> Result<Content, ImageError> {
    let reference = &ingest.reference;
    let platform = file.platform();
    let labelled = platform.os.is_empty() && platform.architecture.is_empty();
    // Some builders label Wasm with the platform they ran on; the name of the program gives it away.
    let runs = platform.is_native() || platform.is_wasm() || labelled || program::is_named(config);
    if !runs {
        return Err(ImageError::NoPlatform {
            reference: reference.clone(),
            wanted: wanted(),
            found: vec![platform.to_string()],
        });
    }
    if let ([only], []) = (manifest.layers.as_slice(), file.diff_ids()) {
        // No diff id means that nobody claims it is a tar.
        ingest.blob(only).await?;
        if config.entrypoint.is_empty() {
            config.entrypoint = vec![module_name(reference, only)];
        }
        return ingest.module(only.digest.clone(), config, false).await;
    }
    let (layers, ids) = (&manifest.layers, file.diff_ids());
    if layers.len() != ids.len() {
        let reason = format!("{} layers but {} diff_ids", layers.len(), ids.len());
        return Err(ImageError::malformed(reference, "config", reason));
    }
    let fetched = try_join_all(layers.iter().zip(ids).map(|(layer, id)| {
        let work = ingest.clone().layer(layer.clone(), id.clone());
        ingest.store.layers.join(id.clone(), move || (work, ())).0
    }))
    .await?;
    if let ([Fetched::Module], [only]) = (fetched.as_slice(), layers.as_slice()) {
        if config.entrypoint.is_empty() {
            config.entrypoint = vec![module_name(reference, only)];
        }
        return ingest.module(only.digest.clone(), config, false).await;
    }
    if fetched.contains(&Fetched::Module) {
        let reason = "it mixes Wasm files and file system layers";
        return Err(ImageError::malformed(reference, "manifest", reason));
    }
    let stack = without_repeats(ids);
    if let Some(module) = program::find(ingest, &stack, config).await? {
        return ingest.module(module, config, false).await;
    }
    if !(platform.is_native() || labelled) {
        let found = format!("{} is not WebAssembly", platform);
        return Err(ImageError::malformed(
            reference,
            "config",
            format!("the program of this {found}"),
        ));
    }
    Ok(Content::Native { layers: stack })
}

/// Overlayfs refuses one directory twice. The topmost occurrence wins over all below it anyway.
fn without_repeats(ids: &[Digest]) -> Vec<Digest> {
    let mut stack: Vec<Digest> = Vec::with_capacity(ids.len());
    for id in ids.iter().rev() {
        if !stack.contains(id) {
            stack.push(id.clone());
        }
    }
    stack.reverse();
    stack
}

/// argv\[0\] of a module that came without an entrypoint.
fn module_name(reference: &str, module: &Descriptor) -> String {
    let title = module.annotations.get("org.opencontainers.image.title");
    match title.and_then(|title| title.rsplit('/').next()).filter(|title| !title.is_empty()) {
        Some(title) => title.to_owned(),
        None => {
            let path = reference.split('@').next().unwrap_or_default();
            let last = path.rsplit('/').next().unwrap_or_default();
            format!("{}.wasm", last.split(':').next().unwrap_or_default())
        }
    }
}

/// For error texts of things that should be Wasm.
pub(super) fn not_wasm(subject: String, found: Format) -> ImageError {
    match found {
        Format::Elf => ImageError::Precompiled { subject },
        found => ImageError::NotWasm { subject, found: found.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(config: &str, layers: &[&str]) -> Manifest {
        let descriptor = |media: &str| {
            serde_json::json!({"mediaType": media, "digest": Digest::of(media.as_bytes()).to_string(),
                "size": 1})
        };
        serde_json::from_value(serde_json::json!({"schemaVersion": 2, "config": descriptor(config),
            "layers": layers.iter().map(|media| descriptor(media)).collect::<Vec<_>>()}))
        .unwrap()
    }

    #[test]
    fn packagings() {
        let oci = "application/vnd.oci.image.config.v1+json";
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        for (config, layers, artifact) in [
            ("application/vnd.wasm.config.v0+json", vec!["application/wasm"], Some(0)),
            (oci, vec!["application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"], Some(0)),
            ("x", vec!["application/vnd.module.wasm.content.layer.v1+wasm"], Some(0)),
            ("x", vec!["application/json", "application/vnd.wasm.content.layer.v1+wasm"], Some(1)),
            (oci, vec![tar, tar], None),
            (oci, vec!["application/octet-stream"], None),
        ] {
            let manifest = manifest(config, &layers);
            let expected = match artifact {
                Some(at) => Packaging::Artifact { module: &manifest.layers[at], spin: false },
                None => Packaging::Layers,
            };
            assert_eq!(packaging(&manifest, b"{}"), Ok(expected), "{config} {layers:?}");
        }
        assert!(packaging(&manifest(oci, &[]), b"{}").is_err());
        let two = manifest(oci, &["application/wasm", "application/wasm"]);
        assert!(packaging(&two, b"{}").unwrap_err().contains("2 Wasm layers"));
    }

    #[test]
    fn repeated_layers_count_once_at_their_highest_place() {
        let id = |text: &str| Digest::of(text.as_bytes());
        let stack = without_repeats(&[id("a"), id("b"), id("a"), id("c")]);
        assert_eq!(stack, [id("b"), id("a"), id("c")]);
    }

    #[test]
    fn modules_are_named_after_file_or_image() {
        let mut module = manifest("x", &["application/wasm"]).layers.remove(0);
        assert_eq!(module_name("localhost:5000/a/hello:v1", &module), "hello.wasm");
        assert_eq!(module_name(&format!("r.io/x@{}", module.digest), &module), "x.wasm");
        module.annotations.insert("org.opencontainers.image.title".into(), "out/app.wasm".into());
        assert_eq!(module_name("localhost:5000/a/hello:v1", &module), "app.wasm");
    }
}
