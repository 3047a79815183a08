//! Images from files: OCI layouts and archives, docker archives, plain Wasm.

use std::fs;
use std::path::Path;

use runtime::image::{Image, ImageError};
use tests::images::{Layout, filter};

use crate::support::{Store, chain, fixture, lowerdirs, module, open};

async fn load(store: &Store, path: &Path, name: Option<&str>) -> Vec<Image> {
    store.images.load(path, name).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn names(images: &[Image]) -> Vec<&str> {
    images.iter().flat_map(|image| &image.names).map(String::as_str).collect()
}

#[tokio::test]
async fn plain_wasm_is_what_a_pod_asks_for() {
    let store = Store::new().await;
    let images = load(&store, &fixture("hello.wasm"), None).await;
    assert_eq!(names(&images), ["docker.io/library/hello:latest"]);
    for wanted in ["hello", "hello:latest", "docker.io/library/hello", "library/hello"] {
        let image = store.images.get(wanted).unwrap_or_else(|| panic!("{wanted} not found"));
        let same = fs::read(module(&image)).unwrap() == fs::read(fixture("hello.wasm")).unwrap();
        assert!(same && image.config.entrypoint == ["hello.wasm"]);
    }
    assert!(
        store.images.get("hello:v2").is_none() && store.images.get("example.com/hello").is_none()
    );
    let image = &load(&store, &fixture("hello.wasm"), Some("localhost:5000/team/app:v1")).await[0];
    assert_eq!(image.names, ["localhost:5000/team/app:v1", "docker.io/library/hello:latest"]);
    assert!(store.names("tmp").is_empty());
}

#[tokio::test]
async fn a_store_opened_by_a_relative_path_compiles_too() {
    let temp = tempfile::tempdir().unwrap();
    let up = "../".repeat(std::env::current_dir().unwrap().components().count() - 1);
    let root = Path::new(&up).join(temp.path().strip_prefix("/").unwrap());
    let images = open(&root).await;
    let image = &images.load(&fixture("hello.wasm"), None).await.unwrap()[0];
    assert!(images.ensure_compiled(image).await.unwrap().is_absolute());
}

#[tokio::test]
async fn oci_layouts_as_folder_and_archives() {
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    layout.everything("example.com/all:v2").unwrap();
    let temp = tempfile::tempdir().unwrap();
    let tar =
        filter("tar", &["-C", &layout.path().display().to_string(), "-cf", "-", "."], b"").unwrap();
    let (plain, gzip) = (temp.path().join("layout.tar"), temp.path().join("layout.tar.gz"));
    fs::write(&plain, &tar).unwrap();
    fs::write(&gzip, filter("gzip", &["-nc"], &tar).unwrap()).unwrap();
    for path in [layout.path(), plain, gzip] {
        let store = Store::new().await;
        let images = load(&store, &path, None).await;
        let mut found = names(&images);
        found.sort_unstable();
        assert_eq!(
            found,
            ["docker.io/library/layout:v1", "example.com/all:v2"],
            "{}",
            path.display()
        );
        let all = store.images.get("example.com/all:v2").unwrap();
        assert_eq!(lowerdirs(&all).len(), 4);
        assert_eq!(all.digest.to_string(), layout.digest("example.com/all:v2").unwrap());
        assert!(store.names("tmp").is_empty());
        // One name for two images cannot be meant.
        let error = store.images.load(&path, Some("x")).await.unwrap_err();
        assert!(matches!(error, ImageError::Name { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn archives_as_skopeo_writes_them() {
    let layout = Layout::new().unwrap();
    layout.everything("all").unwrap();
    let temp = tempfile::tempdir().unwrap();
    for (kind, named) in
        [("docker-archive", "example.com/all:v1"), ("oci-archive", "example.com/all:v1")]
    {
        let path = temp.path().join(format!("{kind}.tar"));
        layout.copy("all", &format!("{kind}:{}:{named}", path.display()), &[]).unwrap();
        let store = Store::new().await;
        let images = load(&store, &path, None).await;
        assert_eq!(names(&images), ["example.com/all:v1"], "{kind}");
        let first = tests::images::tree(&lowerdirs(&images[0])[3]).unwrap();
        assert!(first.contains_key("bin/busybox"), "{kind}");
        assert_eq!(images[0].config.user, "app");
        let renamed = load(&store, &path, Some("mine")).await;
        assert!(renamed[0].names.contains(&"docker.io/library/mine:latest".to_owned()));
    }
    let unnamed = temp.path().join("unnamed.tar");
    layout.copy("all", &format!("docker-archive:{}", unnamed.display()), &[]).unwrap();
    let store = Store::new().await;
    let images = load(&store, &unnamed, None).await;
    assert_eq!(names(&images), ["docker.io/library/unnamed:latest"]);
}

#[tokio::test]
async fn what_is_no_image_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = temp.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let layout = Layout::new().unwrap();
    layout.busybox("one").unwrap();
    let tar =
        filter("tar", &["-C", &layout.path().display().to_string(), "-cf", "-", "."], b"").unwrap();
    let gzip = filter("gzip", &["-nc"], &tar).unwrap();
    let empty = filter("tar", &["-C", "/", "-cf", "-", "etc/hostname"], b"").unwrap();
    let store = Store::new().await;
    for (path, says) in [
        (at("page.wasm", b"<html>"), "is not WebAssembly: it is an HTML page"),
        (at("native.wasm", b"\x7fELF\x02\x01\x01"), "native code precompiled"),
        (at("notes.txt", b"hello"), "it is text"),
        (at("half.tar.gz", &gzip[..gzip.len() / 2]), "truncated or corrupt"),
        (at("other.tar", &empty), "neither index.json nor manifest.json"),
        (temp.path().to_owned(), "it has no index.json"),
        (temp.path().join("missing"), "cannot read"),
    ] {
        let error = store.images.load(&path, None).await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains(says), "{}: {text}", path.display());
        assert!(text.contains(&path.display().to_string()), "{text}");
    }
    // A blob that was changed on the way.
    let layer = layout.manifest("one").unwrap()["layers"][0]["digest"].as_str().unwrap().to_owned();
    let path = layout.path().join("blobs/sha256").join(&layer["sha256:".len()..]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = store.images.load(&layout.path(), None).await.unwrap_err();
    assert!(matches!(error, ImageError::WrongDigest { .. }), "{error:?}");
    store.assert_untouched();
}
