//! Loading: an image from a file or folder on this machine, no registry involved.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::archive::Archive;
use super::assemble::{assemble, not_wasm};
use super::fetch::{Ingest, Source};
use super::progress::Reporter;
use super::push::artifact;
use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::image::manifest::platform::{NoPlatform, Preference, choose, wanted};
use crate::image::manifest::{self, Descriptor, Document, Index, Manifest};
use crate::image::model::Image;
use crate::image::sniff::{Content, sniff_file};
use crate::image::store::records::Wanted;
use crate::image::store::{ImageStore, Inner, parse};

/// The tag, or the whole reference, of an entry in a layout's index.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole reference, as containerd and Docker write it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// One image to be brought in.
struct Candidate {
    names: Vec<String>,
    manifest: Vec<u8>,
    index: Option<Vec<u8>>,
}

/// What is at a path.
struct Opened {
    /// Has `blobs/sha256/`.
    folder: PathBuf,
    images: Vec<Candidate>,
    /// Kept until the images are in the store.
    draft: Option<crate::image::store::disk::Draft>,
}

impl ImageStore {
    /// Loads an OCI layout (folder, or tar, tar.gz, tar.zst), a `docker save` archive or a plain
    /// `.wasm` file.
    ///
    /// The images get the names that the archive gives them, or `name`; where there is neither, the
    /// file's name without extensions: `./hello.wasm` becomes `docker.io/library/hello:latest`, which
    /// a pod's `hello` means. An image in the answer has the name that it got now before its others.
    ///
    /// # Errors
    ///
    /// [`ImageError::NotAnImage`] and [`ImageError::NotWasm`] for other files; otherwise as
    /// [`ImageStore::pull`].
    pub async fn load(&self, path: &Path, name: Option<&str>) -> Result<Vec<Image>, ImageError> {
        let shown = path.display().to_string();
        let (store, path, name) = (self.inner.clone(), path.to_owned(), name.map(str::to_owned));
        let interrupted = || ImageError::Interrupted { reference: shown.clone() };
        let (lock, opened) = tokio::task::spawn_blocking(move || {
            let root = store.disk.root();
            let lock = store.disk.lock_shared();
            let lock = lock.map_err(|source| ImageError::storage("lock", "", root, source))?;
            Ok((lock, open(&store, &path, name.as_deref())?))
        })
        .await
        .unwrap_or_else(|_| Err(interrupted()))?;
        let Opened { folder, images, draft } = opened;
        let loaded = self.load_all(&folder, images).await;
        let store = self.inner.clone();
        tokio::task::spawn_blocking(move || {
            // Takes its time: it may hold gigabytes.
            drop(draft);
            drop(lock);
            let images = loaded?;
            store.sweep_if_pending("")?;
            Ok(images)
        })
        .await
        .unwrap_or_else(|_| Err(interrupted()))
    }

