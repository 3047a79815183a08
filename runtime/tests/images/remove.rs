//! Taking images away: shared layers stay, used images stay, everything else goes.

use tests::images::Layout;
use tests::registry::Registry;

use crate::support::{Store, chain, fixture, lowerdirs, module, open};

#[tokio::test]
async fn shared_layers_stay_until_the_last_image_goes() {
    let layout = Layout::new().unwrap();
    layout.busybox("base").unwrap();
    layout.busybox("more").unwrap();
    let mut manifest = layout.manifest("more").unwrap();
    manifest["layers"][0] = layout.manifest("base").unwrap()["layers"][0].clone();
    layout.layer("base", |root| Ok(std::fs::write(root.join("extra"), "extra")?)).unwrap();
    let store = Store::new().await;
    store
        .images
        .load(&layout.path(), None)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let (base, more) =
        (store.images.get("layout:base").unwrap(), store.images.get("layout:more").unwrap());
    let layers = store.names("layers").len();
    let removed = store.images.remove("layout:base", &[]).await.unwrap();
    assert_eq!(removed.untagged, ["docker.io/library/layout:base"]);
    assert_eq!(removed.deleted.as_ref(), Some(&base.digest));
    assert!(removed.freed > 0);
    assert!(store.names("layers").len() < layers);
    assert!(lowerdirs(&more).iter().all(|layer| layer.is_dir()));
    assert!(store.images.get("layout:base").is_none());
    store.images.remove(&more.digest.to_string(), &[]).await.unwrap();
    for folder in ["layers", "blobs/sha256", "records", "refs", "tmp"] {
        assert!(store.names(folder).is_empty(), "{folder}: {:?}", store.names(folder));
    }
    let error = store.images.remove("layout:more", &[]).await.unwrap_err();
    assert!(chain(&error).contains("no image \"layout:more\""), "{}", chain(&error));
}

#[tokio::test]
async fn an_image_in_use_loses_its_name_only() {
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("one").unwrap();
    layout.push("one", &registry.host(), "one", "latest").unwrap();
    let name = format!("{}/one", registry.host());
    let store = Store::new().await;
    let image = store.pull(&name).await.unwrap();
    let in_use = [image.digest.to_string()];
    let removed = store.images.remove(&name, &in_use).await.unwrap();
    assert_eq!((removed.deleted, removed.untagged.len()), (None, 1));
    assert!(lowerdirs(&image)[0].is_dir());
    assert!(store.images.get(&name).is_none());
    assert!(store.images.get(&in_use[0]).is_some());
    for all in [false, true] {
        assert!(store.images.prune(all, &in_use).await.unwrap().deleted.is_empty());
    }
    let pruned = store.images.prune(false, &[]).await.unwrap();
    assert_eq!(pruned.deleted, [image.digest]);
    assert!(!lowerdirs_exist(&store));
    // Nothing is in the way of pulling it again.
    store.pull(&name).await.unwrap();
    assert!(store.images.prune(false, &[]).await.unwrap().deleted.is_empty(), "it has a name");
    assert_eq!(store.images.prune(true, &[]).await.unwrap().deleted.len(), 1);
}

fn lowerdirs_exist(store: &Store) -> bool {
    !store.names("layers").is_empty()
}

#[tokio::test]
async fn compiled_code_goes_with_its_module() {
    let store = Store::new().await;
    let image = store.images.load(&fixture("hello.wasm"), None).await.unwrap().remove(0);
    let compiled = store.images.ensure_compiled(&image).await.unwrap();
    assert!(compiled.is_file());
    // The cache may be emptied at any time (an upgrade looks for other files in it).
    std::fs::remove_file(&compiled).unwrap();
    assert_eq!(store.images.ensure_compiled(&image).await.unwrap(), compiled);
    store.images.remove("hello", &[]).await.unwrap();
    assert!(!compiled.exists() && !module(&image).exists());
    assert!(store.images.ensure_compiled(&image).await.is_err());
}

#[tokio::test]
async fn opening_sweeps_what_a_killed_pull_left() {
    let store = Store::new().await;
    store.images.load(&fixture("hello.wasm"), None).await.unwrap();
    let root = store.path();
    std::fs::create_dir_all(root.join("tmp/1-dead/etc")).unwrap();
    std::fs::write(root.join("tmp/1-dead/etc/passwd"), "x").unwrap();
    std::fs::create_dir(root.join("layers").join("a".repeat(64))).unwrap();
    std::fs::write(root.join("blobs/sha256").join("b".repeat(64)), "x").unwrap();
    std::fs::write(root.join("records/torn.json"), "{").unwrap();
    let again = open(root).await;
    assert!(store.names("tmp").is_empty() && store.names("layers").is_empty());
    assert_eq!(store.names("blobs/sha256").len(), 3, "manifest, config, module");
    assert_eq!(again.list().len(), 1);
    // An image whose files somebody deleted does not exist: it is pulled again, not started.
    std::fs::remove_file(module(&again.list()[0])).unwrap();
    assert!(again.get("hello").is_none() && again.list().is_empty());
}
