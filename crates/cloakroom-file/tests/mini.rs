//! mini's cache in files, where this test plays mini.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cloakroom::clock::{Clock as _, SystemClock};
use cloakroom::store::Store;
use cloakroom::{ErrorKind, Mode, Session, SessionError, SessionHandle, SessionManager};
use cloakroom_file::OpenErrorKind;
use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles};
use cloakroom_php::CacheEntry;
use cloakroom_testing::ManualClock;
use cloakroom_testing::processes::rounds;
use http::{HeaderMap, Request, StatusCode};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A service of ours on mini's cache, and mini beside it.
struct Service {
    dir: PathBuf,
    store: PhpFileStore,
    sessions: SessionManager,
}

impl Service {
    async fn on(dir: &Path) -> Self {
        Self::with(dir, Mode::Merge).await
    }

    async fn with(dir: &Path, mode: Mode) -> Self {
        let layout = Layout::mini();
        // However busy the disk is.
        let config = layout.session_config().mode(mode).deadlines(PATIENCE, PATIENCE);
        let store = PhpFileStore::new(PhpFiles::builder(dir).create(true).open().await.unwrap(), layout);
        let sessions = SessionManager::new(store.clone(), config).unwrap();
        Service { dir: dir.to_owned(), store, sessions }
    }

    fn file(&self, id: &str) -> PathBuf {
        self.dir.join(CacheEntry::file_name(&format!("session.{id}")))
    }

    /// `file_put_contents($path, serialize(…), LOCK_EX)`
    fn mini_writes(&self, id: &str, value: &str, expires_at: i64) {
        put(&self.file(id), entry(value, expires_at).as_bytes());
    }

    /// What mini has for this session, and when it ends.
    fn entry(&self, id: &str) -> Option<(String, i64)> {
        let entry = CacheEntry::decode(&std::fs::read(self.file(id)).ok()?).unwrap();
        Some((String::from_utf8(entry.value).unwrap(), entry.expires_at))
    }

    fn request(&self, id: &str) -> SessionHandle {
        let request = Request::builder().header("cookie", format!("PHPSESSID={id}"));
        self.sessions.open(&request.body(()).unwrap(), None)
    }

    async fn close(&self, handle: &SessionHandle) -> Result<(), SessionError> {
        match self.sessions.close(handle, StatusCode::OK, &mut HeaderMap::new()).await {
            cloakroom::Outcome::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn visit<T>(&self, id: &str, handler: impl AsyncFnOnce(&Session) -> T) -> T {
        let handle = self.request(id);
        let answer = handler(&handle.open().await.unwrap()).await;
        self.close(&handle).await.unwrap();
        answer
    }

    async fn n(&self, id: &str) -> Option<i64> {
        self.visit(id, async |session| session.get("n").unwrap()).await
    }
}

fn entry(value: &str, expires_at: i64) -> String {
    format!("a:2:{{s:5:\"value\";{value}s:10:\"expires_at\";i:{expires_at};}}")
}

fn put(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.lock().unwrap();
    file.set_len(0).unwrap();
    file.write_all(bytes).unwrap();
}

/// The entry without looking at who writes it, as mini reads. `None` where PHP cannot make anything of the text.
fn mini_reads(path: &Path) -> Option<CacheEntry> {
    CacheEntry::decode(&std::fs::read(path).unwrap()).ok()
}

#[tokio::test]
async fn what_mini_wrote_in_a_file_is_read_and_written_as_mini_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::on(dir.path()).await;
    let objects = "s:1:\"o\";O:1:\"N\":1:{s:4:\"\0N\0p\";i:1;}s:1:\"p\"";
    service.mini_writes(ID, &format!("a:3:{{s:1:\"n\";i:1;{objects};r:4;}}"), now() + 10_800);
    std::fs::set_permissions(service.file(ID), Permissions::from_mode(0o644)).unwrap();
    service
        .visit(ID, async |session| {
            assert_eq!(session.get("n").unwrap(), Some(1));
            session.set("n", 22).unwrap();
        })
        .await;
    let expected = |ends| entry(&format!("a:3:{{s:1:\"n\";i:22;{objects};r:4;}}"), ends);
    let (_, ends) = service.entry(ID).unwrap();
    assert!((now() + 10_790..=now() + 10_801).contains(&ends), "{ends}");
    assert_eq!(std::fs::read_to_string(service.file(ID)).unwrap(), expected(ends));
    let mode = service.file(ID).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "its mode stays");
    // The same before the id was PSR-16's: mini's older releases.
    let older = Layout::mini().prefix("session:");
    let files = PhpFiles::open(dir.path()).await.unwrap();
    let config = older.session_config();
    let sessions = SessionManager::new(PhpFileStore::new(files, older), config).unwrap();
    let path = dir.path().join(CacheEntry::file_name(&format!("session:{ID}")));
    put(&path, entry("a:1:{s:1:\"n\";i:5;}", now() + 60).as_bytes());
    let request = Request::builder().header("cookie", format!("PHPSESSID={ID}")).body(()).unwrap();
    assert_eq!(sessions.open(&request, None).open().await.unwrap().get("n").unwrap(), Some(5));
}

