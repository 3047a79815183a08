//! Native images: what is unpacked is what umoci unpacks, whatever the packaging.

use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use runtime::image::{Image, Preference, PullOptions};
use tests::images::{Compression, Layout, tree};
use tests::registry::Registry;

use crate::support::{Store, chain, lowerdirs, module};

/// The image's root as a container sees it: overlayfs over the layers, in a mount namespace that
/// ends with the thread.
fn mounted_tree(image: &Image) -> std::collections::BTreeMap<String, String> {
    let layers: Vec<String> =
        lowerdirs(image).iter().map(|layer| layer.display().to_string()).collect();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace (tests run as root)");
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = temp.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path.display().to_string()
        };
        let (root, upper, work) = (at("root"), at("upper"), at("work"));
        mount(&["--make-rprivate", "/"]);
        let options = format!("lowerdir={},upperdir={upper},workdir={work}", layers.join(":"));
        mount(&["-t", "overlay", "overlay", "-o", &options, &root]);
        let tree = tree(Path::new(&root)).unwrap();
        let unmounted = Command::new("umount").arg(&root).status().unwrap();
        assert!(unmounted.success());
        tree
    })
    .join()
    .unwrap()
}

fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).output().unwrap();
    assert!(output.status.success(), "mount {arguments:?}: {output:?}");
}

/// Compares line by line, so that a failure shows what differs and not two whole trees.
fn assert_same_tree(image: &Image, layout: &Layout, tag: &str) {
    let temp = tempfile::tempdir().unwrap();
    let expected = tree(&layout.unpack(tag, temp.path()).unwrap()).unwrap();
    let mut actual = mounted_tree(image);
    // The root directory itself is the upper layer's, made by the test.
    actual.remove("");
    for (path, line) in expected.iter().filter(|(path, _)| !path.is_empty()) {
        assert_eq!(actual.remove(path).as_ref(), Some(line), "{path}");
    }
    assert!(actual.is_empty(), "only in the overlay: {actual:#?}");
}

#[tokio::test]
async fn every_compression_gives_umocis_tree() {
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.everything("gzip").unwrap();
    layout.recompress("gzip", "zstd", &[Compression::Zstd]).unwrap();
    let mixed = [Compression::None, Compression::Zstd, Compression::Gzip];
    layout.recompress("gzip", "mixed", &mixed).unwrap();
    for tag in ["gzip", "zstd", "mixed"] {
        let store = Store::new().await;
        layout.push(tag, &registry.host(), "all", tag).unwrap();
        let name = format!("{}/all:{tag}", registry.host());
        let image = store.pull(&name).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(lowerdirs(&image).len(), 4);
        assert_eq!(image.digest.to_string(), layout.digest(tag).unwrap());
        assert_same_tree(&image, &layout, "gzip");
        // Compressed layers are not kept: manifest and config are all.
        assert_eq!(store.names("blobs/sha256").len(), 2);
        assert!(store.names("tmp").is_empty());
    }
}

#[tokio::test]
async fn config_by_tag_and_by_digest() {
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("one").unwrap();
    #[rustfmt::skip]
    layout.configure("one", &["--config.entrypoint", "/bin/httpd", "--config.entrypoint", "-f",
        "--config.env", "A=b=c", "--config.user", "app:extra", "--config.workingdir", "/tmp",
        "--config.stopsignal", "SIGQUIT", "--config.exposedports", "8080/tcp",
        "--config.label", "team=harbour"]).unwrap();
    layout.push("one", &registry.host(), "team/one", "v1").unwrap();
    let store = Store::new().await;
    let tag = format!("{}/team/one:v1", registry.host());
    let by_tag = store.pull(&tag).await.unwrap();
    let config = &by_tag.config;
    assert_eq!(config.entrypoint, ["/bin/httpd", "-f"]);
    assert_eq!(config.cmd, ["/bin/sh"]);
    assert!(config.env.contains(&("A".to_owned(), "b=c".to_owned())), "{:?}", config.env);
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("app:extra", "/tmp"));
    assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(config.exposed_ports, ["8080/tcp"]);
    assert_eq!(config.labels["team"], "harbour");
    assert_eq!(by_tag.platform, "linux/amd64");
    assert!(by_tag.size > 100_000 && by_tag.created.is_some());

    let by_digest = format!("{}/team/one@{}", registry.host(), by_tag.digest);
    let again = store.pull(&by_digest).await.unwrap();
    assert_eq!(again.digest, by_tag.digest);
    assert_eq!(again.names.len(), 2, "{:?}", again.names);
    for wanted in [tag, by_digest, by_tag.digest.to_string()] {
        assert_eq!(store.images.get(&wanted).unwrap().digest, by_tag.digest, "{wanted}");
    }
    assert_eq!(store.images.list().len(), 1);
    // A store opened anew (a restarted agent) knows the same.
    let reopened = crate::support::open(store.path()).await;
    assert_eq!(reopened.list(), store.images.list());
}

