//! One visitor on both sides: mini's own steps in PHP-FPM, and this library, on one file.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/fpm.rs"]
mod fpm;
#[path = "../../cloakroom-redis/tests/php_support/mini.rs"]
mod mini;

use std::path::Path;
use std::sync::Arc;

use cloakroom_sqlite::php::{Layout, PhpCache, PhpCacheStore};
use mini::{Shop, a_visit, increments};

fn open(file: &Path) -> Arc<Shop> {
    let cache = format!(
        "const FILE = '{}';\n{}",
        file.display(),
        include_str!("php/cache.php").trim_start_matches("<?php")
    );
    let layout = Layout::mini().user_variable("user_id");
    let store = PhpCacheStore::new(PhpCache::open(file).unwrap(), layout.clone());
    Shop::open(&cache, &layout, store)
}

fn is_content(shop: &Shop, file: &Path) {
    assert_eq!(shop.php.complaints(), "");
    let conn = rusqlite::Connection::open(file).unwrap();
    let held = "SELECT count(*) FROM cloakroom_php WHERE owner IS NOT NULL";
    assert_eq!(conn.query_row(held, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "leases");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_mini_and_rust() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mini-cache.sqlite3");
    let shop = open(&file);
    a_visit(&shop).await;
    is_content(&shop, &file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_nothing_is_lost_between_requests_here() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mini-cache.sqlite3");
    let shop = open(&file);
    increments(&shop).await;
    is_content(&shop, &file);
}