    async fn load_all(
        &self,
        folder: &Path,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Image>, ImageError> {
        let mut images = Vec::new();
        for candidate in candidates {
            images.push(self.load_one(folder, candidate).await?);
        }
        Ok(images)
    }

    async fn load_one(&self, folder: &Path, candidate: Candidate) -> Result<Image, ImageError> {
        let Candidate { names, manifest, index } = candidate;
        let names = names
            .iter()
            .map(|name| parse(name).map(Wanted::Reference))
            .collect::<Result<Vec<_>, _>>()?;
        let reference = match names.first() {
            Some(Wanted::Reference(name)) => name.to_string(),
            _ => Digest::of(&manifest).to_string(),
        };
        let (report, _) = Reporter::new();
        let source = Source::Layout(folder.to_owned());
        let given = reference.clone();
        let ingest = Arc::new(Ingest { store: self.inner.clone(), source, reference, report });
        let Document::Manifest(parsed) = manifest::parse(&manifest)
            .map_err(|reason| ImageError::malformed(&ingest.reference, "manifest", reason))?
        else {
            let reason = "an image manifest is expected here, this is an index";
            return Err(ImageError::malformed(&ingest.reference, "manifest", reason));
        };
        let record = assemble(&ingest, &manifest, &parsed, index.as_deref()).await?;
        let publish = move |store: &Inner, name: &str| store.publish(name, record, &names);
        let mut image = ingest.blocking(publish).await?;
        // The same content may have been here under other names.
        image.names.sort_by_key(|name| *name != given);
        Ok(image)
    }
}

/// Finds out what is at `path` and which images are in it.
fn open(store: &Inner, path: &Path, name: Option<&str>) -> Result<Opened, ImageError> {
    let read = |source| ImageError::storage("read", &path.display().to_string(), path, source);
    if fs::metadata(path).map_err(read)?.is_dir() {
        let images = layout(
            path,
            name,
            |file| fs::read(path.join(file)).ok(),
            |digest| fs::read(path.join("blobs/sha256").join(digest.hex())).ok(),
        )?;
        return Ok(Opened { folder: path.to_owned(), images, draft: None });
    }
    let draft = store.disk.draft();
    match sniff_file(path).map_err(read)? {
        Content::Wasm => {
            let images = vec![plain(path, draft.path(), name)?];
            Ok(Opened { folder: draft.path().to_owned(), images, draft: Some(draft) })
        }
        Content::Tar | Content::Gzip | Content::Zstd => {
            let archive = Archive::open(path, draft.path()).map_err(|error| {
                if crate::image::error::is_disk_full(&error) {
                    read(error)
                } else {
                    not_an_image(path, format!("the archive is truncated or corrupt ({error})"))
                }
            })?;
            let images = archived(path, &archive, name)?;
            Ok(Opened { folder: draft.path().to_owned(), images, draft: Some(draft) })
        }
        other if path.extension().is_some_and(|extension| extension == "wasm") => {
            Err(not_wasm(path.display().to_string(), other))
        }
        other => Err(not_an_image(path, format!("it is {other}"))),
    }
}

fn not_an_image(path: &Path, reason: String) -> ImageError {
    let reason =
        format!("{reason}; an OCI layout, an OCI or docker archive, or a .wasm file is expected");
    ImageError::NotAnImage { path: path.to_owned(), reason }
}

/// A Wasm file, dressed up as the artifact that a push of it would make.
fn plain(path: &Path, folder: &Path, name: Option<&str>) -> Result<Candidate, ImageError> {
    let artifact = artifact(path)?;
    let blobs = folder.join("blobs/sha256");
    let write = |source| ImageError::storage("write", &path.display().to_string(), folder, source);
    fs::create_dir_all(&blobs).map_err(write)?;
    for (digest, bytes) in [&artifact.config, &artifact.module] {
        fs::write(blobs.join(digest.hex()), bytes).map_err(write)?;
    }
    let name = name.map_or_else(|| name_from(path, None), |name| Ok(name.to_owned()))?;
    Ok(Candidate { names: vec![name], manifest: artifact.manifest.to_vec(), index: None })
}

fn archived(
    path: &Path,
    archive: &Archive,
    name: Option<&str>,
) -> Result<Vec<Candidate>, ImageError> {
    let read = |file: &str| archive.read(file).ok().flatten();
    if read("index.json").is_some() {
        return layout(path, name, read, |digest| read(&format!("blobs/sha256/{}", digest.hex())));
    }
    match read("manifest.json") {
        Some(list) => docker(path, archive, &list, name),
        None => Err(not_an_image(path, "it has neither index.json nor manifest.json".to_owned())),
    }
}

/// The images of an OCI layout. Source: OCI image-spec image-layout.md.
fn layout(
    path: &Path,
    name: Option<&str>,
    file: impl Fn(&str) -> Option<Vec<u8>>,
    blob: impl Fn(&Digest) -> Option<Vec<u8>>,
) -> Result<Vec<Candidate>, ImageError> {
    let index =
        file("index.json").ok_or_else(|| not_an_image(path, "it has no index.json".into()))?;
    let index: Index = serde_json::from_slice(&index)
        .map_err(|error| not_an_image(path, format!("its index.json is broken ({error})")))?;
    // Entries of one name are the platforms of one image.
    let mut groups: BTreeMap<Option<String>, Vec<Descriptor>> = BTreeMap::new();
    for entry in index.manifests {
        let name = entry.annotations.get(IMAGE_NAME).or(entry.annotations.get(REF_NAME)).cloned();
        groups.entry(name).or_default().push(entry);
    }
    if groups.is_empty() {
        return Err(not_an_image(path, "its index.json lists nothing".to_owned()));
    }
    if name.is_some() && groups.len() > 1 {
        return Err(ImageError::Name {
            path: path.to_owned(),
            reason: format!("it holds {} images, so one name cannot be given", groups.len()),
        });
    }
    let candidate = |(given, manifests): (Option<String>, Vec<Descriptor>)| {
        let names = match (name, given) {
            (Some(name), _) => vec![name.to_owned()],
            (None, Some(given)) if given.contains(['/', ':']) => vec![given],
            (None, given) => vec![name_from(path, given.as_deref())?],
        };
        let (manifest, index) = descend(&names[0], Index { manifests }, &blob)?;
        Ok(Candidate { names, manifest, index })
    };
    groups.into_iter().map(candidate).collect()
}

/// Follows indexes down to the manifest that runs here.
fn descend(
    name: &str,
    mut list: Index,
    blob: &impl Fn(&Digest) -> Option<Vec<u8>>,
) -> Result<(Vec<u8>, Option<Vec<u8>>), ImageError> {
    let mut index = None;
    // The layout's own list, and at most two more below it.
    for _ in 0..3 {
        let entry = match list.manifests.as_slice() {
            // A lone entry's config says more about it than the list does.
            [only] => only,
            _ => choose(&list, Preference::default()).map_err(|NoPlatform(found)| {
                ImageError::NoPlatform { reference: name.to_owned(), wanted: wanted(), found }
            })?,
        };
        let expected = entry.digest.clone();
        let bytes = blob(&expected).ok_or_else(|| {
            ImageError::malformed(name, "archive", format!("blob {expected} is missing"))
        })?;
        let actual = Digest::of(&bytes);
        if actual != expected {
            return Err(ImageError::WrongDigest { reference: name.to_owned(), expected, actual });
        }
        match manifest::parse(&bytes) {
            Ok(Document::Manifest(_)) => return Ok((bytes, index)),
            Ok(Document::Index(inner)) => {
                list = inner;
                index.get_or_insert(bytes);
            }
            Err(reason) => return Err(ImageError::malformed(name, "manifest", reason)),
        }
    }
    Err(ImageError::malformed(name, "index", "indexes point to indexes without end"))
}

/// The images of a `docker save` archive.
fn docker(
    path: &Path,
    archive: &Archive,
    list: &[u8],
    name: Option<&str>,
) -> Result<Vec<Candidate>, ImageError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        config: String,
        #[serde(default)]
        repo_tags: Option<Vec<String>>,
        layers: Vec<String>,
    }
    let entries: Vec<Entry> = serde_json::from_slice(list)
        .map_err(|error| not_an_image(path, format!("its manifest.json is broken ({error})")))?;
    if name.is_some() && entries.len() != 1 {
        return Err(ImageError::Name {
            path: path.to_owned(),
            reason: format!("it holds {} images, so one name cannot be given", entries.len()),
        });
    }
    let descriptor = |file: &str, media_type: &str| {
        let found = archive.find(file).ok().flatten();
        let (digest, size) = found.ok_or_else(|| {
            not_an_image(path, format!("its manifest.json names {file}, which is missing"))
        })?;
        Ok::<_, ImageError>(Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
        })
    };
    let candidate = |entry: Entry| {
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(manifest::OCI_MANIFEST.to_owned()),
            config: descriptor(&entry.config, "application/vnd.oci.image.config.v1+json")?,
            layers: entry
                .layers
                .iter()
                .map(|layer| descriptor(layer, "application/vnd.oci.image.layer.v1.tar"))
                .collect::<Result<_, _>>()?,
            annotations: BTreeMap::new(),
        };
        let names = match (name, entry.repo_tags.unwrap_or_default()) {
            (Some(name), _) => vec![name.to_owned()],
            (None, tags) if !tags.is_empty() => tags,
            (None, _) => vec![name_from(path, None)?],
        };
        let manifest =
            serde_json::to_vec(&manifest).map_err(|error| not_an_image(path, error.to_string()))?;
        Ok(Candidate { names, manifest, index: None })
    };
    entries.into_iter().map(candidate).collect()
}

/// A name made of the file's own, in lower case, without the extensions of archives.
fn name_from(path: &Path, tag: Option<&str>) -> Result<String, ImageError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut stem = file.as_str();
    for extension in [".gz", ".zst", ".tgz", ".tar", ".oci", ".wasm"] {
        stem = stem.strip_suffix(extension).unwrap_or(stem);
    }
    let name = match tag {
        Some(tag) => format!("{stem}:{tag}"),
        None => format!("{stem}:latest"),
    };
    match name.parse::<crate::image::reference::Reference>() {
        Ok(_) => Ok(name),
        Err(_) => Err(ImageError::Name {
            path: path.to_owned(),
            reason: "the file's name is no image name: give the image a name".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files() {
        for (path, tag, name) in [
            ("/x/hello.wasm", None, "hello:latest"),
            ("Hello-P2.wasm", None, "hello-p2:latest"),
            ("app.tar.gz", None, "app:latest"),
            ("layout/", Some("v1"), "layout:v1"),
        ] {
            assert_eq!(name_from(Path::new(path), tag).unwrap(), name, "{path}");
        }
        assert!(name_from(Path::new("/x/a b.wasm"), None).is_err());
    }
}
