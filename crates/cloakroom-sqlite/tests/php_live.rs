//! One visitor on both sides: mini's own steps in PHP-FPM, and this library, on one file.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/both.rs"]
mod both;
#[path = "../../cloakroom-redis/tests/php_support/fpm.rs"]
mod fpm;
#[path = "../../cloakroom-redis/tests/php_support/mini.rs"]
mod mini;

use std::path::Path;

use both::Both;
use cloakroom_sqlite::php::{Layout, PhpCache, PhpCacheStore};

/// mini's cache in a file of its own, and both sides on it until `visit` is over.
async fn on_a_cache(visit: impl AsyncFnOnce(&Both)) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mini-cache.sqlite3");
    let steps = include_str!("php/cache.php").trim_start_matches("<?php");
    let cache = format!("const FILE = '{}';\n{steps}", file.display());
    let layout = Layout::mini().user_variable("user_id");
    let store = PhpCacheStore::new(PhpCache::open(&file).unwrap(), layout.clone());
    let both = mini::open(&cache, &layout, store);
    visit(&both).await;
    // Before it ends, which gives leases back.
    holds_no_lease(&file);
}

fn holds_no_lease(file: &Path) {
    let conn = rusqlite::Connection::open(file).unwrap();
    let held = "SELECT count(*) FROM cloakroom_php WHERE owner IS NOT NULL";
    assert_eq!(conn.query_row(held, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "leases");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_mini_and_rust() {
    on_a_cache(async |both| both::a_visit(both, false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_nothing_is_lost_between_requests_here() {
    on_a_cache(mini::increments).await;
}
