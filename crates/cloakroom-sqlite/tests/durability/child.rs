//! The process that writes, with the file layer under it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use cloakroom_sqlite::{Durability, SqliteStore};
use tempfile::TempDir;

use crate::journal::{self, Op};
use crate::{DATABASE, LINES, disk};
use cloakroom_testing::processes::{FileLayer, Line, command, role};

/// Acknowledgements are written to this file beside the database, and so stand in the same journal.
pub const ACKS: &str = "acks";

/// What the child is to do: to write with this durability.
const FULL: &str = "full";
const PROCESS_CRASH: &str = "process crash";

/// Steps that each line takes, between opening the store and closing it again.
const STEPS: [std::ops::Range<u64>; 2] = [1..41, 41..LAST_STEP + 1];
pub const LAST_STEP: u64 = 80;

/// How the child is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run {
    pub durability: Durability,
    /// Flushes of files whose names end like this do nothing.
    pub lie: Option<&'static str>,
}

impl Run {
    /// Runs the load to its end and reads what the file layer wrote down.
    pub fn record(self) -> Vec<Op> {
        let outside = tempfile::tempdir().unwrap();
        let dir = TempDir::new().unwrap();
        let inside = dir.path().canonicalize().unwrap();
        let journal = outside.path().join("journal");
        let role = if self.durability == Durability::Full { FULL } else { PROCESS_CRASH };
        let mut command = command(&[], "child::load_in_a_child", role, &inside);
        command.env("CLOAKROOM_SHIM_DIR", &inside).env("CLOAKROOM_SHIM_JOURNAL", &journal);
        command.stdout(Stdio::null());
        if let Some(names) = self.lie {
            command.env("CLOAKROOM_SHIM_LIE", names);
        }
        let layer = FileLayer::of(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/durability/shim.c"));
        assert!(layer.under(&mut command).status().unwrap().success(), "the child failed");
        let ops = journal::read(&journal);
        // Nothing may have passed the file layer by: all changes together are what is there.
        let all = disk::after(&ops, disk::Fate::Kept, disk::Fate::Kept, &mut cloakroom_testing::Rng::new(0));
        assert!(all == disk::of(&inside), "the journal does not tell what the files are");
        ops
    }
}

/// No test by itself: what `Run::record` starts.
#[test]
fn load_in_a_child() {
    let Some((durability, dir)) = role() else { return };
    let durability = if durability == FULL { Durability::Full } else { Durability::ProcessCrash };
    let acks = OpenOptions::new().append(true).create(true).open(dir.join(ACKS)).unwrap();
    let acks = Arc::new(Mutex::new(acks));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for steps in STEPS {
        let store = runtime.block_on(
            SqliteStore::builder(dir.join(DATABASE)).durability(durability).checkpoint_pages(48).open(),
        );
        let store = store.unwrap();
        let writers: Vec<_> = (0..LINES)
            .map(|line| runtime.spawn(write(store.clone(), Line(line), steps.clone(), acks.clone())))
            .collect();
        runtime.block_on(async {
            for writer in writers {
                writer.await.unwrap();
            }
            store.close().await.unwrap();
        });
    }
}

async fn write(store: SqliteStore, line: Line, steps: std::ops::Range<u64>, acks: Arc<Mutex<File>>) {
    let acked = |step| {
        let text = format!("{} {step}\n", line.0);
        acks.lock().unwrap().write_all(text.as_bytes()).unwrap();
    };
    line.run(&store, steps, acked).await;
}
