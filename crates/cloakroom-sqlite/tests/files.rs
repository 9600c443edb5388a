//! The files of a store: who may read them, who may not, and what is said about it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom_sqlite::{Durability, OpenErrorKind, SqliteStore};
use support::*;

#[tokio::test]
async fn a_path_that_is_no_file_is_refused() {
    for path in ["", ":memory:"] {
        let error = SqliteStore::open(path).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::NotAPath);
        assert!(error.to_string().contains("memory store"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let error = SqliteStore::open(dir.path()).await.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::NotADatabase, "{error}");
}

#[tokio::test]
async fn whatever_a_file_is_called_it_is_that_file() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a b?mode=memory&x=%41#y", "file:x", "\u{1F9E5}.db", "-wal"] {
        let path = dir.path().join(name);
        let store = SqliteStore::open(&path).await.unwrap();
        created(&store, key(1), name).await;
        store.close().await.unwrap();
        assert!(path.is_file(), "{name}");
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(text(&live(&store, key(1)).await.record.payload.clone()), name);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_everybody_may_write_to_and_a_link_of_somebody_elses_are_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("s.db"), dir.path().join("link"));
    created(&SqliteStore::open(&file).await.unwrap(), key(1), "x").await;
    symlink(&file, &link).unwrap();
    // As where the data are on another disk.
    live(&SqliteStore::open(&link).await.unwrap(), key(1)).await;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    for path in [&file, &link] {
        let error = SqliteStore::open(path).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::NotTrusted);
        assert!(error.to_string().contains("written to by everybody"), "{error}");
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o660)).unwrap();
    live(&SqliteStore::open(&file).await.unwrap(), key(1)).await;
    // Only root can give a link away.
    if dir.path().metadata().unwrap().uid() == 0 {
        lchown(&link, Some(12_345), None).unwrap();
        assert_eq!(SqliteStore::open(&link).await.unwrap_err().kind(), OpenErrorKind::NotTrusted);
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    std::fs::write(&path, "").unwrap();
    created(&SqliteStore::open(&path).await.unwrap(), key(1), "x").await;
}

#[tokio::test]
async fn many_that_open_a_new_file_at_once_all_get_the_same_store() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let opening: Vec<_> = (0..8).map(|_| tokio::spawn(SqliteStore::open(path.clone()))).collect();
        let mut stores = Vec::new();
        for store in opening {
            stores.push(store.await.unwrap().unwrap());
        }
        for (n, store) in stores.iter().enumerate() {
            created(store, key(n as u64), "x").await;
        }
        assert_eq!(stores[0].stats().await.unwrap().live, Some(8));
    }
}

#[tokio::test]
async fn a_file_that_another_process_keeps_locked_is_told_as_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    let theirs = rusqlite::Connection::open(&path).unwrap();
    theirs.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let opened = SqliteStore::builder(&path).busy_timeout(Duration::from_millis(50)).open().await;
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), OpenErrorKind::Busy, "{error}");
    drop(theirs);
    created(&SqliteStore::open(&path).await.unwrap(), key(1), "x").await;
}

/// As applications write "never".
#[tokio::test]
async fn c9_a_busy_timeout_without_an_end_is_one_like_others() {
    let dir = tempfile::tempdir().unwrap();
    for never in [Duration::from_secs(30 * 24 * 3600), Duration::MAX] {
        let store = SqliteStore::builder(dir.path().join("s.db")).busy_timeout(never).open().await.unwrap();
        created(&store, key(u64::from(never == Duration::MAX)), "x").await;
    }
}

