//! PHP's sessions in files, on disks that fail and in processes that are killed at every call that changes anything. Each scenario runs in a process of its own with
//! [`shim.c`](../shim.c) preloaded.
#![cfg(all(target_os = "linux", feature = "php"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod mini;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::LazyLock;

use cloakroom::{ErrorKind, Session, SessionHandle, SessionManager};
use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles};
use cloakroom_testing::chain;
use cloakroom_testing::processes::{FileLayer, Switch, command, role};
use http::{HeaderMap, Request, StatusCode};

const ID: &str = "0123456789abcdefghijklmnop";
const LONG: usize = 10_000;

/// The file layer, compiled once.
static LAYER: LazyLock<FileLayer> =
    LazyLock::new(|| FileLayer::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/php_faults/shim.c")));

/// A directory of sessions, as PHP left it.
struct Place {
    dir: tempfile::TempDir,
    name: String,
}

impl Place {
    fn new(value: &str) -> Self {
        Self::of(format!("sess_{ID}"), value)
    }

    /// With this file of PHP's.
    fn of(name: String, value: &str) -> Self {
        let place = Place { dir: tempfile::tempdir().unwrap(), name };
        std::fs::create_dir(place.sessions()).unwrap();
        std::fs::write(place.file(), value).unwrap();
        place
    }

    fn sessions(&self) -> PathBuf {
        self.dir.path().join("sessions")
    }

    fn file(&self) -> PathBuf {
        self.sessions().join(&self.name)
    }

    fn value(&self) -> Option<String> {
        std::fs::read_to_string(self.file()).ok()
    }

    /// PHP's other files.
    fn others(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.sessions()).unwrap().map(|file| file.unwrap().path());
        let others = files.filter(|file| file.is_file() && *file != self.file());
        others.map(|file| std::fs::read_to_string(file).unwrap()).collect()
    }

    /// Runs a scenario; killed at this call, if at any.
    fn run(&self, scenario: &str, die_at: Option<usize>) -> (ExitStatus, String) {
        let mut child = command(&[], "child", scenario, &self.sessions());
        let output = LAYER
            .under_with_faults(&mut child, &self.dir.path().join("faults"))
            .env("CLOAKROOM_DIE_AT", die_at.unwrap_or(0).to_string())
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&told).into_owned())
    }

    fn runs(&self, scenario: &str) {
        let (status, told) = self.run(scenario, None);
        assert!(status.success() && told.contains("all done"), "{told}");
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        let mut dirs = vec![self.sessions()];
        while let Some(dir) = dirs.pop() {
            for there in std::fs::read_dir(dir).unwrap() {
                let path = there.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_some_and(|ending| ending == "intent") {
                    left.push(path);
                }
            }
        }
        left
    }
}

struct Service {
    sessions: SessionManager,
    id: &'static str,
}

impl Service {
    async fn on(dir: &Path) -> Self {
        Self::with(dir, Layout::php_files().user_variable("user_id"), ID).await
    }

    async fn with(dir: &Path, layout: Layout, id: &'static str) -> Self {
        let config = layout.session_config();
        let files = PhpFiles::open(dir).await.unwrap();
        let sessions = SessionManager::new(PhpFileStore::new(files, layout), config).unwrap();
        Service { sessions, id }
    }

    fn request(&self) -> SessionHandle {
        let request = Request::builder().header("cookie", format!("PHPSESSID={}", self.id));
        self.sessions.open(&request.body(()).unwrap(), None)
    }

    async fn visit<T>(&self, handler: impl AsyncFnOnce(&Session) -> T) -> T {
        let handle = self.request();
        let answer = handler(&handle.open().await.unwrap()).await;
        let closed = self.sessions.close(&handle, StatusCode::OK, &mut HeaderMap::new()).await;
        assert!(!matches!(closed, cloakroom::Outcome::Failed(_)), "{closed:?}");
        answer
    }
}

fn value(n: i64, filler: usize) -> String {
    format!("n|i:{n};b|s:{filler}:\"{}\";", "x".repeat(filler))
}