#[tokio::test]
async fn docker_schema_2_and_a_moved_tag() {
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("one").unwrap();
    let name = format!("{}/docker:latest", registry.host());
    layout.copy("one", &format!("docker://{name}"), &["--format", "v2s2"]).unwrap();
    let store = Store::new().await;
    let first = store.pull(&name).await.unwrap();
    assert_same_tree(&first, &layout, "one");
    layout.layer("one", |root| Ok(std::fs::write(root.join("new"), "new")?)).unwrap();
    layout.copy("one", &format!("docker://{name}"), &["--format", "v2s2"]).unwrap();
    let second = store.pull(&name).await.unwrap();
    assert_ne!(first.digest, second.digest);
    assert_eq!(store.images.get(&name).unwrap().digest, second.digest);
    let old = store.images.get(&first.digest.to_string()).unwrap();
    assert!(old.names.is_empty(), "the tag has moved on: {:?}", old.names);
    assert_eq!(lowerdirs(&second)[1], lowerdirs(&first)[0], "the common layer is shared");
}

#[tokio::test]
async fn an_index_gives_this_hosts_entry_or_wasm() {
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("native").unwrap();
    layout.busybox("foreign").unwrap();
    layout.configure("foreign", &["--architecture", "s390x"]).unwrap();
    let wasm = std::fs::read(crate::support::fixture("hello.wasm")).unwrap();
    layout
        .artifact(
            "wasm",
            ("application/vnd.wasm.config.v0+json", br#"{"architecture":"wasm","os":"wasip1"}"#),
            &[("application/wasm", &wasm)],
        )
        .unwrap();
    let all = [("foreign", "linux/s390x"), ("wasm", "wasip1/wasm"), ("native", "linux/amd64")];
    layout.index("all", &all).unwrap();
    layout.index("no-native", &all[..2]).unwrap();
    layout.index("none", &all[..1]).unwrap();
    for tag in ["all", "no-native", "none", "foreign"] {
        layout.push(tag, &registry.host(), "multi", tag).unwrap();
    }
    let store = Store::new().await;
    let name = |tag: &str| format!("{}/multi:{tag}", registry.host());
    let native = store.pull(&name("all")).await.unwrap();
    assert_eq!(native.digest.to_string(), layout.digest("native").unwrap());
    assert_eq!(native.index_digest.as_ref().unwrap().to_string(), layout.digest("all").unwrap());
    let by_index = store.images.get(&layout.digest("all").unwrap()).unwrap();
    assert_eq!(by_index.digest, native.digest);

    let options = PullOptions { preference: Preference::Wasm, ..PullOptions::default() };
    let asked = store.images.pull(&name("all"), options).await.unwrap();
    assert_eq!(std::fs::read(module(&asked)).unwrap(), wasm);
    module(&store.pull(&name("no-native")).await.unwrap());
    for tag in ["none", "foreign"] {
        let error = store.pull(&name(tag)).await.unwrap_err().to_string();
        assert!(error.contains("linux/amd64 or wasm") && error.contains("linux/s390x"), "{error}");
    }
}

#[tokio::test]
async fn a_debian_root_of_real_packages() {
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.build("debian", tests::images::debian::rootfs).unwrap();
    layout.push("debian", &registry.host(), "debian", "12").unwrap();
    let store = Store::new().await;
    let image = store.pull(&format!("{}/debian:12", registry.host())).await.unwrap();
    assert_same_tree(&image, &layout, "debian");
}
