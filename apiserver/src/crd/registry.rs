//! The rows that were added at run time, and their caches.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::resources::Resource;
use parking_lot::RwLock;

use crate::cacher::Cacher;

/// What is served beside the built-in rows. Reading it clones a pointer.
#[derive(Default)]
pub(crate) struct Registry(RwLock<Arc<Table>>);

/// The rows of one moment.
#[derive(Default)]
struct Table {
    /// The caches of a definition's versions, by the name of the definition.
    definitions: BTreeMap<String, Vec<Arc<Cacher>>>,
    /// All rows of the API, the built-in ones first.
    rows: Arc<Vec<Arc<Resource>>>,
}

impl Registry {
    /// Nothing but the built-in rows.
    pub(crate) fn new() -> Registry {
        Registry(RwLock::new(Arc::new(Table::new(BTreeMap::new()))))
    }

    /// All rows, in discovery order.
    pub(crate) fn rows(&self) -> Arc<Vec<Arc<Resource>>> {
        self.0.read().rows.clone()
    }

    /// The cache of a custom resource by its path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Cacher>> {
        // Definitions are named PLURAL.GROUP.
        let caches = self.caches(&format!("{plural}.{group}"));
        caches.into_iter().find(|cache| cache.resource().version == version)
    }

    /// The caches of a definition, one per served version.
    pub(crate) fn caches(&self, definition: &str) -> Vec<Arc<Cacher>> {
        self.0.read().definitions.get(definition).cloned().unwrap_or_default()
    }

    /// The caches of all definitions.
    pub(crate) fn all_caches(&self) -> Vec<Arc<Cacher>> {
        self.0.read().definitions.values().flatten().cloned().collect()
    }

    /// Serves a definition's versions from now on, or nothing of it any more.
    pub(super) fn put(&self, definition: &str, caches: Vec<Arc<Cacher>>) {
        let mut table = self.0.write();
        let mut definitions = table.definitions.clone();
        if caches.is_empty() {
            definitions.remove(definition);
        } else {
            definitions.insert(definition.to_owned(), caches);
        }
        *table = Arc::new(Table::new(definitions));
    }
}

impl Table {
    fn new(definitions: BTreeMap<String, Vec<Arc<Cacher>>>) -> Table {
        let mut custom: Vec<_> =
            definitions.values().flatten().map(|cache| cache.resource().clone()).collect();
        custom.sort_by(|a, b| {
            let versions = api::custom::by_priority(&a.version, &b.version);
            a.group.cmp(&b.group).then(versions).then_with(|| a.plural.cmp(&b.plural))
        });
        let mut rows = api::resources::table().to_vec();
        rows.extend(custom);
        Table { definitions, rows: Arc::new(rows) }
    }
}