/// What is done, what was there before, and what is there afterwards: `None` where PHP's file is gone.
type Scenario = (&'static str, fn() -> String, fn() -> Option<String>);

const SCENARIOS: [Scenario; 6] = [
    ("grow", || value(1, 3), || Some(value(1, LONG))),
    ("shrink", || value(1, LONG), || Some(value(1, 3))),
    ("empty", || value(1, LONG), || Some(String::new())),
    ("change", || value(1, LONG), || Some(value(2, LONG).replace('x', "y"))),
    ("regenerate", || value(1, LONG), || None),
    ("destroy", || value(1, LONG), || None),
];

async fn act(what: &str, session: &Session) {
    match what {
        "grow" => session.put("b", "x".repeat(LONG)).await.unwrap(),
        "shrink" => session.put("b", "xxx").await.unwrap(),
        "empty" => {
            session.clear().unwrap();
            session.save().await.unwrap();
        }
        "change" => {
            session.set("n", 2).unwrap();
            session.set("b", "y".repeat(LONG)).unwrap();
            session.save().await.unwrap();
        }
        "regenerate" => session.regenerate().await.unwrap(),
        "destroy" => session.destroy().await.unwrap(),
        other => panic!("no such scenario: {other}"),
    }
}

/// Where the child begins. On its own it has nothing to do.
#[test]
fn child() {
    let Some((scenario, path)) = role() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = match scenario.strip_prefix(mini::IS) {
            Some(_) => mini::service(&path).await,
            None => Service::on(&path).await,
        };
        match scenario.strip_prefix(mini::IS).unwrap_or(&scenario) {
            "full disk" => full_disk(&service).await,
            "flushes fail" => flushes_fail(&service).await,
            "read-only" => read_only(&service).await,
            "full and stuck" => mini::full_and_stuck(&service).await,
            what => {
                let handle = service.request();
                let session = handle.open().await.unwrap();
                // The file is as old as one that somebody comes back to.
                let _armed = Switch::on("armed");
                act(what, &session).await;
            }
        }
    });
    println!("all done");
}

/// Runs each scenario, killed at its first call that changes anything, at its second, and so on until it gets through; hands each to `then` with what was before
/// and what is to be after.
fn killed_everywhere(then: impl Fn(&str, &Place, &str, Option<&str>)) {
    for (what, before, after) in SCENARIOS {
        let (before, after) = (before(), after());
        let mut died = 0;
        loop {
            let place = Place::new(&before);
            let (status, told) = place.run(what, Some(died + 1));
            if status.success() {
                assert!(told.contains("all done"), "{told}");
                assert_eq!(place.value(), after, "{what}");
                break;
            }
            died += 1;
            assert_eq!(status.signal(), Some(9), "{what}: {told}");
            then(what, &place, &before, after.as_deref());
        }
        assert!(died >= 5, "{what}: killed at {died} calls only");
    }
}

#[test]
fn c6_killed_at_any_call_a_write_is_whole_or_not_made_for_whoever_looks_next() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let torn = std::cell::Cell::new(0);
    killed_everywhere(|what, place, before, after| {
        let left = place.value();
        let was_torn = left.as_deref() != Some(before) && left.as_deref() != after;
        torn.set(torn.get() + usize::from(was_torn));
        let is_live = runtime.block_on(async {
            let service = Service::on(&place.sessions()).await;
            service.visit(async |session| session.get::<i64>("n").unwrap()).await.is_some()
        });
        let now = place.value();
        assert!(now.as_deref() == Some(before) || now.as_deref() == after, "{what}: torn");
        assert_eq!(is_live, now.as_deref().is_some_and(|value| !value.is_empty()), "{what}");
        // A session that nobody was told of is not left behind; one that took the other's place is whole.
        let expected =
            if what == "regenerate" && now.is_none() { vec![before.to_owned()] } else { Vec::new() };
        assert_eq!(place.others(), expected, "{what}");
        assert_eq!(place.leftovers(), Vec::<PathBuf>::new(), "{what}");
    });
    assert!(torn.get() >= 3, "only {} writes were torn", torn.get());
}

