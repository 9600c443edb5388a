//! One visitor on both sides: PHP-FPM with PHP's own session handler, and this library, on one directory.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/both.rs"]
mod both;
#[path = "../../cloakroom-redis/tests/php_support/fpm.rs"]
mod fpm;

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use both::{Both, FORMATS};
use cloakroom::{Mode, SessionManager};
use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles, PhpSettings};
use cloakroom_testing::processes::{self, rounds};
use fpm::Fpm;
use http::Request;

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

/// A PHP application and a service of ours, and where both have their sessions.
struct Shop {
    both: Both,
    dir: tempfile::TempDir,
}

impl Deref for Shop {
    type Target = Both;

    fn deref(&self) -> &Both {
        &self.both
    }
}

struct Options {
    format: &'static str,
    /// What `session.save_path` begins with.
    save_path: &'static str,
    /// Another page than that of the visit.
    page: Option<&'static str>,
    mode: Mode,
}

const PLAIN: Options = Options { format: "php", save_path: "", page: None, mode: Mode::Merge };

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
        let page = options.page.map_or_else(|| both::page(""), str::to_owned);
        let php = Fpm::start(&page, "PHPSESSID", &settings);
        let layout = told.layout.user_variable("user_id");
        let config = both::patient(told.config.mode(options.mode), layout.locking());
        let config = config.deadlines(Duration::from_secs(30), Duration::from_secs(20));
        let files = told.files.busy_timeout(Duration::from_secs(15)).open().await.unwrap();
        let rust = SessionManager::new(PhpFileStore::new(files, layout), config).unwrap();
        Arc::new(Shop { both: Both::new(php, rust, options.format), dir })
    }

    /// Nothing that was begun is left, and nothing of ours is among PHP's files.
    fn is_content(&self) {
        self.php_is_content();
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

async fn a_visit(options: Options) {
    let plain = options.format == "msgpack";
    let shop = Shop::open(options).await;
    both::a_visit(&shop, plain).await;
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
    for _ in 0..rounds(2, 5) {
        for mode in [Mode::Merge, Mode::Exclusive] {
            let shop = Shop::open(Options { mode, ..PLAIN }).await;
            both::two_hundred_increments(&shop).await;
            shop.is_content();
        }
    }
}

/// PHP has its session for as long as a request runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_while_a_request_of_phps_runs_reads_go_on_and_writes_wait_for_it() {
    let shop = Shop::open(Options { page: Some(SLOW_PAGE), ..PLAIN }).await;
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
    assert!(shop.finds_nothing(&mut id).await);
}

/// The process of a holder: this very test program, which takes the lock and waits to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_of_the_lock() {
    let Some((id, dir)) = processes::role() else { return };
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
        let mut holder =
            processes::command(&[], "a_holder_of_the_lock", &visitor, shop.dir.path()).spawn().unwrap();
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
