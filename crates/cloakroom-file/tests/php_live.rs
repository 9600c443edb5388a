//! One visitor on both sides: PHP-FPM with PHP's own session handler, and this library, on one directory.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/fpm.rs"]
mod fpm;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::{Locking, Mode, Session, SessionHandle, SessionManager};
use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles, PhpSettings};
use cloakroom_testing::processes;
use fpm::Fpm;
use http::{HeaderMap, Request, StatusCode};

const FORMATS: [&str; 5] = ["php", "php_serialize", "php_binary", "igbinary", "msgpack"];
const PAGE: &str = include_str!("../../cloakroom-redis/tests/php/page.php");
/// A request that keeps its session for as long as it is told to.
const SLOW_PAGE: &str = r"<?php
session_start();
if (($_GET['do'] ?? '') === 'slow') {
    touch($_GET['sign']);
    while (!file_exists($_GET['until'])) { usleep(1000); }
}
$_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
echo $_SESSION['n'];
";

/// A PHP application and a service of ours.
struct Shop {
    php: Fpm,
    rust: SessionManager,
    dir: tempfile::TempDir,
    format: &'static str,
}

struct Options {
    format: &'static str,
    /// What `session.save_path` begins with.
    save_path: &'static str,
    page: &'static str,
    mode: Mode,
}

const PLAIN: Options = Options { format: "php", save_path: "", page: PAGE, mode: Mode::Merge };

impl Shop {
    async fn open(options: Options) -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        if options.save_path.starts_with('1') {
            for first in ('0'..='9').chain('a'..='v') {
                std::fs::create_dir(dir.path().join(first.to_string())).unwrap();
            }
        }
        let save_path = format!("{}{}", options.save_path, dir.path().display());
        let settings = [
            ("session.save_handler", "files"),
            ("session.save_path", save_path.as_str()),
            ("session.serialize_handler", options.format),
            ("session.use_strict_mode", "1"),
            ("serialize_precision", "-1"),
        ];
        // The service reads what PHP is told.
        let mut ini = cloakroom_php::ini::PhpIni::default();
        let lines = settings.map(|(name, value)| format!("{name} = \"{value}\"\n")).concat();
        ini.add("php.ini", lines.as_bytes());
        let told = PhpSettings::of(&ini.session()).unwrap();
        let php = Fpm::start(options.page, "PHPSESSID", &settings);
        let layout = told.layout.user_variable("user_id");
        let locking = Locking { wait: Duration::from_secs(30), ..layout.locking() };
        let config = told.config.locking(locking).mode(options.mode);
        let config = config.deadlines(Duration::from_secs(30), Duration::from_secs(20));
        let files = told.files.busy_timeout(Duration::from_secs(15)).open().await.unwrap();
        let rust = SessionManager::new(PhpFileStore::new(files, layout), config).unwrap();
        Arc::new(Shop { php, rust, dir, format: options.format })
    }

    /// Lets PHP do something; follows the id.
    fn php(&self, query: &str, id: &mut Option<String>) -> String {
        let page = self.php.get(query, id.as_deref());
        if page.id.is_some() {
            *id = page.id;
        }
        page.body
    }

    fn request(&self, id: &Option<String>) -> SessionHandle {
        let mut request = Request::builder();
        if let Some(id) = id {
            request = request.header("cookie", format!("PHPSESSID={id}"));
        }
        self.rust.open(&request.body(()).unwrap(), None)
    }

    /// Lets a handler of ours do something; follows the id.
    async fn rust<T>(&self, id: &mut Option<String>, handler: impl AsyncFnOnce(&Session) -> T) -> T {
        let handle = self.request(id);
        let session = handle.open().await.unwrap();
        let answer = handler(&session).await;
        let mut headers = HeaderMap::new();
        if let cloakroom::Outcome::Failed(error) =
            self.rust.close(&handle, StatusCode::OK, &mut headers).await
        {
            panic!("{}: {error}", self.format);
        }
        if let Some(cookie) = headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap().strip_prefix("PHPSESSID=").unwrap().to_owned();
            *id = cookie.split(';').next().filter(|id| !id.is_empty()).map(str::to_owned);
        }
        answer
    }

    /// Nothing that was begun is left, and nothing of ours is among PHP's files.
    fn is_content(&self) {
        assert_eq!(self.php.complaints(), "", "{}", self.format);
        for file in below(self.dir.path()) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let ours =
                file.components().any(|part| part.as_os_str().to_str().unwrap().starts_with(".cloakroom-"));
            assert_eq!(name.starts_with("sess_"), !ours, "{}", file.display());
            assert!(!name.ends_with(".intent") && !name.starts_with(".new-"), "{}", file.display());
        }
    }

    /// PHP's file of a session.
    fn file(&self, id: &Option<String>) -> Option<PathBuf> {
        let name = format!("sess_{}", id.as_ref().unwrap());
        below(self.dir.path()).into_iter().find(|file| file.ends_with(&name))
    }
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for there in std::fs::read_dir(dir).unwrap() {
        let path = there.unwrap().path();
        if path.is_dir() { files.extend(below(&path)) } else { files.push(path) }
    }
    files
}