/// PHP comes first: it reads what is there, and writes; or cannot read it, and deletes it.
#[test]
fn c1_c2_after_a_kill_what_php_does_next_stands() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    killed_everywhere(|what, place, before, after| {
        let Some(found) = place.value() else { return };
        let is_readable = found == before || Some(found.as_str()) == after;
        if is_readable {
            std::fs::write(place.file(), format!("{found}php|i:7;")).unwrap();
        } else {
            std::fs::remove_file(place.file()).unwrap();
        }
        let php = runtime.block_on(async {
            let service = Service::on(&place.sessions()).await;
            service.visit(async |session| session.get::<i64>("php").unwrap()).await
        });
        assert_eq!(php, is_readable.then_some(7), "{what}");
        let expected = is_readable.then(|| format!("{found}php|i:7;"));
        assert_eq!(place.value(), expected, "{what}");
        assert_eq!(place.leftovers(), Vec::<PathBuf>::new(), "{what}");
    });
}

/// PHP adopts ids. Its new file may have the number that the removed one had, and is another file all the same.
#[test]
fn c4_after_a_kill_a_session_that_was_removed_stays_so_whatever_php_begins_under_its_id() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let removed = std::cell::Cell::new(0);
    killed_everywhere(|what, place, before, _| {
        if place.value().is_some() {
            return;
        }
        removed.set(removed.get() + 1);
        std::fs::write(place.file(), "php|i:7;").unwrap();
        let php = runtime.block_on(async {
            let service = Service::on(&place.sessions()).await;
            service.visit(async |session| session.get::<i64>("php").unwrap()).await
        });
        assert_eq!((php, place.value().as_deref()), (None, Some("php|i:7;")), "{what}");
        let heirs = if what == "regenerate" { vec![before.to_owned()] } else { Vec::new() };
        assert_eq!(place.others(), heirs, "{what}");
        assert_eq!(place.leftovers(), Vec::<PathBuf>::new(), "{what}");
    });
    assert!(removed.get() >= 4, "only {} were removed", removed.get());
}

#[test]
fn c9_a_full_disk_refuses_what_is_longer_and_leaves_phps_value_alone() {
    Place::new(&value(1, 3)).runs("full disk");
}

#[test]
fn c9_where_a_flush_fails_nothing_is_acknowledged_and_the_next_one_is_made_whole() {
    Place::new(&value(1, 3)).runs("flushes fail");
}

#[test]
fn c9_on_a_read_only_disk_sessions_are_read_and_writes_are_refused_with_the_reason() {
    Place::new(&value(1, 3)).runs("read-only");
}

async fn n(service: &Service) -> Option<i64> {
    service.visit(async |session| session.get::<i64>("n").unwrap()).await
}

async fn refused(service: &Service, why: &str) {
    let handle = service.request();
    let session = handle.open().await.unwrap();
    let long = "x".repeat(LONG);
    let error = session.put("b", long.as_str()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains(why), "{}", chain(&error));
    let error = session.regenerate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
}

async fn full_disk(service: &Service) {
    let file = PathBuf::from(std::env::var_os("CLOAKROOM_TEST_FILE").unwrap()).join(format!("sess_{ID}"));
    // Nothing can be written beside; or PHP's file cannot be written to its end, and is put back.
    for fault in ["full", "full-value"] {
        let _fault = Switch::on(fault);
        for _ in 0..3 {
            refused(service, "make room").await;
            assert_eq!(std::fs::read_to_string(&file).unwrap(), value(1, 3));
            assert_eq!(n(service).await, Some(1));
        }
    }
    service.visit(async |session| session.put("n", 2).await.unwrap()).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), value(2, 3));
}

async fn flushes_fail(service: &Service) {
    let fault = Switch::on("flush");
    refused(service, "Input/output").await;
    assert_eq!(n(service).await, Some(1));
    drop(fault);
    service.visit(async |session| session.put("n", 2).await.unwrap()).await;
    assert_eq!(n(service).await, Some(2));
}

async fn read_only(service: &Service) {
    let fault = Switch::on("read-only");
    refused(service, "mount the file system for writing").await;
    assert_eq!(n(service).await, Some(1));
    drop(fault);
    service.visit(async |session| session.put("n", 2).await.unwrap()).await;
    assert_eq!(n(service).await, Some(2));
}
