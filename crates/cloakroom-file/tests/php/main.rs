//! PHP's sessions in files, where this test plays PHP.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod processes;
mod service;

use std::fs::{File, FileTimes, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use cloakroom::store::Store;
use cloakroom::{ErrorKind, Locking, Mode, Session, SessionError, SessionHandle, SessionManager};
use cloakroom_file::OpenErrorKind;
use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles};
use cloakroom_testing::processes::{command, role, rounds, tell, told};
use cloakroom_testing::{ManualClock, chain};
use http::{HeaderMap, Request, StatusCode};
use service::{Php, Service, place};

const ID: &str = "0123456789abcdefghijklmnop";
#[tokio::test]
async fn what_php_wrote_is_read_and_php_reads_what_is_written_in_files() {
    let dir = place();
    let service = Service::on(dir.path(), Mode::Merge).await;
    let before = r#"who|O:4:"User":1:{s:4:"name";s:3:"Ann";}basket|a:1:{i:0;s:2:"A1";}again|r:1;"#;
    service.php_writes(ID, before);
    service
        .visit(ID, async |session| {
            let mut basket: Vec<String> = session.get("basket").unwrap().unwrap();
            basket.push("B2".to_owned());
            session.set("basket", &basket).unwrap();
            session.flash("Added.").unwrap();
        })
        .await;
    let now = r#"who|O:4:"User":1:{s:4:"name";s:3:"Ann";}basket|a:2:{i:0;s:2:"A1";i:1;s:2:"B2";}again|r:1;"#;
    assert_eq!(service.value(ID).as_deref(), Some(now));
    let flashes: Vec<String> = service.visit(ID, async |session| session.flashes().unwrap()).await;
    assert_eq!(flashes, ["Added."]);
    // What the format cannot carry is refused, and nothing is written.
    let handle = service.request(ID);
    let refused = handle.open().await.unwrap().put("a|b", 1).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Encode);
    assert_eq!(service.value(ID).as_deref(), Some(now));
    // What PHP could not read either is an error, and stays.
    service.php_writes(ID, "n|i:1");
    assert_eq!(service.request(ID).open().await.unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(service.value(ID).as_deref(), Some("n|i:1"));
}

#[tokio::test]
async fn c3_an_id_that_php_has_no_file_of_is_not_adopted_and_none_leads_elsewhere() {
    let dir = place();
    let path = dir.path().join("sessions");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(dir.path().join("sess_outside"), "n|i:1;").unwrap();
    let service = Service::on(&path, Mode::Merge).await;
    for strange in [
        ID,
        "../sess_outside/../../../../",
        "..%2Fsess_outside%2F.......",
        "0123456789%00abcdefghijklmnop",
        "0123456789",
    ] {
        let handle = service.request(strange);
        let session = handle.open().await.unwrap();
        assert!(session.is_empty(), "{strange}");
        session.set("n", 1).unwrap();
        let id = service.close(&handle).await.unwrap().unwrap();
        assert!(id != strange && id.len() == 26, "{id}");
        assert_eq!(service.value(&id).as_deref(), Some("n|i:1;"));
        let mode = std::fs::metadata(service.file(&id)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // An id with a comma, as PHP sends it.
    let comma = "0123456789,abcdef-GHIJKLMN";
    service.php_writes(comma, "n|i:5;");
    assert_eq!(service.n(&comma.replace(',', "%2C")).await, Some(5));
}

#[tokio::test]
async fn c1_a_write_of_phps_in_between_is_noticed_by_its_bytes_in_files_and_both_survive() {
    let dir = place();
    let service = Service::on(dir.path(), Mode::Merge).await;
    service.php_writes(ID, "a|i:1;b|i:1;");
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    session.set("b", 22).unwrap();
    service.php_writes(ID, "a|i:99;b|i:1;c|i:3;");
    service.close(&handle).await.unwrap();
    assert_eq!(service.value(ID).as_deref(), Some("a|i:99;b|i:22;c|i:3;"));
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    let a: i64 = session.get("a").unwrap().unwrap();
    session.set("a", a + 1).unwrap();
    service.php_writes(ID, "a|i:100;b|i:22;c|i:3;");
    assert_eq!(service.close(&handle).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(service.value(ID).as_deref(), Some("a|i:100;b|i:22;c|i:3;"));
}

/// Whatever request of PHP's has the file open: it goes by that, and not by its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_c4_a_request_of_phps_that_waits_over_an_end_finds_nothing_and_brings_nothing_back() {
    let dir = place();
    let service = Service::on(dir.path(), Mode::Exclusive).await;
    for (id, end) in [(ID.to_owned(), "destroy"), (ID.replace('0', "z"), "regenerate")] {
        let before = "n|i:1;user_id|i:7;";
        service.php_writes(&id, before);
        let handle = service.request(&id);
        let session = handle.open().await.unwrap();
        // It has the file open before the end, and gets its lock after it: until then we have it.
        let file = OpenOptions::new().read(true).write(true).open(service.file(&id)).unwrap();
        assert!(file.try_lock().is_err());
        let waits = std::thread::spawn(move || {
            file.lock().unwrap();
            let php = Php(file);
            let read = php.reads();
            php.ends(before);
            read
        });
        match end {
            "destroy" => session.destroy().await.unwrap(),
            _ => session.regenerate().await.unwrap(),
        }
        service.close(&handle).await.unwrap();
        assert_eq!(waits.join().unwrap(), "", "{end}");
        assert_eq!(service.value(&id), None, "{end}");
        assert_eq!(service.n(&id).await, None, "{end}");
        // Written back under its name, by a PHP without strict mode, it is not loaded either.
        std::fs::write(service.file(&id), before).unwrap();
        assert_eq!(service.n(&id).await, None, "{end}");
    }
}

/// What is kept beside.
fn own_files(dir: &Path) -> Vec<PathBuf> {
    let own = std::fs::read_dir(dir).unwrap().map(|there| there.unwrap().path());
    let own = own.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".cloakroom-"));
    let dirs = own.flat_map(|own| std::fs::read_dir(own).unwrap()).map(|there| there.unwrap().path());
    let dirs = dirs.filter(|path| path.is_dir());
    dirs.flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|there| there.unwrap().path()).collect()
}

