//! The conformance suite over mini's cache: whatever PHP's layout can offer at all.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/terms.rs"]
mod terms;

use std::path::Path;
use std::sync::{Arc, Mutex};

use cloakroom::store::Store;
use cloakroom_sqlite::php::{Layout, PhpCache, PhpCacheStore};
use cloakroom_testing::conformance::Subject;
use terms::{InPhpsTerms, Known, USER, conforms};

/// Each handle is as good as another process: they have nothing in common but the file.
fn open(dir: &Path, known: &Arc<Mutex<Known>>) -> Arc<dyn Store> {
    let cache = PhpCache::open(dir.join("mini-cache.sqlite3")).unwrap();
    let layout = Layout::mini().user_variable(USER);
    Arc::new(InPhpsTerms::new(Arc::new(PhpCacheStore::new(cache, layout)), known))
}

async fn subject() -> Subject {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (at, known) = (dir.clone(), Arc::<Mutex<Known>>::default());
    let opened = Subject::opened(move || {
        let store = open(at.path(), &known);
        async move { store }
    });
    opened.await.keep(dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_mini_passes() {
    conforms(subject, &[], &["awkward_keys_survive"]).await;
}
