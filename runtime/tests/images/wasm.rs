//! Wasm images in every packaging in use: the magic number decides.

use std::process::Command;

use runtime::image::{Image, ImageKind, PushOptions};
use runtime::wasm::World;
use tests::images::{Layout, OCI_CONFIG};
use tests::registry::Registry;

use crate::support::{Store, chain, fixture, module};

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn world(image: &Image) -> World {
    match &image.kind {
        ImageKind::Wasm { world, .. } => *world,
        other => panic!("not Wasm: {other:?}"),
    }
}

/// Pulls `tag` from a real registry and checks that it is the module `name`, compiled.
async fn assert_pulls(layout: &Layout, tag: &str, name: &str) -> Image {
    let registry = Registry::start().unwrap();
    layout.push(tag, &registry.host(), "wasm", tag).unwrap();
    let store = Store::new().await;
    let image = store.pull(&format!("{}/wasm:{tag}", registry.host())).await;
    let image = image.unwrap_or_else(|error| panic!("{tag}: {}", chain(&error)));
    assert!(std::fs::read(module(&image)).unwrap() == bytes(name), "{tag}: another module");
    let compiled = store.images.ensure_compiled(&image).await.unwrap();
    assert!(compiled.starts_with(store.path().join("compiled")) && compiled.is_file());
    image
}