#[tokio::test]
async fn what_is_past_its_time_in_a_file_is_not_loaded_and_an_unknown_id_is_not_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::on(dir.path()).await;
    service.mini_writes(ID, "a:1:{s:1:\"n\";i:1;}", now() - 5);
    service
        .visit(ID, async |session| {
            assert!(session.is_empty());
            session.set("n", 2).unwrap();
        })
        .await;
    assert_ne!(service.entry(ID).map(|(value, _)| value), Some("a:1:{s:1:\"n\";i:2;}".to_owned()));
    assert_eq!(service.n(&ID.replace('0', "e")).await, None);
    // A visit that is due makes it live for longer, and changes nothing else.
    let id = ID.replace('0', "f");
    let before = now() + 5000;
    service.mini_writes(&id, "a:1:{s:1:\"n\";i:1;}", before);
    assert_eq!(service.n(&id).await, Some(1));
    let began = Instant::now();
    while service.entry(&id).unwrap().1 == before {
        assert!(began.elapsed() < PATIENCE, "it was not touched");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(service.entry(&id).unwrap().0, "a:1:{s:1:\"n\";i:1;}");
    assert!(service.entry(&id).unwrap().1 > now() + 10_700);
}

#[tokio::test]
async fn c1_a_write_of_minis_in_between_is_noticed_by_its_bytes_and_both_survive() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::on(dir.path()).await;
    service.mini_writes(ID, "a:2:{s:1:\"a\";i:1;s:1:\"b\";i:1;}", now() + 60);
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    session.set("b", 22).unwrap();
    service.mini_writes(ID, "a:2:{s:1:\"a\";i:99;s:1:\"b\";i:1;}", now() + 60);
    service.close(&handle).await.unwrap();
    assert_eq!(service.entry(ID).unwrap().0, "a:2:{s:1:\"a\";i:99;s:1:\"b\";i:22;}");
    // And what was read before is not written over.
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    let a: i64 = session.get("a").unwrap().unwrap();
    session.set("a", a + 1).unwrap();
    service.mini_writes(ID, "a:2:{s:1:\"a\";i:100;s:1:\"b\";i:22;}", now() + 60);
    assert_eq!(service.close(&handle).await.unwrap_err().kind(), ErrorKind::Conflict);
}

/// mini reads before it locks: a write of its that waited for a lease would undo what was written under it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_lease_excludes_other_processes_of_ours_and_lets_mini_write() {
    let dir = tempfile::tempdir().unwrap();
    let (service, other) = (Service::on(dir.path()).await, Service::on(dir.path()).await);
    service.mini_writes(ID, "a:1:{s:1:\"n\";i:1;}", now() + 600);
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    let mut guard = session.lock().await.unwrap();
    let is_free = || File::open(service.file(ID)).unwrap().try_lock().is_ok();
    assert!(is_free());
    // Another process waits, and reads go on.
    assert_eq!(other.n(ID).await, Some(1));
    let update = async {
        other
            .visit(ID, async |session| {
                session.update("n", |n: Option<i64>| n.unwrap_or(0) + 10).await.unwrap()
            })
            .await
    };
    tokio::pin!(update);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut update).await.is_err());
    service.mini_writes(ID, "a:2:{s:1:\"n\";i:1;s:1:\"m\";i:7;}", now() + 600);
    guard.set("n", 2).unwrap();
    guard.commit().await.unwrap();
    service.close(&handle).await.unwrap();
    assert_eq!(update.await, 12);
    assert_eq!(service.entry(ID).unwrap().0, "a:2:{s:1:\"n\";i:12;s:1:\"m\";i:7;}");
    // A request in exclusive mode gives it back.
    let exclusive = Service::with(dir.path(), Mode::Exclusive).await;
    exclusive.visit(ID, async |session| session.set("n", 3).unwrap()).await;
    assert_eq!(
        other
            .visit(ID, async |session| {
                session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap()
            })
            .await,
        4
    );
}

