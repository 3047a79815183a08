//! What every test here needs: a store of its own, fixtures, errors as users see them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime::image::{Image, ImageError, ImageKind, ImageStore, ImageStoreConfig, PullOptions};
use tempfile::TempDir;

/// An image store in a temporary folder.
pub(crate) struct Store {
    pub(crate) images: ImageStore,
    folder: TempDir,
}

impl Store {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("wharf-images-").tempdir().unwrap();
        Self { images: open(folder.path()).await, folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn pull(&self, reference: &str) -> Result<Image, ImageError> {
        self.images.pull(reference, PullOptions::default()).await
    }

    /// Names in a folder of the store.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path().join(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Nothing half-done is left, and no image came of it.
    pub(crate) fn assert_untouched(&self) {
        // A layer that was being unpacked when another failed is removed when its thread notices.
        tests::wait::eventually("tmp is empty", Duration::from_secs(30), || {
            let left = self.names("tmp");
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
        assert!(self.images.list().is_empty(), "{:?}", self.images.list());
        assert!(self.names("refs").is_empty());
    }
}

/// Opens the store at `root` with this crate's own executable as the compiler.
pub(crate) async fn open(root: &Path) -> ImageStore {
    let executable = PathBuf::from(env!("CARGO_BIN_EXE_wharf-runtime"));
    ImageStore::open(ImageStoreConfig { root: root.to_owned(), executable }).await.unwrap()
}

/// A committed Wasm fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    tests::program::repository().join("fixtures/wasm").join(name)
}

/// An error with its causes, as a pod's status shows it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// The layers of a native image, topmost first.
pub(crate) fn lowerdirs(image: &Image) -> &[PathBuf] {
    match &image.kind {
        ImageKind::Native { lowerdirs } => lowerdirs,
        other => panic!("not a native image: {other:?}"),
    }
}

/// The module of a Wasm image.
pub(crate) fn module(image: &Image) -> &Path {
    match &image.kind {
        ImageKind::Wasm { module, .. } => module,
        other => panic!("not a Wasm image: {other:?}"),
    }
}