#[tokio::test]
async fn an_older_copy_put_in_place_is_told_once_and_a_new_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let old = dir.path().join("backup");
    let store = SqliteStore::open(&path).await.unwrap();
    created(&store, key(0), "x").await;
    store.close().await.unwrap();
    std::fs::copy(&path, &old).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 1..=7 {
        created(&store, key(n), "x").await;
    }
    store.close().await.unwrap();

    std::fs::copy(&old, &path).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.lost_commits(), 7);
    live(&store, key(0)).await;
    drop(store);
    assert_eq!(SqliteStore::open(&path).await.unwrap().lost_commits(), 0);

    std::fs::remove_file(&path).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.lost_commits(), 0, "the count belongs to another file");
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_kept_beside_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("s.db")).await.unwrap();
    for n in 0..20 {
        created(&store, key(n), "x").await;
    }
    for name in ["s.db", "s.db-wal", "s.db-commits"] {
        std::fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    let log = crashed.path().join("s.db-wal");
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.len() * 2 / 3;
    bytes[at] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let store = SqliteStore::open(crashed.path().join("s.db")).await.unwrap();
    assert!(store.lost_commits() > 0);
    assert_eq!(std::fs::read(crashed.path().join("s.db-wal.damaged")).unwrap(), bytes);
}

#[tokio::test]
async fn the_weaker_durability_stores_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::builder(&path).durability(Durability::ProcessCrash).open().await.unwrap();
    created(&store, key(1), "x").await;
    drop(store);
    live(&SqliteStore::open(&path).await.unwrap(), key(1)).await;
}

/// Permissions are checked in a process that they hold for: as root, one that gave up the right to override them.
#[cfg(unix)]
mod permissions {
    use std::fs::{OpenOptions, Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use cloakroom_testing::processes::{command, role};

    fn chmod(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn every_file_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        chmod(dir.path(), 0o755);
        let path = dir.path().join("s.db");
        let store = SqliteStore::open(&path).await.unwrap();
        created(&store, key(1), "x").await;
        for name in ["s.db", "s.db-wal", "s.db-shm", "s.db-commits"] {
            let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    fn run(scenario: &str, path: &Path) {
        let probe_dir = tempfile::tempdir().unwrap();
        let probe = probe_dir.path().join("probe");
        std::fs::write(&probe, "").unwrap();
        chmod(&probe, 0o400);
        let privileged = OpenOptions::new().write(true).open(&probe).is_ok();
        let mut child = if privileged {
            let without = "--bounding-set=-dac_override,-dac_read_search,-fowner";
            command(&["setpriv", without, "--"], "permissions::child", scenario, path)
        } else {
            command(&[], "permissions::child", scenario, path)
        };
        let output = child
            .stderr(std::process::Stdio::piped())
            .output()
            .expect("setpriv (util-linux) is needed as root");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains(&format!("{scenario}: done")), "{out}\n{err}");
    }

    /// Where the child begins. On its own it has nothing to do.
    #[tokio::test]
    async fn child() {
        let Some((scenario, path)) = role() else { return };
        let error = SqliteStore::open(&path).await.unwrap_err();
        let expected: &[OpenErrorKind] = match scenario.as_str() {
            "read-only file" => &[OpenErrorKind::ReadOnly, OpenErrorKind::PermissionDenied],
            _ => &[OpenErrorKind::PermissionDenied],
        };
        assert!(expected.contains(&error.kind()), "{:?}: {error}", error.kind());
        let said = error.to_string();
        assert!(said.contains("s.db") && (said.contains("write")), "{said}");
        println!("{scenario}: done");
    }

    #[tokio::test]
    async fn a_file_that_may_only_be_read_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let store = SqliteStore::open(&path).await.unwrap();
        created(&store, key(1), "x").await;
        store.close().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        chmod(&path, 0o400);
        run("read-only file", &path);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        chmod(&path, 0o600);
        live(&SqliteStore::open(&path).await.unwrap(), key(1)).await;
    }

    #[tokio::test]
    async fn a_file_that_may_not_be_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        SqliteStore::open(&path).await.unwrap().close().await.unwrap();
        chmod(&path, 0o000);
        run("unreadable file", &path);
    }

    #[tokio::test]
    async fn a_directory_that_may_not_be_written_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let path = inner.join("s.db");
        chmod(&inner, 0o500);
        run("closed directory", &path);
        chmod(&inner, 0o700);
        created(&SqliteStore::open(&path).await.unwrap(), key(1), "x").await;
    }
}
