use store::{Error, KeyValue, Page, Revision};

use super::{Place, value};

fn keys(items: &[KeyValue]) -> Vec<&str> {
    items.iter().map(|item| &*item.key).collect()
}

pub(crate) async fn an_empty_store_answers(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.revision().await.unwrap(), Revision(0));
    assert_eq!(store.get("/a").await.unwrap(), None);
    assert_eq!(store.get("").await.unwrap(), None);
    let listing = store.list("/", Page::default()).await.unwrap();
    assert_eq!((listing.items.len(), listing.revision, listing.more), (0, Revision(0), false));
    store.close().await;
}

pub(crate) async fn get_returns_what_was_stored(place: &Place) {
    let store = place.open().await;
    let bytes = bytes::Bytes::from_iter(0..=255u8);
    let created = store.create("/a/ö", bytes.clone()).await.unwrap();
    let modified = store.update("/a/ö", value(""), created).await.unwrap();
    store.create("/b", bytes.clone()).await.unwrap();
    let found = store.get("/a/ö").await.unwrap().expect("the key exists");
    assert_eq!(
        found,
        KeyValue {
            key: "/a/ö".into(),
            value: value(""),
            create_revision: created,
            mod_revision: modified
        }
    );
    assert_eq!(store.get("/b").await.unwrap().expect("the key exists").value, bytes);
    store.close().await;
    let again = place.open().await;
    assert_eq!(again.get("/a/ö").await.unwrap(), Some(found));
    again.close().await;
}

pub(crate) async fn list_takes_a_prefix_in_byte_order(place: &Place) {
    let store = place.open().await;
    // Neither a locale's order nor case folding: bytes.
    for key in ["/a/b", "/a/B", "/a/é", "/a", "/a/", "/a/a-b", "/a/a", "/a/a/c", "/a0", "/b/a"] {
        store.create(key, value(key)).await.unwrap();
    }
    let listing = store.list("/a/", Page::default()).await.unwrap();
    assert_eq!(keys(&listing.items), ["/a/", "/a/B", "/a/a", "/a/a-b", "/a/a/c", "/a/b", "/a/é"]);
    assert_eq!(listing.revision, Revision(10));
    assert!(!listing.more);
    assert_eq!(store.list("", Page::default()).await.unwrap().items.len(), 10);
    // An underscore and a percent sign are no patterns.
    assert_eq!(store.list("/_/", Page::default()).await.unwrap().items.len(), 0);
    assert_eq!(store.list("%", Page::default()).await.unwrap().items.len(), 0);
    store.close().await;
}

pub(crate) async fn pages_continue_behind_the_last_key(place: &Place) {
    let store = place.open().await;
    for n in 0..10 {
        store.create(&format!("/a/{n}"), value("x")).await.unwrap();
    }
    store.create("/b/0", value("x")).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = Page { limit: Some(3), after: after.clone() };
        let listing = store.list("/a/", page).await.unwrap();
        seen.extend(listing.items.iter().map(|item| item.key.to_string()));
        if !listing.more {
            assert_eq!(listing.items.len(), 1);
            break;
        }
        assert_eq!(listing.items.len(), 3);
        after = seen.last().cloned();
    }
    assert_eq!(seen, (0..10).map(|n| format!("/a/{n}")).collect::<Vec<_>>());
    // A page that ends exactly at the end says so; a deleted key can be continued from.
    let page = Page { limit: Some(5), after: Some("/a/4".into()) };
    assert!(!store.list("/a/", page).await.unwrap().more);
    let page = Page { limit: None, after: Some("/a/7x".into()) };
    assert_eq!(keys(&store.list("/a/", page).await.unwrap().items), ["/a/8", "/a/9"]);
    let page = Page { limit: Some(0), after: None };
    let none = store.list("/a/", page).await.unwrap();
    assert!(none.items.is_empty() && none.more);
    store.close().await;
}

pub(crate) async fn the_past_can_be_listed(place: &Place) {
    let store = place.open().await;
    store.create("/a/1", value("one")).await.unwrap(); // 1
    store.create("/a/2", value("two")).await.unwrap(); // 2
    store.update("/a/1", value("one'"), Revision(1)).await.unwrap(); // 3
    store.delete("/a/2", Revision(2)).await.unwrap(); // 4
    store.create("/a/2", value("two again")).await.unwrap(); // 5
    store.create("/a/3", value("three")).await.unwrap(); // 6
    store.update("/a/1", value("one''"), Revision(3)).await.unwrap(); // 7
    let past = async |at: i64| {
        let listing = store.list_at("/a/", Page::default(), Revision(at)).await.unwrap();
        assert_eq!(listing.revision, Revision(at));
        listing
            .items
            .iter()
            .map(|item| {
                let text = String::from_utf8_lossy(&item.value).into_owned();
                (item.key.to_string(), text, item.create_revision.0, item.mod_revision.0)
            })
            .collect::<Vec<_>>()
    };
    let row = |key: &str, text: &str, created, modified| {
        (key.to_owned(), text.to_owned(), created, modified)
    };
    assert_eq!(past(0).await, []);
    assert_eq!(past(2).await, [row("/a/1", "one", 1, 1), row("/a/2", "two", 2, 2)]);
    assert_eq!(past(3).await, [row("/a/1", "one'", 1, 3), row("/a/2", "two", 2, 2)]);
    assert_eq!(past(4).await, [row("/a/1", "one'", 1, 3)]);
    assert_eq!(past(5).await, [row("/a/1", "one'", 1, 3), row("/a/2", "two again", 5, 5)]);
    assert_eq!(past(7).await.len(), 3);
    let page = Page { limit: Some(1), after: Some("/a/1".into()) };
    let second = store.list_at("/a/", page, Revision(6)).await.unwrap();
    assert_eq!((keys(&second.items), second.more), (vec!["/a/2"], true));
    let future = store.list_at("/a/", Page::default(), Revision(8)).await;
    assert!(matches!(future, Err(Error::Future { .. })), "{future:?}");
    store.close().await;
}
