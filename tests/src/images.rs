//! Real images, made with Debian's umoci and skopeo, and what those tools cannot make, by hand.
//!
//! Everything is built in an OCI layout of the test's own and pushed byte by byte to a
//! [`crate::registry::Registry`], so that digests are known and nothing is repaired on the way.

pub mod debian;
mod tree;
mod upload;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{busybox, program};

pub use tree::tree;

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// An OCI layout in a temporary folder.
#[derive(Debug)]
pub struct Layout {
    folder: TempDir,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By `gzip`.
    Gzip,
    /// By `zstd`.
    Zstd,
}

impl Layout {
    /// An empty layout.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wharf-layout-").tempdir()?;
        let layout = Self { folder };
        run("umoci", &["init", "--layout", &text(&layout.path())])?;
        Ok(layout)
    }

    /// The layout's folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("layout")
    }

    /// `tag`: busybox in one gzip layer, command `/bin/sh`.
    pub fn busybox(&self, tag: &str) -> Result<()> {
        self.build(tag, busybox::rootfs)?;
        self.configure(tag, &["--config.cmd", "/bin/sh"])
    }

    /// `tag`: an image from scratch whose one layer is what `fill` puts into its root.
    pub fn build(&self, tag: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        run("umoci", &["new", "--image", &self.image(tag)])?;
        self.layer(tag, fill)
    }

    /// Adds the changes that `change` makes to the image's root as a further layer.
    pub fn layer(&self, tag: &str, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let bundle = tempfile::Builder::new().prefix("wharf-bundle-").tempdir()?;
        let bundle = bundle.path().join("bundle");
        run("umoci", &["unpack", "--image", &self.image(tag), &text(&bundle)])?;
        change(&bundle.join("rootfs"))?;
        run("umoci", &["repack", "--image", &self.image(tag), &text(&bundle)])
    }

    /// `tag`: busybox with everything a layer can hold, in three layers made by umoci and a fourth
    /// with an opaque directory. The user is `app`, the environment has `GREETING=hello`.
    pub fn everything(&self, tag: &str) -> Result<()> {
        self.busybox(tag)?;
        self.layer(tag, |root| {
            for folder in ["data/opaque", "data/gone", "data/kept"] {
                fs::create_dir_all(root.join(folder))?;
                fs::write(root.join(folder).join("old"), folder)?;
            }
            fs::write(root.join("data/first"), "linked")?;
            fs::hard_link(root.join("data/first"), root.join("data/second"))?;
            fs::write(root.join("data/removed"), "removed by the next layer")?;
            fs::write(root.join("data/replaced"), "old")?;
            fs::copy(root.join("bin/busybox"), root.join("data/setuid"))?;
            fs::set_permissions(root.join("data/setuid"), fs::Permissions::from_mode(0o4755))?;
            fs::copy(root.join("bin/busybox"), root.join("data/capable"))?;
            run("setcap", &["cap_dac_override,cap_fowner+ep", &text(&root.join("data/capable"))])?;
            fs::write(root.join("data/noted"), "with an attribute")?;
            run(
                "setfattr",
                &["-n", "user.note", "-v", "worth it", &text(&root.join("data/noted"))],
            )?;
            run("mkfifo", &["-m", "0640", &text(&root.join("data/fifo"))])?;
            run("mknod", &["-m", "0666", &text(&root.join("data/null")), "c", "1", "3"])?;
            fs::write(root.join("home/app/mine"), "mine")?;
            chown(root.join("home/app"), Some(1000), Some(1000))?;
            chown(root.join("home/app/mine"), Some(1000), Some(2000))?;
            std::os::unix::fs::symlink("../bin/busybox", root.join("data/link"))?;
            Ok(())
        })?;
        self.layer(tag, |root| {
            fs::remove_file(root.join("data/removed"))?;
            fs::remove_dir_all(root.join("data/gone"))?;
            fs::remove_file(root.join("data/replaced"))?;
            fs::create_dir(root.join("data/replaced"))?;
            fs::write(root.join("data/replaced/new"), "a directory now")?;
            Ok(())
        })?;
        self.opaque_layer(tag)?;
        self.configure(tag, &["--config.user", "app", "--config.env", "GREETING=hello"])
    }

    /// umoci never writes opaque whiteouts.
    fn opaque_layer(&self, tag: &str) -> Result<()> {
        let temp = tempfile::tempdir()?;
        fs::create_dir_all(temp.path().join("data/opaque"))?;
        fs::write(temp.path().join("data/opaque/.wh..wh..opq"), "")?;
        fs::write(temp.path().join("data/opaque/new"), "new")?;
        let tar = temp.path().join("layer.tar");
        let folder = text(temp.path());
        run("tar", &["--numeric-owner", "-C", &folder, "-cf", &text(&tar), "data/opaque"])?;
        self.add_tar(tag, &tar)
    }

    /// Adds a tar as it is as a further layer.
    pub fn add_tar(&self, tag: &str, tar: &Path) -> Result<()> {
        run("umoci", &["raw", "add-layer", "--image", &self.image(tag), &text(tar)])
    }

    /// Changes the image's config; `arguments` as for `umoci config`.
    pub fn configure(&self, tag: &str, arguments: &[&str]) -> Result<()> {
        let image = self.image(tag);
        let mut all = vec!["config", "--image", &image];
        all.extend(arguments);
        run("umoci", &all)
    }

    /// Unpacks the image with umoci and gives the root's path below `folder`.
    pub fn unpack(&self, tag: &str, folder: &Path) -> Result<PathBuf> {
        let bundle = folder.join("bundle");
        run("umoci", &["unpack", "--image", &self.image(tag), &text(&bundle)])?;
        Ok(bundle.join("rootfs"))
    }

    /// `to`: the image `from` with the compression of each layer changed, the last one repeated.
    pub fn recompress(&self, from: &str, to: &str, kinds: &[Compression]) -> Result<()> {
        let mut manifest = self.manifest(from)?;
        let layers = manifest["layers"].as_array_mut().context("layers")?;
        for (at, layer) in layers.iter_mut().enumerate() {
            let kind = *kinds.get(at).or(kinds.last()).context("no compression given")?;
            let plain = self.decompressed(layer)?;
            let (bytes, suffix) = match kind {
                Compression::None => (plain, ""),
                Compression::Gzip => (filter("gzip", &["-nc"], &plain)?, "+gzip"),
                Compression::Zstd => (filter("zstd", &["-qc"], &plain)?, "+zstd"),
            };
            let media = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
            *layer = self.put(&media, &bytes)?;
        }
        self.put_manifest(to, &manifest)
    }

    fn decompressed(&self, layer: &Value) -> Result<Vec<u8>> {
        let bytes = self.blob(layer["digest"].as_str().context("digest")?)?;
        match bytes.get(..2) {
            Some([0x1f, 0x8b]) => filter("gzip", &["-dc"], &bytes),
            Some([0x28, 0xb5]) => filter("zstd", &["-dqc"], &bytes),
            _ => Ok(bytes),
        }
    }

    /// `tag`: an index of images of this layout, each with its platform (`os/architecture`).
    pub fn index(&self, tag: &str, entries: &[(&str, &str)]) -> Result<()> {
        let mut manifests = Vec::new();
        for (entry, platform) in entries {
            let mut descriptor = self.descriptor(entry)?;
            let (os, architecture) = platform.split_once('/').context("platform")?;
            descriptor["platform"] = json!({"os": os, "architecture": architecture});
            manifests.push(descriptor);
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        self.tag(tag, OCI_INDEX, &serde_json::to_vec(&index)?)
    }

    /// `tag`: an image of just these blobs, each with its media type: artifacts, and broken images.
    pub fn artifact(
        &self,
        tag: &str,
        config: (&str, &[u8]),
        layers: &[(&str, &[u8])],
    ) -> Result<()> {
        let config = self.put(config.0, config.1)?;
        let layers = layers.iter().map(|(media, bytes)| self.put(media, bytes));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        self.put_manifest(
            tag,
            &json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": config, "layers": layers}),
        )
    }

    /// The manifest of `tag`, for changing.
    pub fn manifest(&self, tag: &str) -> Result<Value> {
        let descriptor = self.descriptor(tag)?;
        let digest = descriptor["digest"].as_str().context("digest")?.to_owned();
        Ok(serde_json::from_slice(&self.blob(&digest)?)?)
    }

    /// `tag` gets this manifest.
    pub fn put_manifest(&self, tag: &str, manifest: &Value) -> Result<()> {
        self.tag(tag, OCI_MANIFEST, &serde_json::to_vec(manifest)?)
    }

    /// The digest of what `tag` points to.
    pub fn digest(&self, tag: &str) -> Result<String> {
        Ok(self.descriptor(tag)?["digest"].as_str().context("digest")?.to_owned())
    }

    /// Stores a blob; gives its descriptor.
    pub fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = sha256(bytes)?;
        fs::write(self.blob_path(&digest), bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }

    /// A blob's bytes.
    pub fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        fs::read(self.blob_path(digest)).with_context(|| format!("read blob {digest}"))
    }

    /// Pushes what `tag` points to, an index with all its entries, exactly as it is here.
    pub fn push(&self, tag: &str, registry: &str, repository: &str, as_tag: &str) -> Result<()> {
        let descriptor = self.descriptor(tag)?;
        self.push_descriptor(&descriptor, registry, repository, as_tag)
    }

    fn push_descriptor(
        &self,
        descriptor: &Value,
        registry: &str,
        repository: &str,
        name: &str,
    ) -> Result<()> {
        let bytes = self.blob(descriptor["digest"].as_str().context("digest")?)?;
        let document: Value = serde_json::from_slice(&bytes)?;
        for entry in document["manifests"].as_array().into_iter().flatten() {
            let digest = entry["digest"].as_str().context("digest")?;
            self.push_descriptor(entry, registry, repository, digest)?;
        }
        let config = document.get("config").into_iter();
        for blob in config.chain(document["layers"].as_array().into_iter().flatten()) {
            let digest = blob["digest"].as_str().context("digest")?;
            upload::blob(registry, repository, digest, &self.blob(digest)?)?;
        }
        let media = descriptor["mediaType"].as_str().unwrap_or(OCI_MANIFEST);
        upload::manifest(registry, repository, name, media, &bytes)
    }

    /// Copies `tag` with skopeo; `to` is a skopeo name such as `docker://127.0.0.1:5000/x:y` or
    /// `docker-archive:/path:name:tag`, `arguments` further flags such as `--format v2s2`.
    pub fn copy(&self, tag: &str, to: &str, arguments: &[&str]) -> Result<()> {
        let from = format!("oci:{}", self.image(tag));
        let mut all = vec!["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"];
        all.retain(|flag| to.starts_with("docker://") || !flag.starts_with("--dest"));
        all.extend(arguments);
        all.extend([from.as_str(), to]);
        run("skopeo", &all)
    }

    fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.path().display())
    }

    fn blob_path(&self, digest: &str) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    fn read_index(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.path().join("index.json"))?)?)
    }

    fn descriptor(&self, tag: &str) -> Result<Value> {
        let index = self.read_index()?;
        let entries = index["manifests"].as_array().context("manifests")?;
        let found = entries.iter().find(|entry| is_tagged(entry, tag));
        let mut found = found.with_context(|| format!("no tag {tag} in the layout"))?.clone();
        found.as_object_mut().context("descriptor")?.remove("annotations");
        Ok(found)
    }

    fn tag(&self, tag: &str, media_type: &str, bytes: &[u8]) -> Result<()> {
        let mut descriptor = self.put(media_type, bytes)?;
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let mut index = self.read_index()?;
        if !index["manifests"].is_array() {
            index["manifests"] = json!([]);
        }
        let entries = index["manifests"].as_array_mut().context("manifests")?;
        entries.retain(|entry| !is_tagged(entry, tag));
        entries.push(descriptor);
        fs::write(self.path().join("index.json"), serde_json::to_vec(&index)?)?;
        Ok(())
    }
}

fn is_tagged(entry: &Value, tag: &str) -> bool {
    entry["annotations"]["org.opencontainers.image.ref.name"].as_str() == Some(tag)
}

/// `sha256:…` of some bytes.
pub fn sha256(bytes: &[u8]) -> Result<String> {
    let output = String::from_utf8(filter("sha256sum", &[], bytes)?)?;
    Ok(format!("sha256:{}", output.split_whitespace().next().context("sha256sum said nothing")?))
}

/// What `program` makes of `input`.
pub fn filter(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::tempfile()?;
    std::io::Write::write_all(&mut file, input)?;
    std::io::Seek::rewind(&mut file)?;
    let mut command = Command::new(program::find(program)?);
    let output = command.args(arguments).stdin(file).output()?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program::find(program)?)
        .args(arguments)
        .output()
        .with_context(|| format!("run {program}"))?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{program} {}: {words}", arguments.join(" "));
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
