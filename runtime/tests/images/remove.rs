//! Taking images away: shared layers stay, used images stay, everything else goes.

use tests::images::Layout;
use tests::registry::Registry;

use crate::support::{Store, chain, fixture, lowerdirs, module, open};

/// No container runs.
fn nobody() -> Vec<String> {
    Vec::new()
}

/// Containers run from these images.
fn by_digest(digests: &[String]) -> impl Fn() -> Vec<String> + Send + 'static + use<> {
    let digests = digests.to_vec();
    move || digests.clone()
}

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
    let removed = store.images.remove("layout:base", nobody).await.unwrap();
    assert_eq!(removed.untagged, ["docker.io/library/layout:base"]);
    assert_eq!(removed.deleted.as_ref(), Some(&base.digest));
    assert!(removed.freed > 0);
    assert!(store.names("layers").len() < layers);
    assert!(lowerdirs(&more).iter().all(|layer| layer.is_dir()));
    assert!(store.images.get("layout:base").is_none());
    store.images.remove(&more.digest.to_string(), nobody).await.unwrap();
    for folder in ["layers", "blobs/sha256", "records", "refs", "tmp"] {
        assert!(store.names(folder).is_empty(), "{folder}: {:?}", store.names(folder));
    }
    let error = store.images.remove("layout:more", nobody).await.unwrap_err();
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
    let removed = store.images.remove(&name, by_digest(&in_use)).await.unwrap();
    assert_eq!((removed.deleted, removed.untagged.len()), (None, 1));
    assert!(lowerdirs(&image)[0].is_dir());
    assert!(store.images.get(&name).is_none());
    assert!(store.images.get(&in_use[0]).is_some());
    for all in [false, true] {
        assert!(store.images.prune(all, by_digest(&in_use)).await.unwrap().deleted.is_empty());
    }
    let pruned = store.images.prune(false, nobody).await.unwrap();
    assert_eq!(pruned.deleted, [image.digest]);
    assert!(!lowerdirs_exist(&store));
    // Nothing is in the way of pulling it again.
    store.pull(&name).await.unwrap();
    assert!(store.images.prune(false, nobody).await.unwrap().deleted.is_empty(), "it has a name");
    assert_eq!(store.images.prune(true, nobody).await.unwrap().deleted.len(), 1);
}

#[tokio::test]
async fn an_image_that_a_container_is_started_from_stays() {
    let store = Store::new().await;
    let image = store.images.load(&fixture("hello.wasm"), None).await.unwrap().remove(0);
    let lease = store.images.lease("hello").await.expect("the image");
    assert_eq!(lease.image().digest, image.digest);
    // Another process, such as a tool beside the agent, shares nothing but the disk.
    let other = open(store.path()).await;
    for images in [&store.images, &other] {
        assert!(images.prune(true, nobody).await.unwrap().deleted.is_empty());
        assert!(images.get("hello").is_some(), "a prune leaves it its name");
    }
    let removed = other.remove("hello", nobody).await.unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted), (1, None));
    assert!(module(&image).exists());

    // The container runs: now it is in use. That is asked last of all, when no start can be under way.
    drop(lease);
    let in_use = [image.digest.to_string()];
    assert!(other.prune(true, by_digest(&in_use)).await.unwrap().deleted.is_empty());
    assert!(module(&image).exists());

    assert_eq!(
        other.prune(true, nobody).await.unwrap().deleted,
        std::slice::from_ref(&image.digest)
    );
    assert!(!module(&image).exists());
    assert!(store.images.lease(&in_use[0]).await.is_none());
    assert!(store.names("leases").is_empty(), "{:?}", store.names("leases"));
}

/// What the removal is told is in use must not be older than its right to remove.
#[tokio::test]
async fn who_uses_an_image_is_asked_when_nobody_can_start_from_it() {
    let store = Store::new().await;
    let image = store.images.load(&fixture("hello.wasm"), None).await.unwrap().remove(0);
    let lease = store.path().join("leases").join(image.digest.hex());
    let asked = move || {
        let file = std::fs::File::open(&lease).unwrap();
        let held = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
        assert!(held.is_err(), "a container could be started now");
        vec![image.digest.to_string()]
    };
    assert!(store.images.prune(true, asked.clone()).await.unwrap().deleted.is_empty());
    assert_eq!(store.images.remove("hello", asked).await.unwrap().deleted, None);
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
    store.images.remove("hello", nobody).await.unwrap();
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