#[tokio::test]
async fn c5_a_write_waits_for_phps_lock_and_lock_and_exclusive_mode_hold_it() {
    let dir = place();
    let service = Service::on(dir.path(), Mode::Merge).await;
    let is_free = || File::open(dir.path().join(format!("sess_{ID}"))).unwrap().try_lock().is_ok();
    service.php_writes(ID, "n|i:1;");
    let php = Php::begins(&service.file(ID));
    let began = Instant::now();
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        let n = php.reads().replace("i:1", "i:10");
        php.ends(&n);
    });
    let n = service
        .visit(ID, async |session| session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap());
    assert_eq!(n.await, 11);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    release.join().unwrap();
    assert!(is_free());

    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    let mut guard = session.lock().await.unwrap();
    assert!(!is_free());
    guard.set("n", 5).unwrap();
    guard.commit().await.unwrap();
    service.close(&handle).await.unwrap();
    assert!(is_free());
    assert_eq!(service.value(ID).as_deref(), Some("n|i:5;"));

    let service = Service::on(dir.path(), Mode::Exclusive).await;
    let handle = service.request(ID);
    let session = handle.open().await.unwrap();
    assert!(!is_free());
    session.set("n", 6).unwrap();
    service.close(&handle).await.unwrap();
    assert!(is_free());
    assert_eq!(service.value(ID).as_deref(), Some("n|i:6;"));
}

