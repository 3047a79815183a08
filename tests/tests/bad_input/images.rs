//! Images that are broken, hostile, not there, or of another machine.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tests::cluster::{Cluster, succeed};
use tests::images::Layout;
use tests::registry::Registry;

use super::witness::{Witness, cannot_have_its_image, pod, waiting};

/// `tag`: busybox with its one layer replaced by what `change` makes of it.
fn relayered(layout: &Layout, tag: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    // Content of its own: a layer that another image has brought already would not be fetched.
    layout.build(tag, |root| Ok(std::fs::write(root.join("a"), tag)?)).unwrap();
    let mut manifest = layout.manifest(tag).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let bytes = change(layout.blob(digest).unwrap());
    let media = manifest["layers"][0]["mediaType"].as_str().unwrap().to_owned();
    manifest["layers"][0] = layout.put(&media, &bytes).unwrap();
    layout.put_manifest(tag, &manifest).unwrap();
}

/// A tar with a file of this name, `..` and all, and perhaps a symbolic link before it.
fn evil_tar(folder: &Path, name: &str, link: Option<&Path>) -> std::path::PathBuf {
    let inside = folder.join("inside");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(inside.join("evil"), "evil").unwrap();
    let tar = folder.join("evil.tar");
    let mut command = Command::new("tar");
    command.arg("-C").arg(&inside).arg("-cPf").arg(&tar);
    command.arg(format!("--transform=s,^evil$,{name},"));
    if let Some(target) = link {
        symlink(target, inside.join("out")).unwrap();
        command.arg("--transform=flags=rh;s,^out$,out,").arg("out");
    }
    succeed(command.arg("evil")).unwrap();
    tar
}

/// A module that imports a function nobody provides.
fn with_import(module: &str, name: &str) -> Vec<u8> {
    let mut import = vec![1, u8::try_from(module.len()).unwrap()];
    import.extend(module.bytes());
    import.push(u8::try_from(name.len()).unwrap());
    import.extend(name.bytes());
    import.extend([0, 0]);
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02".to_vec();
    bytes.push(u8::try_from(import.len()).unwrap());
    bytes.extend(import);
    bytes.extend(b"\x03\x02\x01\0\x07\x0a\x01\x06_start\0\x01\x0a\x04\x01\x02\0\x0b");
    bytes
}