/// mini reads without a lock. Half a value would be no session to it, and it would write back an empty one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_value_that_is_written_here_is_never_seen_half_by_mini() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::on(dir.path()).await;
    service.mini_writes(ID, "a:1:{s:1:\"n\";i:1;}", now() + 600);
    let (stop, path) = (Arc::new(AtomicBool::new(false)), service.file(ID));
    let stopped = stop.clone();
    let mini = std::thread::spawn(move || {
        let (mut reads, mut halves) = (0, 0);
        while !stopped.load(Ordering::Relaxed) {
            reads += 1;
            halves += usize::from(mini_reads(&path).is_none());
        }
        (reads, halves)
    });
    for n in 0..rounds(150, 3000) {
        let filler = char::from(b'a' + (n % 26) as u8).to_string().repeat(n % 7 * 20_000);
        service.visit(ID, async |session| session.put("filler", &filler).await.unwrap()).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (reads, halves) = mini.join().unwrap();
    assert!(reads > 50, "{reads}");
    assert_eq!(halves, 0, "of {reads}");
}

#[tokio::test]
async fn what_mini_is_about_to_write_is_waited_for_and_what_it_cannot_read_is_refused_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::on(dir.path()).await;
    // It has made the file and not written it, or begun to write over what was there.
    for before in ["", "a:2:{s:5:\"val"] {
        let mut file = File::create(service.file(ID)).unwrap();
        file.lock().unwrap();
        file.write_all(before.as_bytes()).unwrap();
        let rest = entry("a:1:{s:1:\"n\";i:4;}", now() + 60)[before.len()..].to_owned();
        let writes = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            file.write_all(rest.as_bytes()).unwrap();
        });
        assert_eq!(service.n(ID).await, Some(4), "{before}");
        writes.join().unwrap();
    }
    // Made, and its process was killed.
    std::fs::write(service.file(ID), "").unwrap();
    assert_eq!(service.n(ID).await, None);
    let never = "a:2:{s:5:\"value\";a:0:{}s:10:\"expires_at\";N;}".to_owned();
    let whole = entry("a:0:{}", now() + 60);
    for text in [&whole[..whole.len() - 1], "i:1;", &never, &entry("i:5;", now() + 60), &format!("{whole}x")]
    {
        std::fs::write(service.file(ID), text).unwrap();
        let error = service.request(ID).open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{text}: {error}");
        assert_eq!(std::fs::read_to_string(service.file(ID)).unwrap(), text);
    }
}

#[tokio::test]
async fn what_is_past_its_time_in_minis_files_is_purged_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::on(dir.path()).await;
    service.mini_writes(ID, "a:0:{}", now() - 5);
    let (alive, long) = (ID.replace('0', "f"), ID.replace('0', "e"));
    service.mini_writes(&alive, "a:0:{}", now() + 60);
    service.mini_writes(&long, &format!("a:1:{{s:1:\"t\";s:9000:\"{}\";}}", "x".repeat(9000)), now() - 5);
    // Not in this very moment: the clock of the store may be a tick behind the one by which a file is as new as that.
    for id in [ID, &long] {
        let file = OpenOptions::new().write(true).open(service.file(id)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(5)).unwrap();
    }
    let others = ["README", ".hidden", &"g".repeat(64), &"0".repeat(64)];
    for name in others {
        std::fs::write(dir.path().join(name), "i:1;").unwrap();
    }
    let in_use = File::open(service.file(&long)).unwrap();
    in_use.lock_shared().unwrap();
    let purged = service.store.purge(100).await.unwrap();
    assert_eq!((purged.removed, purged.more), (1, false));
    drop(in_use);
    assert!(service.entry(ID).is_none() && service.entry(&alive).is_some());
    assert_eq!(service.store.purge(100).await.unwrap().removed, 1);
    assert!(service.entry(&long).is_none());
    for name in others {
        assert!(dir.path().join(name).exists(), "{name}");
    }
}

