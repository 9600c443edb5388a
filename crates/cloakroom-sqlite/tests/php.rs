//! mini's cache on SQLite, where this test plays mini.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloakroom::store::Store;
use cloakroom::{SessionHandle, SessionManager};
use cloakroom_sqlite::OpenErrorKind;
use cloakroom_sqlite::php::{Layout, PhpCache, PhpCacheStore};
use http::{HeaderMap, Request, StatusCode};
use rusqlite::{Connection, params};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Service {
    folder: tempfile::TempDir,
    store: PhpCacheStore,
    sessions: SessionManager,
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

impl Service {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::mini();
        // However busy the disk is.
        let config = layout.session_config().deadlines(Duration::from_secs(20), Duration::from_secs(20));
        let cache = PhpCache::open(folder.path().join("mini-cache.sqlite3")).unwrap();
        let store = PhpCacheStore::new(cache, layout);
        let sessions = SessionManager::new(store.clone(), config).unwrap();
        Service { folder, store, sessions }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("mini-cache.sqlite3")
    }

    fn mini_writes(&self, id: &str, value: &[u8], expires_at: Option<i64>) {
        let conn = Connection::open(self.file()).unwrap();
        let store = "INSERT OR REPLACE INTO cache (key, value, expires_at, created_at) VALUES (?1, CAST(?2 AS TEXT), ?3, ?4)";
        conn.execute(store, params![format!("session.{id}"), value, expires_at, now()]).unwrap();
    }

    /// The value as text, its type and when it ends.
    fn entry(&self, id: &str) -> Option<(Vec<u8>, String, i64)> {
        let conn = Connection::open(self.file()).unwrap();
        let read = "SELECT CAST(value AS BLOB), typeof(value), expires_at FROM cache WHERE key = ?1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        conn.query_row(read, [format!("session.{id}")], row).ok()
    }

    fn request(&self, id: &str) -> SessionHandle {
        let request = Request::builder().header("cookie", format!("PHPSESSID={id}"));
        self.sessions.open(&request.body(()).unwrap(), None)
    }

    async fn close(&self, handle: &SessionHandle) {
        let outcome = self.sessions.close(handle, StatusCode::OK, &mut HeaderMap::new()).await;
        assert!(!matches!(outcome, cloakroom::Outcome::Failed(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_mini_wrote_is_read_and_written_as_mini_writes_it() {
    let service = Service::new();
    let object = b"s:1:\"o\";O:1:\"N\":1:{s:4:\"\0N\0p\";i:1;}";
    service.mini_writes(ID, &[b"a:2:{s:1:\"n\";i:1;", &object[..], b"}"].concat(), Some(now() + 10_800));
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    assert_eq!(session.get("n").unwrap(), Some(1));
    session.set("n", 2).unwrap();
    service.close(&handle).await;
    let (value, kind, expires_at) = service.entry(ID).unwrap();
    assert_eq!(value, [b"a:2:{s:1:\"n\";i:2;", &object[..], b"}"].concat());
    assert_eq!(kind, "text");
    assert!((now() + 10_790..=now() + 10_801).contains(&expires_at), "{expires_at}");
}

#[tokio::test]
async fn what_is_past_its_time_is_not_loaded_and_an_unknown_id_is_not_adopted() {
    let service = Service::new();
    service.mini_writes(ID, b"a:1:{s:1:\"n\";i:1;}", Some(now() - 5));
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    assert!(session.is_empty());
    session.set("n", 2).unwrap();
    service.close(&handle).await;
    assert_ne!(service.entry(ID).map(|(value, ..)| value), Some(b"a:1:{s:1:\"n\";i:2;}".to_vec()));
    // Without an end it is for ever.
    service.mini_writes(ID, b"a:1:{s:1:\"n\";i:3;}", None);
    let handle = service.request(ID);
    assert_eq!(handle.open().await.unwrap().get("n").unwrap(), Some(3));
}

#[tokio::test]
async fn what_is_past_its_time_is_purged_and_other_entries_of_the_cache_are_minis() {
    let service = Service::new();
    service.mini_writes(ID, b"a:0:{}", Some(now() - 5));
    let alive = ID.replace('0', "f");
    service.mini_writes(&alive, b"a:0:{}", Some(now() + 60));
    let conn = Connection::open(service.file()).unwrap();
    conn.execute("INSERT INTO cache (key, value, expires_at) VALUES ('sessions', 'i:1;', 1)", []).unwrap();
    service.store.purge(100).await.unwrap();
    assert!(service.entry(ID).is_none() && service.entry(&alive).is_some());
    let others: i64 =
        conn.query_row("SELECT count(*) FROM cache WHERE key = 'sessions'", [], |row| row.get(0)).unwrap();
    assert_eq!(others, 1);
}

#[test]
fn a_cache_of_another_application_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cache.sqlite3");
    let conn = Connection::open(&file).unwrap();
    conn.execute("CREATE TABLE cache (key TEXT PRIMARY KEY, value TEXT, expiration INTEGER)", []).unwrap();
    let refused = PhpCache::open(&file).unwrap_err();
    assert_eq!(refused.kind(), OpenErrorKind::Foreign, "{refused}");
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 2, "the table and its own index");
}

/// The cache is in a folder that everybody may write to.
#[cfg(unix)]
#[test]
fn a_file_that_somebody_else_may_have_put_there_is_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("mini-cache.sqlite3"), dir.path().join("link.sqlite3"));
    drop(PhpCache::open(&file).unwrap());
    symlink(&file, &link).unwrap();
    assert_eq!(PhpCache::open(&link).unwrap_err().kind(), OpenErrorKind::NotTrusted);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = PhpCache::open(&file).unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::NotTrusted);
    assert!(error.to_string().contains("remove it"), "{error}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(PhpCache::open(&file).unwrap());
    // Only root can give files away.
    if file.metadata().unwrap().uid() == 0 {
        chown(&file, Some(12_345), None).unwrap();
        assert_eq!(PhpCache::open(&file).unwrap_err().kind(), OpenErrorKind::NotTrusted);
    }
}

/// mini takes no lock: it writes while somebody here holds one.
#[tokio::test]
async fn c1_what_mini_wrote_beside_a_lock_is_not_overwritten_by_who_read_what_was_there_before() {
    let service = Service::new();
    let lasts = Some(now() + 10_800);
    service.mini_writes(ID, b"a:1:{s:1:\"n\";i:10;}", lasts);
    let session = service.request(ID).open().await.unwrap();
    let mut guard = session.lock().await.unwrap();
    let n: i64 = guard.get("n").unwrap().unwrap();
    service.mini_writes(ID, b"a:1:{s:1:\"n\";i:0;}", lasts);
    guard.set("n", n - 3).unwrap();
    assert_eq!(guard.commit().await.unwrap_err().kind(), cloakroom::ErrorKind::Conflict);
    assert_eq!(service.entry(ID).unwrap().0, b"a:1:{s:1:\"n\";i:0;}");
}
