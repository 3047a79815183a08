//! Registries that stumble: what passes is tried again, what does not is named.

use runtime::image::{Credentials, ImageError, PullOptions, RegistryError};
use tests::images::Layout;
use tests::registry::Registry;

use crate::scripted::{Answer, Asked, Scripted};
use crate::support::{Store, chain, lowerdirs};

fn layout() -> Layout {
    let layout = Layout::new().unwrap();
    layout.busybox("one").unwrap();
    layout
}

fn layer_digest(layout: &Layout) -> String {
    layout.manifest("one").unwrap()["layers"][0]["digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_registry_that_answers_500_then_200() {
    let layout = layout();
    let mut failed = std::collections::HashSet::new();
    // Every URL fails once, each in another way.
    let registry = Scripted::start(&layout, "one", move |asked, usual| {
        if !failed.insert(asked.path.clone()) {
            return usual;
        }
        match failed.len() {
            1 => Answer::status(500),
            2 => Answer { headers: vec!["Retry-After: 1".into()], ..Answer::status(429) },
            _ => Answer::status(503),
        }
    });
    let store = Store::new().await;
    let image = store.pull(&registry.reference()).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(lowerdirs(&image).len(), 1);
    assert_eq!(registry.asked("manifests").len(), 2);
}

#[tokio::test]
async fn a_registry_that_only_answers_500_is_named() {
    let layout = layout();
    let body = br#"{"errors":[{"code":"UNKNOWN","message":"disk on fire"}]}"#;
    let registry = Scripted::start(&layout, "one", |_, _| Answer {
        body: body.to_vec(),
        ..Answer::status(500)
    });
    let store = Store::new().await;
    let error = store.pull(&registry.reference()).await.unwrap_err();
    assert!(error.is_transient());
    let text = chain(&error);
    assert!(text.contains("500") && text.contains("disk on fire"), "{text}");
    assert!(text.contains(registry.address()), "{text}");
    assert_eq!(registry.asked("manifests").len(), 5);
    store.assert_untouched();
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    let layout = layout();
    let layer = layer_digest(&layout);
    let registry =
        Scripted::start(&layout, "one", move |asked, usual| resume(asked, usual, &layer));
    let store = Store::new().await;
    store.pull(&registry.reference()).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let ranges: Vec<_> =
        registry.asked(&layer_digest(&layout)).iter().map(|asked| asked.range).collect();
    assert_eq!(ranges, [None, Some(100_000), Some(200_000), Some(300_000)]);
}

/// Serves ranges of the layer, breaking off after 100 kB, three times.
fn resume(asked: &Asked, usual: Answer, layer: &str) -> Answer {
    if !asked.path.ends_with(layer) {
        return usual;
    }
    let from = asked.range.unwrap_or(0) as usize;
    let (all, body) = (usual.body.len(), usual.body[from..].to_vec());
    Answer {
        status: if from == 0 { 200 } else { 206 },
        headers: vec![format!("Content-Range: bytes {from}-{}/{all}", all - 1)],
        cut: (from < 300_000).then_some(100_000),
        body,
    }
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_read_from_the_start() {
    let layout = layout();
    let layer = layer_digest(&layout);
    let mut tries = 0;
    let registry = Scripted::start(&layout, "one", move |asked, usual| {
        tries += u32::from(asked.path.ends_with(&layer));
        let cut = (tries == 1 && asked.path.ends_with(&layer)).then_some(100_000);
        Answer { cut, ..usual }
    });
    let store = Store::new().await;
    store.pull(&registry.reference()).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
}

#[tokio::test]
async fn a_layer_that_always_ends_early_is_truncated() {
    let layout = layout();
    let layer = layer_digest(&layout);
    let registry = Scripted::start(&layout, "one", move |asked, mut usual| {
        if asked.path.ends_with(&layer) {
            // Honest about its length, unlike the manifest.
            usual.body.truncate(50_000);
            usual.body.drain(..asked.range.unwrap_or(0) as usize);
            let range = asked.range.map(|from| format!("Content-Range: bytes {from}-49999/50000"));
            usual.status = if range.is_some() { 206 } else { 200 };
            usual.headers.extend(range);
        }
        usual
    });
    let store = Store::new().await;
    let error = store.pull(&registry.reference()).await.unwrap_err();
    let ImageError::Registry { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, RegistryError::Truncated { received: 50_000, .. }), "{error:?}");
    let text = chain(&error);
    assert!(text.contains("got 50000 of") && text.contains(&layer_digest(&layout)), "{text}");
    store.assert_untouched();
}

#[tokio::test]
async fn wrong_bytes_are_refused_with_both_digests() {
    let layout = layout();
    let layer = layer_digest(&layout);
    for part in ["blobs", "manifests"] {
        let registry = Scripted::start(&layout, "one", move |asked, mut usual| {
            if asked.path.contains(part) {
                let last = usual.body.len() - 1;
                usual.body[last] ^= 1;
            }
            usual
        });
        let store = Store::new().await;
        // By digest, a manifest is checked like any blob.
        let digest = layout.digest("one").unwrap();
        let error = store.pull(&format!("{}@{digest}", registry.reference())).await.unwrap_err();
        let ImageError::WrongDigest { expected, actual, .. } = &error else { panic!("{error:?}") };
        assert_ne!(expected, actual);
        let text = chain(&error);
        assert!(
            text.contains(&expected.to_string()) && text.contains(&actual.to_string()),
            "{text}"
        );
        store.assert_untouched();
    }
    let registry = Scripted::start(&layout, "one", move |asked, mut usual| {
        if asked.path.ends_with(&layer) {
            usual.body.extend_from_slice(b"and more");
        }
        usual
    });
    let store = Store::new().await;
    let error = store.pull(&registry.reference()).await.unwrap_err();
    assert!(chain(&error).contains("larger than"), "{}", chain(&error));
    store.assert_untouched();
}

#[tokio::test]
async fn many_pulls_of_one_image_are_one() {
    let layout = layout();
    let registry = Scripted::start(&layout, "one", |_, usual| usual);
    let store = Store::new().await;
    let reference = registry.reference();
    let pulls = (0..8).map(|_| store.pull(&reference));
    for image in futures_util::future::join_all(pulls).await {
        image.unwrap();
    }
    assert_eq!(registry.asked("manifests").len(), 1);
    assert_eq!(registry.asked("blobs").len(), 2);
    // And a second name for the same content fetches no layer.
    store.pull(&format!("{reference}@{}", layout.digest("one").unwrap())).await.unwrap();
    assert_eq!(registry.asked("blobs").len(), 2);
}

#[tokio::test]
async fn tokens_and_passwords() {
    let layout = layout();
    let mut address = String::new();
    let probe = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let shared = probe.clone();
    let registry = Scripted::start(&layout, "one", move |asked, usual| {
        if address.is_empty() {
            address = shared.lock().unwrap().clone();
        }
        let basic = "Basic dXNlcjpwYXNz"; // user:pass
        if asked.path.starts_with("/token") {
            let right = asked.authorization.as_deref() == Some(basic)
                && asked.path == "/token?service=reg&scope=repository:image:pull";
            let body = br#"{"token":"t0ken"}"#.to_vec();
            return if right {
                Answer { body, ..Answer::status(200) }
            } else {
                Answer::status(401)
            };
        }
        if asked.authorization.as_deref() == Some("Bearer t0ken") {
            return usual;
        }
        let challenge =
            format!("Www-Authenticate: Bearer realm=\"http://{address}/token\",service=\"reg\"");
        Answer { headers: vec![challenge], ..Answer::status(401) }
    });
    *probe.lock().unwrap() = registry.address().to_owned();
    let store = Store::new().await;
    let error = store.pull(&registry.reference()).await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains("denies access to image") && !error.is_transient(), "{text}");
    let credentials = Credentials { username: "user".into(), password: "pass".into() };
    let options = PullOptions { credentials: Some(credentials), ..PullOptions::default() };
    store.images.pull(&registry.reference(), options).await.unwrap();
    // One token serves the whole pull: one more request without authorization, then none.
    let with_token = registry.asked("/v2/").iter().filter(|a| a.authorization.is_some()).count();
    assert_eq!(with_token, 3, "manifest, config and layer");
}