/// What a killed process of ours left is tidied up; what only has such a name is not, and keeps nothing else from being so.
#[tokio::test]
async fn a_file_of_ours_that_was_never_put_in_place_is_purged_and_nothing_of_that_name_stops_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(SystemClock.now());
    let store = |layout| {
        let files = PhpFiles::builder(dir.path()).clock(clock.clone()).open();
        async { PhpFileStore::new(files.await.unwrap(), layout) }
    };
    let mini = store(Layout::mini()).await;
    let named = |name: &str| dir.path().join(format!(".cloakroom-new-{name}"));
    for name in ["abandoned", "foreign"] {
        std::fs::write(named(name), "a:0:{}").unwrap();
    }
    std::fs::create_dir(named("directory")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", named("link")).unwrap();
    // Only root can make it another user's.
    let is_foreign = std::os::unix::fs::chown(named("foreign"), Some(65_534), None).is_ok();
    let over = dir.path().join(CacheEntry::file_name(&format!("session.{ID}")));
    put(&over, entry("a:0:{}", now() + 30).as_bytes());
    assert_eq!(mini.purge(100).await.unwrap().removed, 0, "somebody may be writing it");
    clock.advance(Duration::from_secs(90));
    // PHP's own sessions are written in place: no such file is made, and none is ours.
    assert_eq!(store(Layout::php_files()).await.purge(100).await.unwrap().removed, 0);
    let purged = mini.purge(100).await.unwrap();
    assert_eq!((purged.removed, purged.more), (2 + usize::from(!is_foreign), false));
    assert!(!over.exists() && !named("abandoned").exists());
    assert_eq!(named("foreign").exists(), is_foreign);
    assert!(named("directory").is_dir() && named("link").is_symlink());
}

/// Nor does trouble with PHP's directory: what is beside is tidied up by the next call.
#[tokio::test]
async fn a_purge_that_could_not_go_on_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, gone) = (dir.path().join("cache"), dir.path().join("gone"));
    std::fs::create_dir(&cache).unwrap();
    let clock = ManualClock::at(SystemClock.now());
    let files = PhpFiles::builder(&cache).beside(dir.path().join("beside")).clock(clock.clone());
    let layout = Layout::mini();
    let config = layout.session_config();
    let store = PhpFileStore::new(files.open().await.unwrap(), layout);
    let sessions = SessionManager::new(store.clone(), config).unwrap();
    let service = Service { dir: cache.clone(), store, sessions };
    service.mini_writes(ID, "a:1:{s:1:\"n\";i:1;}", now() + 600);
    service.visit(ID, async |session| session.destroy().await.unwrap()).await;
    std::fs::rename(&cache, &gone).unwrap();
    service.store.purge(100).await.unwrap_err();
    std::fs::rename(&gone, &cache).unwrap();
    clock.advance(Duration::from_secs(3 * 24 * 3600));
    assert_eq!(service.store.purge(100).await.unwrap().removed, 1, "the marker of the session that ended");
}

/// The cache is in a folder that everybody may write to.
#[tokio::test]
async fn a_directory_or_file_of_minis_that_somebody_else_may_have_put_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mini-cache");
    let missing = PhpFiles::open(&folder).await.err().unwrap();
    assert_eq!(missing.kind(), OpenErrorKind::NoSavePath);
    let service = Service::on(&folder).await;
    let mode = folder.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let target = dir.path().join("target");
    std::fs::write(&target, entry("a:1:{s:1:\"n\";i:1;}", now() + 60)).unwrap();
    std::os::unix::fs::symlink(&target, service.file(ID)).unwrap();
    assert_eq!(service.request(ID).open().await.unwrap_err().kind(), ErrorKind::Decode);
    std::fs::remove_file(service.file(ID)).unwrap();
    service.mini_writes(ID, "a:1:{s:1:\"n\";i:1;}", now() + 60);
    std::fs::set_permissions(service.file(ID), Permissions::from_mode(0o666)).unwrap();
    assert_eq!(service.request(ID).open().await.unwrap_err().kind(), ErrorKind::Decode);
    drop(service);
    std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let refused = PhpFiles::builder(&folder).create(true).open().await.err().unwrap();
    assert!(matches!(refused.kind(), OpenErrorKind::NotSticky { .. }), "{refused}");
}
