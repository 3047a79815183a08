//! Pushing a `.wasm` file as a CNCF Wasm OCI artifact.
//!
//! Source: the CNCF TAG Runtime's "Wasm OCI Artifact layout". Nothing in it depends on time or
//! machine, so the same file always has the same digest.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::fetch::registry_error;
use super::module::inspect;
use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::image::manifest::{Descriptor, Manifest, OCI_MANIFEST, WASM_CONFIG, WASM_LAYER};
use crate::image::registry::{Credentials, Session};
use crate::image::store::{ImageStore, parse};
use crate::wasm::{Inspection, ModuleKind};

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Who pushes; anonymous if `None`.
    pub credentials: Option<Credentials>,
}

/// A Wasm file as an artifact: its blobs and the manifest that names them.
pub(super) struct Artifact {
    pub(super) config: (Digest, Bytes),
    pub(super) module: (Digest, Bytes),
    pub(super) manifest: Bytes,
}

impl ImageStore {
    /// Pushes the module or component in `file` to `reference`; gives the manifest's digest.
    ///
    /// The local store is not touched.
    ///
    /// # Errors
    ///
    /// [`ImageError::NotWasm`] and its relatives when the file is not Wasm, else
    /// [`ImageError::Registry`].
    pub async fn push_wasm(
        &self,
        file: &Path,
        reference: &str,
        options: PushOptions,
    ) -> Result<String, ImageError> {
        let reference = parse(reference)?;
        let name = reference.to_string();
        let path = file.to_owned();
        let made = tokio::task::spawn_blocking(move || artifact(&path)).await;
        let artifact =
            made.unwrap_or_else(|_| Err(ImageError::Interrupted { reference: name.clone() }))?;
        let session = Session::push(self.inner.http.clone(), reference, options.credentials);
        let failed = |source| registry_error("push", &name, source);
        for (digest, bytes) in [artifact.module, artifact.config] {
            session.upload(&digest, bytes).await.map_err(failed)?;
        }
        let digest = Digest::of(&artifact.manifest);
        session.put_manifest(OCI_MANIFEST, artifact.manifest).await.map_err(failed)?;
        tracing::info!(image = name, %digest, "module pushed");
        Ok(digest.to_string())
    }
}

/// Makes the artifact of the file at `path`. Blocking.
pub(super) fn artifact(path: &Path) -> Result<Artifact, ImageError> {
    let subject = path.display().to_string();
    let inspection = inspect(path, subject.clone())?;
    let module = std::fs::read(path)
        .map_err(|source| ImageError::storage("read", &subject, path, source))?;
    let module = (Digest::of(&module), Bytes::from(module));
    let config = Bytes::from(config(&inspection, &module.0));
    let config = (Digest::of(&config), config);
    let title = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: descriptor(WASM_CONFIG, &config, BTreeMap::new()),
        layers: vec![descriptor(
            WASM_LAYER,
            &module,
            BTreeMap::from([("org.opencontainers.image.title".to_owned(), title)]),
        )],
        annotations: BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest)
        .map_err(|error| ImageError::malformed(&subject, "manifest", error))?;
    Ok(Artifact { config, module, manifest: Bytes::from(manifest) })
}

fn descriptor(
    media_type: &str,
    (digest, bytes): &(Digest, Bytes),
    annotations: BTreeMap<String, String>,
) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest.clone(),
        size: bytes.len() as u64,
        platform: None,
        artifact_type: None,
        annotations,
    }
}

fn config(inspection: &Inspection, module: &Digest) -> Vec<u8> {
    let os = match (inspection.world, inspection.kind) {
        (Some(world), _) => world.oci_os(),
        (None, ModuleKind::Core) => "wasip1",
        (None, ModuleKind::Component) => "wasip2",
    };
    let mut config = serde_json::json!({
        "architecture": "wasm",
        "os": os,
        "layerDigests": [module.to_string()],
    });
    if inspection.kind == ModuleKind::Component {
        // Interfaces, each once; which of their functions are used is nobody's business here.
        let mut imports: Vec<&str> =
            inspection.imports.iter().map(|import| import.from.as_str()).collect();
        imports.dedup();
        config["component"] = serde_json::json!({
            "exports": inspection.exports,
            "imports": imports,
            "target": serde_json::Value::Null,
        });
    }
    config.to_string().into_bytes()
}