/// PHP writes in one call after another that empties the file, each at any moment; and holds its lock all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_value_is_never_seen_half_whoever_writes_it_under_a_lock() {
    let dir = place();
    let service = Arc::new(Service::on(dir.path(), Mode::Merge).await);
    let value = |n: usize| {
        let filler = char::from(b'a' + (n % 26) as u8).to_string().repeat(n % 7 * 20_000 + 5);
        format!("n|i:{n};b|s:{}:\"{filler}\";e|i:{n};", filler.len())
    };
    service.php_writes(ID, &value(0));
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicUsize::new(0));
    let (path, stopped, writes) = (service.file(ID), stop.clone(), written.clone());
    let php = std::thread::spawn(move || {
        let mut n = 0;
        while !stopped.load(Ordering::Relaxed) {
            let php = Php::begins(&path);
            // Long enough for a value that is at rest to be read under the lock.
            std::thread::sleep(Duration::from_millis([0, 40, 3, 60][n % 4]));
            n += 1;
            php.0.set_len(0).unwrap();
            std::thread::sleep(Duration::from_millis([30, 0, 0, 2][n % 4]));
            php.0.write_all_at(value(n).as_bytes(), 0).unwrap();
            writes.store(n, Ordering::Relaxed);
        }
    });
    let began = Instant::now();
    let mut reads = 0;
    // And longer where a busy machine did little in that time.
    let is_enough = |reads| reads > 20 && written.load(Ordering::Relaxed) > 10;
    while began.elapsed() < Duration::from_secs(rounds(3, 30) as u64) || !is_enough(reads) {
        assert!(began.elapsed() < Duration::from_secs(60), "{reads} reads, {written:?} writes");
        let (n, b, e): (usize, String, usize) = service
            .visit(ID, async |session| {
                let key = |key: &str| session.get::<usize>(key).unwrap().unwrap();
                (key("n"), session.get("b").unwrap().unwrap(), key("e"))
            })
            .await;
        assert_eq!(n, e);
        assert_eq!(b.len(), n % 7 * 20_000 + 5);
        reads += 1;
    }
    stop.store(true, Ordering::Relaxed);
    php.join().unwrap();
    println!("{reads} reads, {written:?} writes");
}

#[tokio::test]
async fn what_is_no_file_of_phps_users_is_refused_and_left_alone() {
    let dir = place();
    let service = Service::on(dir.path(), Mode::Merge).await;
    let target = dir.path().join("target");
    let path = service.file(ID);
    let make = |what: &str| {
        std::fs::write(&target, "n|i:1;").unwrap();
        match what {
            "symbolic link" => std::os::unix::fs::symlink(&target, &path).unwrap(),
            "second name" => std::fs::hard_link(&target, &path).unwrap(),
            "plain file" => std::fs::create_dir(&path).unwrap(),
            "everybody may write" => {
                std::fs::write(&path, "n|i:1;").unwrap();
                std::fs::set_permissions(&path, Permissions::from_mode(0o602)).unwrap();
            }
            _ => {
                std::fs::write(&path, "n|i:1;").unwrap();
                std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            }
        }
    };
    let mut strange = vec!["symbolic link", "second name", "plain file", "everybody may write"];
    // Only root can give files away.
    if nix_is_root() {
        strange.push("another user");
    }
    for what in strange {
        make(what);
        let error = service.request(ID).open().await.unwrap_err();
        assert!(chain(&error).contains(what), "{what}: {}", chain(&error));
        assert!(!chain(&error).contains(ID), "{}", chain(&error));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "n|i:1;");
        assert!(path.symlink_metadata().is_ok());
        if path.is_dir() {
            std::fs::remove_dir(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        let _ = std::fs::remove_file(&target);
    }
}

/// As the user of the files that this process makes.
fn nix_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    tempfile::tempfile().unwrap().metadata().unwrap().uid() == 0
}

#[tokio::test]
async fn a_directory_that_others_could_replace_sessions_in_is_refused_and_so_is_what_is_none() {
    let dir = place();
    let kind = async |path: &Path| {
        let error = PhpFiles::open(path).await.err().unwrap();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        error.kind()
    };
    assert_eq!(kind(&dir.path().join("none")).await, OpenErrorKind::NoSavePath);
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(kind(&dir.path().join("file")).await, OpenErrorKind::NotADirectory);
    let open = dir.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(kind(&open).await, OpenErrorKind::NotSticky { .. }));
    std::fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    let files = PhpFiles::open(&open).await.unwrap();
    // What is ours is for this user alone, and by digests.
    let own: Vec<PathBuf> = std::fs::read_dir(&open).unwrap().map(|own| own.unwrap().path()).collect();
    assert_eq!(own.len(), 1);
    assert_eq!(std::fs::metadata(&own[0]).unwrap().permissions().mode() & 0o777, 0o700);
    drop(files);
    std::fs::set_permissions(&own[0], Permissions::from_mode(0o777)).unwrap();
    let refused = PhpFiles::open(&open).await.err().unwrap();
    assert!(matches!(refused.kind(), OpenErrorKind::WritableByOthers { .. }), "{refused}");
    // Elsewhere, where that is asked for.
    let beside = dir.path().join("beside");
    let files = PhpFiles::builder(&open).beside(&beside).open().await.unwrap();
    assert!(beside.join("format").exists());
    assert!(format!("{files:?}").contains("open"));
}