#[tokio::test]
async fn artifacts_of_all_kinds() {
    let layout = Layout::new().unwrap();
    let hello = bytes("hello.wasm");
    let component = bytes("hello-p2.wasm");
    let cncf =
        ("application/vnd.wasm.config.v0+json", &br#"{"architecture":"wasm","os":"wasip1"}"#[..]);
    layout.artifact("cncf", cncf, &[("application/wasm", &hello)]).unwrap();
    let oci = (OCI_CONFIG, &br#"{"architecture":"wasm","os":"wasip2",
        "config":{"Entrypoint":["/app.wasm"],"Env":["A=1"]},"rootfs":{"type":"layers","diff_ids":[]}}"#[..]);
    let runwasi = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
    layout.artifact("runwasi", oci, &[(runwasi, &component)]).unwrap();
    for legacy in ["vnd.wasm.content.layer.v1+wasm", "vnd.module.wasm.content.layer.v1+wasm"] {
        let media = format!("application/{legacy}");
        let tag = if legacy.contains("module") { "legacy-module" } else { "legacy" };
        layout
            .artifact(tag, ("application/vnd.wasm.config.v1+json", b"{}"), &[(&media, &hello)])
            .unwrap();
    }
    layout
        .artifact("unlabelled", (OCI_CONFIG, b"{}"), &[("application/octet-stream", &hello)])
        .unwrap();
    let image = assert_pulls(&layout, "cncf", "hello.wasm").await;
    assert_eq!((world(&image), image.platform.as_str()), (World::WasiP1Command, "wasip1/wasm"));
    assert_eq!(image.config.entrypoint, ["wasm.wasm"]);
    let image = assert_pulls(&layout, "runwasi", "hello-p2.wasm").await;
    assert_eq!(world(&image), World::CliCommand);
    assert_eq!(image.config.entrypoint, ["/app.wasm"]);
    assert_eq!(image.config.env, [("A".to_owned(), "1".to_owned())]);
    for tag in ["legacy", "legacy-module", "unlabelled"] {
        assert_pulls(&layout, tag, "hello.wasm").await;
    }
}

#[tokio::test]
async fn compat_images_whatever_their_label() {
    for (tag, platform, entrypoint) in [
        ("wasi", "wasi/wasm", "/app/x.wasm"),
        ("wasm32", "wasi/wasm32", "/app/x.wasm"),
        ("wasip1", "wasip1/wasm", "app/x.wasm#_start"),
        ("linux", "linux/wasm", "/app/x.wasm"),
        ("mislabelled", "linux/amd64", "/bin/link"),
        ("far-off", "linux/s390x", "/app/x.wasm"),
    ] {
        let layout = Layout::new().unwrap();
        layout
            .build(tag, |root| {
                std::fs::create_dir_all(root.join("app"))?;
                std::fs::create_dir_all(root.join("bin"))?;
                std::fs::copy(fixture("hello.wasm"), root.join("app/x.wasm"))?;
                Ok(std::os::unix::fs::symlink("/app/x.wasm", root.join("bin/link"))?)
            })
            .unwrap();
        let (os, architecture) = platform.split_once('/').unwrap();
        #[rustfmt::skip]
        layout.configure(tag, &["--os", os, "--architecture", architecture,
            "--config.entrypoint", entrypoint]).unwrap();
        let image = assert_pulls(&layout, tag, "hello.wasm").await;
        assert_eq!(image.platform, platform);
        assert_eq!(image.config.entrypoint, [entrypoint]);
    }
    // FROM scratch, COPY hello.wasm /, and nothing said about what to run.
    let layout = Layout::new().unwrap();
    layout
        .build("silent", |root| {
            Ok(std::fs::copy(fixture("hello.wasm"), root.join("x.wasm")).map(drop)?)
        })
        .unwrap();
    let image = assert_pulls(&layout, "silent", "hello.wasm").await;
    assert_eq!(image.config.entrypoint, ["/x.wasm"]);
}

#[tokio::test]
async fn spin_applications() {
    let layout = Layout::new().unwrap();
    let http = bytes("http-c.wasm");
    let app = |components: serde_json::Value, trigger: &str| {
        serde_json::json!({"spin_lock_version": 1, "components": components,
            "triggers": [{"id": "t", "trigger_type": trigger, "trigger_config": {}}]})
        .to_string()
        .into_bytes()
    };
    let digest = tests::images::sha256(&http).unwrap();
    let one = serde_json::json!([{"id": "web", "source":
        {"content_type": "application/wasm", "digest": digest}}]);
    let config = "application/vnd.fermyon.spin.application.v1+config";
    let layer = [("application/vnd.wasm.content.layer.v1+wasm", &http[..])];
    layout.artifact("one", (config, &app(one.clone(), "http")), &layer).unwrap();
    layout.artifact("redis", (config, &app(one, "redis")), &layer).unwrap();
    let image = assert_pulls(&layout, "one", "http-c.wasm").await;
    assert_eq!(world(&image), World::HttpProxy);
    let registry = Registry::start().unwrap();
    layout.push("redis", &registry.host(), "spin", "redis").unwrap();
    let store = Store::new().await;
    let error = store.pull(&format!("{}/spin:redis", registry.host())).await.unwrap_err();
    let text = chain(&error);
    assert!(
        text.contains("Spin application that Wharf cannot run") && text.contains("redis"),
        "{text}"
    );
    store.assert_untouched();
}

#[tokio::test]
async fn a_pushed_file_comes_back_and_is_the_artifact_that_others_read() {
    let registry = Registry::start().unwrap();
    let store = Store::new().await;
    for (name, os) in [("hello.wasm", "wasip1"), ("http-c.wasm", "wasip2")] {
        let reference = format!("{}/pushed/{}", registry.host(), name.trim_end_matches(".wasm"));
        let file = fixture(name);
        let push = || store.images.push_wasm(&file, &reference, PushOptions::default());
        let digest = push().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(push().await.unwrap(), digest, "pushing twice makes the same artifact");
        let image = store.pull(&reference).await.unwrap();
        assert_eq!(image.digest.to_string(), digest);
        assert!(std::fs::read(module(&image)).unwrap() == bytes(name));
        assert_eq!(image.config.entrypoint, [name]);
        // As skopeo, which knows nothing of us, sees it.
        let inspected = Command::new("skopeo")
            .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{reference}")])
            .output()
            .unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
        assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
        let config_digest = manifest["config"]["digest"].as_str().unwrap();
        let config = store.path().join("blobs/sha256").join(&config_digest["sha256:".len()..]);
        let config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(config).unwrap()).unwrap();
        assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &os.into()));
        assert_eq!(config["layerDigests"][0], manifest["layers"][0]["digest"]);
        let exports = config["component"]["exports"].to_string();
        assert_eq!(
            exports.contains("wasi:http/incoming-handler"),
            name == "http-c.wasm",
            "{config}"
        );
    }
    // The same file loaded from disk is the same image.
    let loaded = store.images.load(&fixture("hello.wasm"), None).await.unwrap();
    assert_eq!(loaded[0].names.len(), 2, "{:?}", loaded[0].names);
    let error = store
        .images
        .push_wasm(
            &fixture("SHA256SUMS"),
            &format!("{}/x", registry.host()),
            PushOptions::default(),
        )
        .await
        .unwrap_err();
    assert!(chain(&error).contains("is not WebAssembly: it is text"), "{}", chain(&error));
}
