//! Images that must not come in: each is refused with words that name it, and leaves nothing.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use runtime::image::{ImageError, ImageStore};
use tests::images::{Layout, OCI_CONFIG, filter};
use tests::registry::Registry;

use crate::support::{Store, chain, fixture, open};

/// Pulls `tag` of the layout, which must fail, from a registry that takes anything.
async fn refusal(layout: &Layout, tag: &str) -> ImageError {
    let registry = Registry::start().unwrap();
    layout.push(tag, &registry.host(), "bad", tag).unwrap();
    let store = Store::new().await;
    let error = store.pull(&format!("{}/bad:{tag}", registry.host())).await.unwrap_err();
    store.assert_untouched();
    assert!(store.names("layers").is_empty(), "a bad layer was kept");
    error
}

/// `tag`: busybox with its layer replaced by `change` of its tar, the diff_id left as it was.
fn with_layer(tag: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Layout {
    let layout = Layout::new().unwrap();
    layout.busybox(tag).unwrap();
    let mut manifest = layout.manifest(tag).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let bytes = change(layout.blob(digest).unwrap());
    let media = manifest["layers"][0]["mediaType"].as_str().unwrap().to_owned();
    manifest["layers"][0] = layout.put(&media, &bytes).unwrap();
    layout.put_manifest(tag, &manifest).unwrap();
    layout
}

#[tokio::test]
async fn a_truncated_layer_with_a_right_digest() {
    let layout = with_layer("short", |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes
    });
    let text = chain(&refusal(&layout, "short").await);
    assert!(text.contains("truncated or corrupt after"), "{text}");
    assert!(text.contains("/bad:short") && text.contains("sha256:"), "{text}");
}

#[tokio::test]
async fn a_layer_with_another_diff_id() {
    let layout = with_layer("other", |bytes| {
        let mut plain = filter("gzip", &["-dc"], &bytes).unwrap();
        // Behind the end of the archive: the files are the same, the bytes are not.
        plain.extend_from_slice(&[0; 512]);
        filter("gzip", &["-nc"], &plain).unwrap()
    });
    let text = chain(&refusal(&layout, "other").await);
    assert!(text.contains("its content has digest") && text.contains("config says"), "{text}");
}

#[tokio::test]
async fn a_layer_that_is_a_web_page() {
    let layout = with_layer("html", |_| b"<!doctype html><title>login</title>".to_vec());
    let text = chain(&refusal(&layout, "html").await);
    assert!(text.contains("an HTML page, not a tar archive"), "{text}");
}

#[tokio::test]
async fn names_and_links_that_climb_out() {
    let victim = tempfile::tempdir().unwrap();
    let victim_path = victim.path().display().to_string();
    for (tag, name, absolute) in [("dotdot", "../../escaped", false), ("absolute", "", true)] {
        let temp = tempfile::tempdir().unwrap();
        let tar = temp.path().join("evil.tar");
        let mut builder = tar::Builder::new(std::fs::File::create(&tar).unwrap());
        if absolute {
            let mut link = tar::Header::new_gnu();
            link.set_entry_type(tar::EntryType::Symlink);
            link.set_size(0);
            builder.append_link(&mut link, "out", &victim_path).unwrap();
        }
        let mut file = tar::Header::new_gnu();
        let path = if absolute { "out/escaped" } else { name };
        file.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        file.set_size(4);
        file.set_mode(0o644);
        file.set_cksum();
        builder.append(&file, &b"evil"[..]).unwrap();
        builder.finish().unwrap();
        let layout = Layout::new().unwrap();
        layout.busybox(tag).unwrap();
        layout.add_tar(tag, &tar).unwrap();
        if absolute {
            // Harmless, as in a container with this root: the link leads to a place inside.
            let registry = Registry::start().unwrap();
            layout.push(tag, &registry.host(), "bad", tag).unwrap();
            let store = Store::new().await;
            let image = store.pull(&format!("{}/bad:{tag}", registry.host())).await;
            image.unwrap_or_else(|error| panic!("{}", chain(&error)));
        } else {
            let registry = Registry::start().unwrap();
            layout.push(tag, &registry.host(), "bad", tag).unwrap();
            let store = Store::new().await;
            let error = store.pull(&format!("{}/bad:{tag}", registry.host())).await.unwrap_err();
            assert!(chain(&error).contains("../../escaped"), "{}", chain(&error));
            store.assert_untouched();
        }
        assert_eq!(std::fs::read_dir(victim.path()).unwrap().count(), 0, "written outside");
    }
}

