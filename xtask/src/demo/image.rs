//! One-layer OCI image layouts, the demo's around one static program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::step;

/// Compiles the demo's native program and packs it as an OCI layout folder named `reference`.
pub(crate) fn build_neighbour(folder: &Path, reference: &str) -> Result<PathBuf> {
    let program = folder.join("neighbour");
    compile(&step::root().join("fixtures/native/neighbour.rs"), &program)?;
    let layout = folder.join("neighbour-image");
    let process = json!({"Entrypoint": ["/neighbour"], "User": "65534:65534", "WorkingDir": "/"});
    write_layout(&layout, &layer(&program)?, &process, reference)?;
    Ok(layout)
}

fn compile(source: &Path, program: &Path) -> Result<()> {
    let output = Command::new("rustc")
        .args(["--edition=2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols"])
        .arg("-o")
        .args([program, source])
        .output()
        .context("run rustc")?;
    ensure!(output.status.success(), "rustc: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Writes the files of the OCI image layout specification: `oci-layout`, `index.json`, `blobs/sha256/*`.
/// `layer` is a tar archive, `process` the field `config` of the image's configuration.
pub(crate) fn write_layout(
    layout: &Path,
    layer: &[u8],
    process: &Value,
    reference: &str,
) -> Result<()> {
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    });
    let config =
        store(layout, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let layer = store(layout, "application/vnd.oci.image.layer.v1.tar", layer)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    });
    let mut manifest = store(
        layout,
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().as_bytes(),
    )?;
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": reference});
    fs::write(
        layout.join("index.json"),
        json!({"schemaVersion": 2, "manifests": [manifest]}).to_string(),
    )?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(())
}

/// A reproducible tar with the program as `/neighbour`.
fn layer(program: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "neighbour", bytes.as_slice())?;
    Ok(archive.into_inner()?)
}

fn store(layout: &Path, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let digest = digest(bytes);
    let hex = digest.trim_start_matches("sha256:");
    fs::write(layout.join("blobs/sha256").join(hex), bytes)?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