#[test]
fn images_that_cannot_be_had() {
    let mut cluster = Cluster::start().unwrap();
    cluster.expect_log("image");
    let registry = Registry::start().unwrap();
    let host = registry.host();
    let witness = Witness::start(&cluster);
    let layout = Layout::new().unwrap();
    let reference = |tag: &str| format!("{host}/bad:{tag}");
    let push = |tag: &str| layout.push(tag, &host, "bad", tag).unwrap();
    let layer = |tag: &str| {
        layout.manifest(tag).unwrap()["layers"][0]["digest"].as_str().unwrap().to_owned()
    };

    // A layer whose bytes are not what its digest says, one that is shorter, one cut before it was signed for.
    layout.build("damaged", |root| Ok(std::fs::write(root.join("a"), "damaged")?)).unwrap();
    push("damaged");
    let damaged = registry.blob(&layer("damaged"));
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&damaged, bytes).unwrap();
    layout.build("shortened", |root| Ok(std::fs::write(root.join("a"), "shortened")?)).unwrap();
    push("shortened");
    let shortened = registry.blob(&layer("shortened"));
    let bytes = std::fs::read(&shortened).unwrap();
    std::fs::write(&shortened, &bytes[..bytes.len() / 2]).unwrap();
    relayered(&layout, "cut", |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes
    });
    push("cut");
    // A manifest that is another than its digest says.
    layout.build("swapped", |root| Ok(std::fs::write(root.join("a"), "swapped")?)).unwrap();
    push("swapped");
    let swapped = layout.digest("swapped").unwrap();
    let other = layout.blob(&layout.digest("cut").unwrap()).unwrap();
    std::fs::write(registry.blob(&swapped), other).unwrap();
    // Names that climb out.
    let temp = tempfile::tempdir().unwrap();
    layout.busybox("dotdot").unwrap();
    layout.add_tar("dotdot", &evil_tar(temp.path(), "../../escaped", None)).unwrap();
    push("dotdot");
    // No Wasm, Wasm with an import that nobody provides, an image of another machine.
    let config = ("application/vnd.wasm.config.v0+json", &b"{}"[..]);
    layout.artifact("page", config, &[("application/wasm", b"<html>404</html>")]).unwrap();
    push("page");
    layout
        .artifact("import", config, &[("application/wasm", &with_import("env", "make_coffee"))])
        .unwrap();
    push("import");
    layout.busybox("foreign").unwrap();
    layout.configure("foreign", &["--architecture", "s390x"]).unwrap();
    layout.index("mainframe", &[("foreign", "linux/s390x")]).unwrap();
    push("mainframe");

    let by_digest = format!("{host}/bad@{swapped}");
    let nowhere = format!("{host}/bad@sha256:{}", "0".repeat(64));
    let mut manifest = pod("unknown", &reference("nowhere"));
    for tag in ["damaged", "shortened", "cut", "dotdot", "page", "mainframe", "import"] {
        manifest.push_str(&pod(tag, &reference(tag)));
    }
    manifest.push_str(&pod("swapped", &by_digest));
    manifest.push_str(&pod("unknown-digest", &nowhere));
    manifest.push_str(&pod("no-registry", "127.0.0.1:9/nothing:v1"));
    cluster.apply(&manifest).unwrap();
    for (name, words) in [
        ("unknown", vec![reference("nowhere"), "has no manifest bad:nowhere".into()]),
        ("unknown-digest", vec![nowhere, "has no manifest bad@sha256:0000".into()]),
        ("no-registry", vec!["127.0.0.1:9/nothing:v1".into(), "refused".into()]),
        (
            "damaged",
            vec![reference("damaged"), "expected a blob with digest".into(), layer("damaged")],
        ),
        ("shortened", vec![reference("shortened"), layer("shortened"), "ended early".into()]),
        ("cut", vec![reference("cut"), "truncated or corrupt".into(), layer("cut")]),
        ("swapped", vec![swapped]),
        ("dotdot", vec![reference("dotdot"), "../../escaped".into()]),
        ("page", vec![reference("page"), "is not WebAssembly: it is an HTML page".into()]),
        ("mainframe", vec![reference("mainframe"), "built for linux/s390x".into()]),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        cannot_have_its_image(&cluster, name, &words);
    }
    // The module itself is well-formed: it is the container that cannot start.
    let import = cluster.until(&["pod", "import"], |pod| pod["status"]["phase"] == "Failed");
    let terminated = &import["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(terminated["reason"], "WasmLinkError", "{terminated}");
    assert_eq!(terminated["message"], "imports env#make_coffee, which is not provided");
    cluster.apply(&pod("no-name", "Not An Image")).unwrap();
    cluster.until(&["pod", "no-name"], |pod| waiting(pod).0 == "InvalidImageName");
    witness.is_undisturbed(&cluster);

    // An absolute link is no way out either: inside the container it leads to a place inside.
    let victim = tempfile::tempdir().unwrap();
    let temp = tempfile::tempdir().unwrap();
    layout.busybox("link").unwrap();
    layout.add_tar("link", &evil_tar(temp.path(), "out/escaped", Some(victim.path()))).unwrap();
    layout.configure("link", &["--config.cmd", "cat", "--config.cmd", "/out/escaped"]).unwrap();
    push("link");
    cluster.apply(&pod("link", &reference("link"))).unwrap();
    cluster.until(&["pod", "link"], |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(cluster.wctl(&["logs", "link"]).unwrap(), "evil");
    assert_eq!(std::fs::read_dir(victim.path()).unwrap().count(), 0, "written outside");

    // The same words from the command line.
    let page = temp.path().join("page.wasm");
    std::fs::write(&page, "<!doctype html><title>login</title>").unwrap();
    for command in [vec!["image", "load"], vec!["run"]] {
        let mut arguments = command;
        arguments.push(page.to_str().unwrap());
        let error = cluster.wctl_fails(&arguments).unwrap();
        assert!(error.contains("is not WebAssembly: it is an HTML page"), "{error}");
    }
    let import = temp.path().join("import.wasm");
    std::fs::write(&import, with_import("env", "make_coffee")).unwrap();
    let error = cluster.wctl_fails(&["run", "--rm", import.to_str().unwrap()]).unwrap();
    assert!(error.contains("make_coffee"), "{error}");
    let error = cluster.wctl_fails(&["run", "--rm", &reference("page")]).unwrap();
    assert!(error.contains("is not WebAssembly: it is an HTML page"), "{error}");
    witness.is_undisturbed(&cluster);
}