/// Waits for something, and not for ever.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What one visitor does on both sides.
async fn a_visit(options: Options) {
    let shop = Shop::open(options).await;
    let format = shop.format;
    // Each reads what the other set.
    let mut id = None;
    shop.php("do=set&key=basket&value=%5B%7B%22sku%22%3A%22A1%22%2C%22qty%22%3A2%7D%5D", &mut id);
    let by_php = id.clone();
    let basket: Vec<BTreeMap<String, serde_json::Value>> =
        shop.rust(&mut id, async |session| session.get("basket").unwrap().unwrap()).await;
    assert_eq!(serde_json::to_string(&basket).unwrap(), r#"[{"qty":2,"sku":"A1"}]"#, "{format}");
    shop.rust(&mut id, async |session| {
        session
            .set("note", serde_json::json!({ "text": "für 5 €", "ok": true, "f": 0.5, "n": null }))
            .unwrap();
    })
    .await;
    assert_eq!(id, by_php, "{format}: the id stays");
    let note: serde_json::Value = serde_json::from_str(&shop.php("do=read&key=note", &mut id)).unwrap();
    assert_eq!(note, serde_json::json!({ "text": "für 5 €", "ok": true, "f": 0.5, "n": null }), "{format}");

    // What PHP alone understands is intact after a change beside it. PHP's msgpack cannot keep references.
    let plain = if format == "msgpack" { "&plain=1" } else { "" };
    shop.php(&format!("do=objects{plain}"), &mut id);
    shop.rust(&mut id, async |session| session.put("note", "changed").await.unwrap()).await;
    assert_eq!(shop.php(&format!("do=intact{plain}"), &mut id), "true", "{format}");

    // Logged in there is logged in here, on the new id.
    let before = id.clone();
    shop.php("do=login", &mut id);
    assert_ne!(id, before, "{format}");
    let user = shop.rust(&mut id, async |session| session.user().map(|user| user.as_str().to_owned())).await;
    assert_eq!(user.as_deref(), Some("7"), "{format}");
    let mut old = before;
    assert!(shop.rust(&mut old, async |session| session.is_empty()).await, "{format}");

    // A new id on either side is followed by the other, and the old one is dead on both.
    shop.php("do=regenerate", &mut id);
    let before = id.clone();
    shop.rust(&mut id, async |session| session.regenerate().await.unwrap()).await;
    assert_eq!(shop.file(&before), None, "{format}");
    assert_eq!(shop.php("do=read&key=note", &mut before.clone()), "null", "{format}");
    assert_eq!(shop.php("do=read&key=note", &mut id), "\"changed\"", "{format}");

    // A logout on either side is one on both.
    let mut gone = id.clone();
    shop.rust(&mut id, async |session| session.destroy().await.unwrap()).await;
    assert_eq!(shop.php("do=read&key=user_id", &mut gone), "null", "{format}");
    let mut id = None;
    shop.rust(&mut id, async |session| {
        session.set("n", 1).unwrap();
        session.login("9").await.unwrap();
    })
    .await;
    assert_eq!(shop.php("do=read&key=user_id", &mut id), "9", "{format}");
    shop.php("do=logout", &mut id.clone());
    assert!(shop.rust(&mut id, async |session| session.is_empty()).await, "{format}");
    shop.is_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_in_every_format() {
    for format in FORMATS {
        a_visit(Options { format, ..PLAIN }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_in_directories_by_the_first_character_and_with_another_mode() {
    a_visit(Options { save_path: "1;0640;", ..PLAIN }).await;
    let shop = Shop::open(Options { save_path: "1;0640;", ..PLAIN }).await;
    let mut id = None;
    shop.rust(&mut id, async |session| session.set("n", 1).unwrap()).await;
    let file = shop.file(&id).unwrap();
    let first = id.as_ref().unwrap().chars().next().unwrap().to_string();
    assert_eq!(file.parent().unwrap(), shop.dir.path().join(first));
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    assert_eq!(mode & 0o600, 0o600, "{mode:o}");
    shop.php("do=add", &mut id);
    assert_eq!(shop.php("do=read&key=n", &mut id), "2");
    shop.is_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_in_exclusive_mode() {
    a_visit(Options { mode: Mode::Exclusive, ..PLAIN }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_two_hundred_increments_on_both_sides_at_once_are_two_hundred_in_files() {
    let rounds = if std::env::var_os("CLOAKROOM_LONG").is_some() { 25 } else { 2 };
    for _ in 0..rounds {
        two_hundred_increments(Mode::Merge).await;
        two_hundred_increments(Mode::Exclusive).await;
    }
}

async fn two_hundred_increments(mode: Mode) {
    let shop = Shop::open(Options { mode, ..PLAIN }).await;
    let mut id = None;
    shop.php("do=set&key=n&value=0", &mut id);
    let mut tasks = Vec::new();
    for task in 0..20 {
        let (shop, mut id) = (shop.clone(), id.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                if task % 2 == 0 {
                    let (shop, mut id) = (shop.clone(), id.clone());
                    tokio::task::spawn_blocking(move || shop.php("do=add", &mut id)).await.unwrap();
                } else {
                    shop.rust(&mut id, async |session| {
                        session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap()
                    })
                    .await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(shop.php("do=read&key=n", &mut id), "200");
    shop.is_content();
}

/// PHP has its session for as long as a request runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_while_a_request_of_phps_runs_reads_go_on_and_writes_wait_for_it() {
    let shop = Shop::open(Options { page: SLOW_PAGE, ..PLAIN }).await;
    let mut id = None;
    assert_eq!(shop.php("", &mut id), "1");
    let (sign, end) = (shop.dir.path().join(".cloakroom-sign"), shop.dir.path().join(".cloakroom-end"));
    let query = format!("do=slow&sign={}&until={}", sign.display(), end.display());
    let (there, mut by_php) = (shop.clone(), id.clone());
    let slow = tokio::task::spawn_blocking(move || there.php(&query, &mut by_php));
    until("PHP has the session", || sign.exists());
    assert_eq!(shop.rust(&mut id, async |session| session.get::<i64>("n").unwrap()).await, Some(1));
    let (there, mut ours) = (shop.clone(), id.clone());
    let write = tokio::spawn(async move {
        there
            .rust(&mut ours, async |session| {
                session.update("n", |n: Option<i64>| n.unwrap_or(0) + 10).await.unwrap()
            })
            .await
    });
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(!write.is_finished(), "the write did not wait for PHP");
    assert_eq!(shop.rust(&mut id, async |session| session.get::<i64>("n").unwrap()).await, Some(1));
    std::fs::write(&end, "").unwrap();
    assert_eq!(slow.await.unwrap(), "2");
    assert_eq!(write.await.unwrap(), 12);
    assert_eq!(shop.php("", &mut id), "13");
    // A logout does not wait for longer than a moment, and PHP's request cannot bring the session back.
    for file in [&sign, &end] {
        std::fs::remove_file(file).unwrap();
    }
    let query = format!("do=slow&sign={}&until={}", sign.display(), end.display());
    let (there, mut by_php) = (shop.clone(), id.clone());
    let slow = tokio::task::spawn_blocking(move || there.php(&query, &mut by_php));
    until("PHP has the session", || sign.exists());
    let began = Instant::now();
    shop.rust(&mut id.clone(), async |session| session.destroy().await.unwrap()).await;
    assert!(began.elapsed() < Duration::from_secs(14), "{:?}", began.elapsed());
    std::fs::write(&end, "").unwrap();
    slow.await.unwrap();
    assert_eq!(shop.file(&id), None);
    assert!(shop.rust(&mut id, async |session| session.is_empty()).await);
}

/// The process of a holder: this very test program, which takes the lock and waits to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_of_the_lock() {
    let Ok(told) = std::env::var("CLOAKROOM_TEST_HOLDER") else { return };
    let (dir, id) = told.split_once(' ').unwrap();
    let layout = Layout::php_files();
    let config = layout.session_config();
    let files = PhpFiles::open(dir).await.unwrap();
    let sessions = SessionManager::new(PhpFileStore::new(files, layout), config).unwrap();
    let request = Request::builder().header("cookie", format!("PHPSESSID={id}")).body(()).unwrap();
    let session = sessions.open(&request, None).open().await.unwrap();
    let _guard = session.lock().await.unwrap();
    processes::tell("held");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_killed_holder_leaves_no_lock_and_a_living_one_is_waited_for() {
    let shop = Shop::open(PLAIN).await;
    let mut id = None;
    shop.php("do=set&key=n&value=1", &mut id);
    let visitor = id.clone().unwrap();
    for round in 0..5 {
        let mut holder = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_holder_of_the_lock", "--nocapture"])
            .env("CLOAKROOM_TEST_HOLDER", format!("{} {visitor}", shop.dir.path().display()))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = processes::told(&mut holder);
        assert_eq!(told.next().as_deref(), Some("held"));
        let file = shop.file(&id).unwrap();
        assert!(std::fs::File::open(&file).unwrap().try_lock().is_err(), "by PHP's own kind of lock");
        // Others read meanwhile, in another process as this one is.
        let n = shop.rust(&mut id, async |session| session.get::<i64>("n").unwrap()).await;
        assert_eq!(n, Some(1 + round));
        // PHP waits.
        let (there, mut by_php) = (shop.clone(), id.clone());
        let php = tokio::task::spawn_blocking(move || there.php("do=add", &mut by_php));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!php.is_finished(), "PHP did not wait for the lock");
        holder.kill().unwrap();
        holder.wait().unwrap();
        php.await.unwrap();
        assert_eq!(shop.php("do=read&key=n", &mut id), (2 + round).to_string());
    }
    shop.is_content();
}
