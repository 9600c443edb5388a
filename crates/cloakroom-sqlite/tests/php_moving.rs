//! Live sessions on their way from mini's cache to the store's own, where this test plays mini.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/moving/mod.rs"]
mod moving;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloakroom::store::Store;
use cloakroom_php::layout::{Moving, PhpSessions};
use cloakroom_sqlite::SqliteStore;
use cloakroom_sqlite::php::{Layout, PhpCache, Stage};
use moving::late::{Calls, Late};
use moving::{Application, moving_suite};
use rusqlite::{Connection, params};

/// An application of mini's.
struct InCache(tempfile::TempDir);

fn all() -> [InCache; 1] {
    [InCache(tempfile::tempdir().unwrap())]
}

impl InCache {
    fn cache(&self) -> PhpCache {
        PhpCache::open(self.0.path().join("mini-cache.sqlite3")).unwrap()
    }

    fn connection(&self) -> Connection {
        let connection = Connection::open(self.0.path().join("mini-cache.sqlite3")).unwrap();
        connection.busy_timeout(Duration::from_secs(20)).unwrap();
        connection
    }
}

impl Application for InCache {
    fn layout(&self) -> Layout {
        Layout::mini().user_variable("user_id")
    }

    async fn moving_with(&self, stage: Stage, new: Arc<dyn Store>, calls: Calls) -> Arc<dyn Store> {
        let php = PhpSessions::new(Late::new(self.cache(), calls), self.layout());
        Arc::new(Moving::new(php, new, stage))
    }

    async fn place(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.0.path().join("ours.db")).await.unwrap())
    }

    fn writes(&self, id: &str, variables: &str) {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let store =
            "INSERT OR REPLACE INTO cache (key, value, expires_at, created_at) VALUES (?1, ?2, ?3, ?4)";
        let row = params![format!("session.{id}"), variables, now + 10_800, now];
        self.connection().execute(store, row).unwrap();
    }

    fn ends(&self, id: &str) {
        self.connection().execute("DELETE FROM cache WHERE key = ?1", [format!("session.{id}")]).unwrap();
    }

    fn has(&self, id: &str) -> bool {
        let count = "SELECT count(*) FROM cache WHERE key = ?1";
        let count = self.connection().query_row(count, [format!("session.{id}")], |row| row.get::<_, i64>(0));
        count.unwrap() > 0
    }
}

moving_suite!(all());
