//! One visitor on both sides: mini's own steps in PHP-FPM, and this library, on one cache in files.
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
use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles};

/// mini's cache in a directory of its own, and both sides on it until `visit` is over. Neither is there first.
async fn on_a_cache(visit: impl AsyncFnOnce(&Both)) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("mini-cache");
    let steps = include_str!("php/cache.php").trim_start_matches("<?php");
    let cache = format!("const FOLDER = '{}';\n{steps}", folder.display());
    let layout = Layout::mini().user_variable("user_id");
    let files = PhpFiles::builder(&folder).create(true).open().await.unwrap();
    let both = mini::open(&cache, &layout, PhpFileStore::new(files, layout.clone()));
    visit(&both).await;
    // Before it ends, which gives leases back.
    is_content(&folder);
}

/// What is there is entries as mini has them, and ours in a directory of their own with nothing that was begun and no lease.
fn is_content(folder: &Path) {
    for there in std::fs::read_dir(folder).unwrap() {
        let path = there.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !path.is_dir() {
            assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
            continue;
        }
        assert!(name.starts_with(".cloakroom-"), "{name}");
        for dir in std::fs::read_dir(path).unwrap().map(|dir| dir.unwrap().path()).filter(|dir| dir.is_dir())
        {
            for file in std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()) {
                assert!(file.extension().is_none(), "{}", file.display());
                assert!(std::fs::read(&file).unwrap().starts_with(b"CPK1"), "a lease: {}", file.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_mini_and_rust_in_files() {
    on_a_cache(async |both| both::a_visit(both, false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_nothing_is_lost_between_requests_here_in_files() {
    on_a_cache(mini::increments).await;
}