#[tokio::test]
async fn modules_that_are_none() {
    let html = b"<html>404</html>".to_vec();
    let elf = std::fs::read(env!("CARGO_BIN_EXE_wharf-runtime")).unwrap()[..4096].to_vec();
    let mut broken = std::fs::read(fixture("hello.wasm")).unwrap();
    broken.truncate(broken.len() / 2);
    let future = b"\0asm\x07\0\0\0".to_vec();
    for (tag, bytes, says) in [
        ("html", html, "is not WebAssembly: it is an HTML page"),
        ("elf", elf, "native code precompiled"),
        ("broken", broken, "is not a usable Wasm module"),
        ("future", future, "is not a usable Wasm module"),
        ("empty", Vec::new(), "is not WebAssembly: it is an empty file"),
    ] {
        let layout = Layout::new().unwrap();
        let config = ("application/vnd.wasm.config.v0+json", &b"{}"[..]);
        layout.artifact(tag, config, &[("application/wasm", &bytes)]).unwrap();
        let text = chain(&refusal(&layout, tag).await);
        assert!(text.contains(says) && text.contains(&format!("/bad:{tag}")), "{tag}: {text}");
    }
}

#[tokio::test]
async fn manifests_that_make_no_sense() {
    let layout = Layout::new().unwrap();
    layout.busybox("ok").unwrap();
    let wasm = std::fs::read(fixture("hello.wasm")).unwrap();
    let two = [("application/wasm", &wasm[..]), ("application/wasm", &wasm[..])];
    layout.artifact("two", (OCI_CONFIG, b"{}"), &two).unwrap();
    layout.artifact("no-layers", (OCI_CONFIG, b"{}"), &[]).unwrap();
    layout.artifact("no-config", (OCI_CONFIG, b"<html>"), &two[..1]).unwrap();
    let mut manifest = layout.manifest("ok").unwrap();
    let layer = manifest["layers"][0].clone();
    manifest["layers"].as_array_mut().unwrap().push(layer);
    layout.put_manifest("one-too-many", &manifest).unwrap();
    for (tag, says) in [
        ("two", "2 Wasm layers"),
        ("no-layers", "no layers"),
        ("no-config", "unusable config"),
        ("one-too-many", "2 layers but 1 diff_ids"),
    ] {
        let text = chain(&refusal(&layout, tag).await);
        assert!(text.contains(says), "{tag}: {text}");
    }
}

#[test]
fn a_full_disk_while_pulling() {
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("one").unwrap();
    layout.push("one", &registry.host(), "one", "latest").unwrap();
    let name = format!("{}/one", registry.host());
    let compressed = layout.manifest("one").unwrap()["layers"][0]["size"].as_u64().unwrap();
    let disk = tempfile::tempdir().unwrap();
    let root = disk.path().to_owned();
    // The mount lives in this thread's namespace; so does the store's blocking pool, started by it.
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace (tests run as root)");
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        };
        run("mount", &["--make-rprivate", "/"]);
        let at = root.display().to_string();
        // Full while downloading; full while unpacking (busybox is twice its compressed size).
        for size in [compressed / 2, compressed + 256 * 1024] {
            run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &at]);
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let images: ImageStore = open(&root).await;
                let error = images.pull(&name, Default::default()).await.unwrap_err();
                assert!(matches!(error, ImageError::DiskFull { .. }), "{error:?}");
                let text = chain(&error);
                assert!(
                    text.starts_with(&format!("the disk is full while pulling \"{name}")),
                    "{text}"
                );
                assert_eq!(std::fs::read_dir(root.join("tmp")).unwrap().count(), 0);
                assert!(images.list().is_empty());
            });
            drop(runtime);
            run("umount", &[&at]);
        }
    })
    .join()
    .unwrap();
}