#[tokio::test]
async fn a_directory_for_the_first_character_that_is_missing_is_told_where_a_session_is_made() {
    let dir = place();
    let files = PhpFiles::builder(dir.path()).depth(2).open().await.unwrap();
    let service = Service::with(dir.path(), Mode::Merge, files);
    // There can be no session.
    assert_eq!(service.n(ID).await, None);
    let handle = service.request(ID);
    handle.open().await.unwrap().set("n", 1).unwrap();
    let error = service.close(&handle).await.unwrap_err();
    assert!(chain(&error).contains("mod_files.sh"), "{}", chain(&error));
    // A directory that is gone is not a session that is.
    std::fs::rename(dir.path(), dir.path().with_extension("away")).unwrap();
    let error = service.request(ID).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(chain(&error).contains("put it back"), "{}", chain(&error));
    std::fs::rename(dir.path().with_extension("away"), dir.path()).unwrap();
    assert_eq!(service.n(ID).await, None);
}

fn set_used(path: &Path, at: SystemTime) {
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(at)).unwrap();
}

fn used(path: &Path) -> SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[tokio::test]
async fn a_session_lives_by_its_files_time_and_a_visit_that_is_due_sets_it() {
    let dir = place();
    let service = Service::on(dir.path(), Mode::Merge).await;
    let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
    service.php_writes(ID, "n|i:1;");
    set_used(&service.file(ID), ago(1500));
    assert_eq!(service.n(ID).await, None, "past gc_maxlifetime");
    set_used(&service.file(ID), ago(1000));
    assert_eq!(service.n(ID).await, Some(1));
    // The touch is detached from the request.
    let began = Instant::now();
    while used(&service.file(ID)) < ago(60) {
        assert!(began.elapsed() < Duration::from_secs(20), "it was not touched");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(service.value(ID).as_deref(), Some("n|i:1;"));
    // A write counts as a visit.
    set_used(&service.file(ID), ago(100));
    service.visit(ID, async |session| session.put("n", 2).await.unwrap()).await;
    assert!(used(&service.file(ID)) > ago(60));
}

#[tokio::test]
async fn purging_removes_what_phps_garbage_collection_would_and_what_is_over_beside() {
    let dir = place();
    let clock = ManualClock::new();
    let files = PhpFiles::builder(dir.path()).clock(clock.clone()).open().await.unwrap();
    let service = Service::with(dir.path(), Mode::Merge, files);
    let now =
        || SystemTime::UNIX_EPOCH + Duration::from_millis(cloakroom::clock::Clock::now(&clock).as_millis());
    let ids: Vec<String> = (0..40).map(|n| format!("{n:026}")).collect();
    for id in &ids {
        service.php_writes(id, "n|i:1;");
        set_used(&service.file(id), now());
        service.visit(id, async |session| session.put("n", 2).await.unwrap()).await;
    }
    for name in ["other", "sessions"] {
        std::fs::write(dir.path().join(name), "").unwrap();
        set_used(&dir.path().join(name), SystemTime::UNIX_EPOCH);
    }
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("sess_link")).unwrap();
    service.visit(&ids[3], async |session| session.destroy().await.unwrap()).await;
    let purge = async || {
        let mut removed = 0;
        loop {
            let purged = service.store.purge(7).await.unwrap();
            assert!(purged.removed <= 7, "{purged:?}");
            removed += purged.removed;
            if !purged.more {
                return removed;
            }
        }
    };
    assert_eq!(purge().await, 0);
    assert_eq!(own_files(dir.path()).len(), 40);
    clock.advance(Duration::from_secs(61));
    assert_eq!(purge().await, 1, "the marker of the session that ended");
    clock.advance(Duration::from_secs(1440));
    let locked = Php::begins(&service.file(&ids[5]));
    assert_eq!(purge().await, 38, "but the one that is in use");
    assert!(service.file(&ids[5]).exists());
    drop(locked);
    assert_eq!(purge().await, 1);
    clock.advance(Duration::from_secs(3 * 24 * 3600));
    assert_eq!(purge().await, 39, "what was beside them");
    assert_eq!(own_files(dir.path()), Vec::<PathBuf>::new());
    for name in ["other", "sessions", "sess_link"] {
        assert!(dir.path().join(name).symlink_metadata().is_ok(), "{name} is not ours to remove");
    }
}
