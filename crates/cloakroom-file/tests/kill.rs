//! C8, killed processes: whatever was acknowledged before `kill -9` is there when the directory is opened again, with
//! one process on it and with two.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../../cloakroom-sqlite/tests/support/load.rs"]
mod load;
#[path = "../../cloakroom-sqlite/tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloakroom::store::Store;
use cloakroom::{StoreKey, UserId};
use cloakroom_file::FileStore;
use load::{Line, Progress};

/// In the child: the directory to work on, and the first of its lines. Unset everywhere else.
const FILE: &str = "CLOAKROOM_CHILD_FILE";
const FIRST_LINE: &str = "CLOAKROOM_CHILD_FIRST_LINE";

/// Lines of sessions of one process, each with a writer of its own.
const LINES: u64 = 16;

/// How far each line is known to have got.
type Acked = BTreeMap<Line, u64>;

fn rounds() -> u64 {
    if std::env::var_os("CLOAKROOM_LONG").is_some() { 50 } else { 10 }
}

#[test]
fn c8_kill_9_under_load_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions");
    let mut acked = Acked::new();
    for round in 0..rounds() {
        let child = Child::start(&file, round * LINES);
        child.wait_for(pause(round));
        let told = child.kill();
        assert!(told.values().any(|step| *step > 0), "round {round}: killed before it did anything");
        acked.extend(told);
        verify(&file, &acked);
    }
    println!("{} acknowledgements in {} rounds", acked.values().sum::<u64>(), rounds());
}

#[test]
fn c8_of_two_processes_on_one_directory_one_is_killed_and_the_other_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions");
    let mut acked = Acked::new();
    for round in 0..rounds() {
        let victim = Child::start(&file, 2 * round * LINES);
        let other = Child::start(&file, (2 * round + 1) * LINES);
        victim.wait_for(pause(round));
        other.wait_for(1);
        let told = victim.kill();
        assert!(told.values().any(|step| *step > 0), "round {round}: killed before it did anything");
        acked.extend(told);
        // It does not notice: no request of its own fails, and it goes on being answered.
        other.wait_for(other.acknowledged() + 100);
        let (told, status) = other.stop();
        assert!(status.success(), "round {round}: {status}");
        acked.extend(told);
        verify(&file, &acked);
    }
    println!("{} acknowledgements in {} rounds", acked.values().sum::<u64>(), rounds());
}

/// How many acknowledgements to wait for: another number each round, the first ones early in the file's life.
fn pause(round: u64) -> u64 {
    1 + round * round * 37 % 600
}

/// Opens the directory and finds every line where it was acknowledged to be, or one step further; every user's sessions are
/// listed, and nothing that was begun is left over.
fn verify(dir: &Path, acked: &Acked) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = FileStore::open(dir).await.unwrap();
        let mut alive: BTreeMap<String, BTreeSet<StoreKey>> = BTreeMap::new();
        for (line, acked) in acked {
            let found = line.progress(&store, acked + 1).await.unwrap();
            let Progress::After(step) = found else { panic!("{line:?} is as after no step up to {acked}") };
            assert!(step >= *acked, "{line:?}: acknowledged up to step {acked}, found as after {step}");
            alive.entry(line.user()).or_default().extend(line.lives_at(step));
        }
        for (user, alive) in alive {
            let listed = store.list_user(UserId::new(&user).unwrap()).await.unwrap();
            assert_eq!(listed.iter().map(|session| session.key).collect::<BTreeSet<_>>(), alive, "{user}");
        }
        while store.purge(1000).await.unwrap().more {}
        store.close().await;
    });
    let left = unfinished(dir);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(std::fs::metadata(dir.join("redo")).unwrap().len(), 0);
}

/// Files that were begun by a process that was killed.
fn unfinished(dir: &Path) -> Vec<PathBuf> {
    let dirs = std::fs::read_dir(dir.join("entries")).unwrap();
    let files = dirs.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with('.')).collect()
}

/// A process that writes until it is stopped or killed.
struct Child {
    process: std::process::Child,
    stdin: ChildStdin,
    told: Arc<Mutex<Acked>>,
    listener: JoinHandle<()>,
}

impl Child {
    fn start(file: &Path, first_line: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["load_in_a_child", "--exact", "--nocapture"])
            .env(FILE, file)
            .env(FIRST_LINE, first_line.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told: Acked = (first_line..first_line + LINES).map(|line| (Line(line), 0)).collect();
        let told = Arc::new(Mutex::new(told));
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let listener = std::thread::spawn({
            let told = told.clone();
            move || {
                let mut text = String::new();
                while stdout.read_line(&mut text).unwrap() > 0 {
                    // Everything else is the test runner's.
                    told.lock().unwrap().extend(load::acknowledged(&text));
                    text.clear();
                }
            }
        });
        Child { stdin: process.stdin.take().unwrap(), process, told, listener }
    }

    fn acknowledged(&self) -> u64 {
        self.told.lock().unwrap().values().sum()
    }

    /// Waits until so much was acknowledged.
    fn wait_for(&self, acknowledgements: u64) {
        let since = Instant::now();
        while self.acknowledged() < acknowledgements {
            assert!(since.elapsed() < Duration::from_secs(60), "the child does not write");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Kills it, and tells what it had told.
    fn kill(mut self) -> Acked {
        self.process.kill().unwrap();
        self.end().0
    }

    /// Lets it finish what it is doing.
    fn stop(self) -> (Acked, ExitStatus) {
        self.end()
    }

    fn end(mut self) -> (Acked, ExitStatus) {
        drop(self.stdin);
        let status = self.process.wait().unwrap();
        self.listener.join().unwrap();
        let told = self.told.lock().unwrap().clone();
        (told, status)
    }
}

/// No test by itself: what `Child::start` starts. Writes until its standard input ends.
#[test]
fn load_in_a_child() {
    let Some(file) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    let first_line: u64 = std::env::var(FIRST_LINE).unwrap().parse().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let stop = stop.clone();
        move || {
            let _ = std::io::stdin().read(&mut [0]);
            stop.store(true, Ordering::Relaxed);
        }
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let store = FileStore::open(file).await.unwrap();
        let writers: Vec<_> = (first_line..first_line + LINES)
            .map(|line| tokio::spawn(write(store.clone(), Line(line), stop.clone())))
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        store.close().await;
    });
}

async fn write(store: FileStore, line: Line, stop: Arc<AtomicBool>) {
    for step in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let acked = |step| {
            // One write of the whole line: a pipe does not tear it.
            let text = format!("{} {step}\n", line.0);
            std::io::stdout().lock().write_all(text.as_bytes()).unwrap();
        };
        line.run(&store, step..step + 1, acked).await;
    }
}