#[tokio::test]
async fn redirects_do_not_carry_the_token_elsewhere() {
    let layout = layout();
    let elsewhere = Scripted::start(&layout, "one", |_, usual| usual);
    let target = elsewhere.address().to_owned();
    let registry = Scripted::start(&layout, "one", move |asked, usual| {
        if asked.authorization.is_none() {
            return Answer {
                headers: vec!["WWW-Authenticate: Basic".into()],
                ..Answer::status(401)
            };
        }
        if asked.path.contains("/blobs/") {
            let location = format!("Location: http://{target}{}", asked.path);
            return Answer { headers: vec![location], ..Answer::status(307) };
        }
        usual
    });
    let store = Store::new().await;
    let credentials = Credentials { username: "user".into(), password: "pass".into() };
    let options = PullOptions { credentials: Some(credentials), ..PullOptions::default() };
    store.images.pull(&registry.reference(), options).await.unwrap();
    let blobs = elsewhere.asked("/blobs/");
    assert_eq!(blobs.len(), 2);
    assert!(blobs.iter().all(|asked| asked.authorization.is_none()), "{blobs:?}");
}

#[tokio::test]
async fn unknown_images_and_unreachable_registries_are_named() {
    let registry = Registry::start().unwrap();
    let store = Store::new().await;
    let error = store.pull(&format!("{}/no/such:tag", registry.host())).await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains("has no manifest no/such:tag") && !error.is_transient(), "{text}");
    let gone = registry.host();
    drop(registry);
    let error = store.pull(&format!("{gone}/x")).await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains(&format!("cannot reach registry {gone}")), "{text}");
    assert!(text.to_lowercase().contains("refused"), "{text}");
    let error = store.pull("Not A Reference").await.unwrap_err();
    assert!(chain(&error).contains("is not an image reference"), "{}", chain(&error));
    store.assert_untouched();
}

#[tokio::test]
async fn progress_ends_at_the_whole() {
    let layout = layout();
    let registry = Scripted::start(&layout, "one", |_, usual| usual);
    let store = Store::new().await;
    let (sender, receiver) = tokio::sync::watch::channel(Default::default());
    let options = PullOptions { progress: Some(sender), ..PullOptions::default() };
    let image = store.images.pull(&registry.reference(), options).await.unwrap();
    let last = *receiver.borrow();
    assert_eq!(last.phase, runtime::image::Phase::Complete);
    assert_eq!((last.done, last.total), (image.size, image.size));
}
