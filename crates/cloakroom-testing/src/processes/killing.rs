//! Processes that write until they are killed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lines::{Line, Progress, acknowledged};
use super::program::Dir;
use super::{Place, command, tell, told};

/// Lines of sessions of one process, each with a writer of its own.
const LINES: u64 = 16;

/// How far each line is known to have got.
type Acked = BTreeMap<Line, u64>;

/// One process writes and is killed, again and again: whatever it was acknowledged is there when the place is opened again.
pub fn one_is_killed<P: Place>(rounds: usize) {
    let dir = Dir::new();
    let mut acked = Acked::new();
    for round in 0..rounds as u64 {
        let writer = Writer::start(&dir.path(), round * LINES);
        writer.wait_for(pause(round));
        acked.extend(writer.kill(round));
        verify::<P>(&dir.path(), &acked);
    }
    println!("{} acknowledgements in {rounds} rounds", acked.values().sum::<u64>());
}

/// Of two processes in one place one is killed, again and again: the other does not notice and goes on being answered.
pub fn one_of_two_is_killed<P: Place>(rounds: usize) {
    let dir = Dir::new();
    let mut acked = Acked::new();
    for round in 0..rounds as u64 {
        let victim = Writer::start(&dir.path(), 2 * round * LINES);
        let other = Writer::start(&dir.path(), (2 * round + 1) * LINES);
        victim.wait_for(pause(round));
        other.wait_for(1);
        acked.extend(victim.kill(round));
        other.wait_for(other.acknowledged() + 100);
        let (told, status) = other.end();
        assert!(status.success(), "round {round}: {status}");
        acked.extend(told);
        verify::<P>(&dir.path(), &acked);
    }
    println!("{} acknowledgements in {rounds} rounds", acked.values().sum::<u64>());
}

/// How many acknowledgements to wait for: another number each round, the first ones early in the place's life.
fn pause(round: u64) -> u64 {
    1 + round * round * 37 % 600
}

/// Opens the place and finds every line where it was acknowledged to be, or one step further.
fn verify<P: Place>(path: &Path, acked: &Acked) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let store = P::open(path).await;
        let mut seen = Vec::with_capacity(acked.len());
        for (line, acked) in acked {
            let found = line.progress(&store, acked + 1).await.unwrap();
            let Progress::After(step) = found else { panic!("{line:?} is as after no step up to {acked}") };
            assert!(step >= *acked, "{line:?}: acknowledged up to step {acked}, found as after {step}");
            seen.push((*line, step));
        }
        P::look_around(&store, &seen).await;
        P::close(store).await;
    });
    P::look_at_path(path);
}

/// A process that writes until it is stopped or killed.
struct Writer {
    process: Child,
    stdin: ChildStdin,
    told: Arc<Mutex<Acked>>,
    listener: JoinHandle<()>,
}

impl Writer {
    fn start(path: &Path, first_line: u64) -> Self {
        let mut process =
            command(&[], "child", &first_line.to_string(), path).stdin(Stdio::piped()).spawn().unwrap();
        let acked: Acked = (first_line..first_line + LINES).map(|line| (Line(line), 0)).collect();
        let acked = Arc::new(Mutex::new(acked));
        let said = told(&mut process);
        let listener = std::thread::spawn({
            let acked = Arc::clone(&acked);
            move || said.for_each(|text| acked.lock().unwrap().extend(acknowledged(&(text + "\n"))))
        });
        Writer { stdin: process.stdin.take().unwrap(), process, told: acked, listener }
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
    fn kill(mut self, round: u64) -> Acked {
        self.process.kill().unwrap();
        let (told, _) = self.end();
        assert!(told.values().any(|step| *step > 0), "round {round}: killed before it did anything");
        told
    }

    /// Lets it finish what it is doing.
    fn end(mut self) -> (Acked, ExitStatus) {
        drop(self.stdin);
        let status = self.process.wait().unwrap();
        self.listener.join().unwrap();
        let told = self.told.lock().unwrap().clone();
        (told, status)
    }
}

/// In the child: writes until its standard input ends.
pub(super) fn work<P: Place>(first_line: &str, path: &Path) {
    let first_line: u64 = first_line.parse().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let _ = std::io::stdin().read(&mut [0]);
            stop.store(true, Ordering::Relaxed);
        }
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let store = P::open(path).await;
        let writers: Vec<_> = (first_line..first_line + LINES)
            .map(|line| tokio::spawn(write::<P>(store.clone(), Line(line), Arc::clone(&stop))))
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        P::close(store).await;
    });
}

async fn write<P: Place>(store: P::Store, line: Line, stop: Arc<AtomicBool>) {
    for step in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        line.run(&store, step..step + 1, |step| tell(&format!("{} {step}", line.0))).await;
    }
}
