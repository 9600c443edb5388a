//! C8, power cuts: whatever was acknowledged is on the disk, under a file layer that throws away what was not flushed.
//!
//! A child process writes under load with [`shim.c`](../shim.c) preloaded, which takes down every change to its files in
//! order, acknowledgements included. The journal is then cut at random instants, a disk is made of each prefix as a
//! power cut might leave it, and the store is opened on that disk.
//!
//! `CLOAKROOM_SEED` repeats the choices of a run (the load itself takes its own course each time), `CLOAKROOM_LONG`
//! makes more of them.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod child;
mod disk;
mod journal;
#[path = "../support/mod.rs"]
mod support;
mod verdict;

use std::collections::BTreeMap;

use child::Run;
use cloakroom_sqlite::Durability;
use cloakroom_testing::Rng;
use cloakroom_testing::processes::{self, Line};
use disk::Fate;
use journal::Op;
use verdict::Fault;

const DATABASE: &str = "s.db";
/// Lines of sessions, each with a writer of its own.
const LINES: u64 = 16;
/// Instants at which one run is cut.
const CUTS: usize = 200;

#[test]
fn c8_no_acknowledged_write_is_missing_after_a_power_cut_at_any_instant() {
    let runs = if std::env::var_os("CLOAKROOM_LONG").is_some() { 20 } else { 1 };
    for run in 0..runs {
        let ops = Run::default().record();
        let outcome = Outcome::of(&ops, CUTS, run);
        let acked = acknowledged(&ops).values().sum::<u64>();
        println!("{} changes, {acked} acknowledgements: {}", ops.len(), outcome.summary());
        assert_eq!(outcome.in_order, CUTS, "{outcome:#?}");
        assert_eq!(acked, LINES * child::LAST_STEP);
        let flushes = ops.iter().filter(|op| matches!(op, Op::FlushEnds { .. })).count() as u64;
        assert!(flushes < acked, "no commit was shared: {flushes} flushes");
    }
}

#[test]
fn c8_short_of_flushing_each_commit_the_latest_may_be_missing_and_nothing_is_damaged() {
    let ops = Run { durability: Durability::ProcessCrash, ..Run::default() }.record();
    let outcome = Outcome::of(&ops, CUTS / 2, 0);
    println!("{}", outcome.summary());
    assert!(outcome.damaged.is_empty(), "{outcome:#?}");
    assert!(outcome.lost.len() > 10, "what was not flushed was not thrown away: {outcome:?}");
}

/// The harness can fail: a disk that acknowledges flushes of the log without doing anything loses acknowledged writes,
/// and that is found.
#[test]
fn a_log_that_is_not_flushed_is_found_out() {
    let ops = Run { lie: Some("-wal"), ..Run::default() }.record();
    let outcome = Outcome::of(&ops, CUTS / 2, 0);
    println!("{}", outcome.summary());
    assert!(outcome.lost.len() > 10, "{outcome:?}");
}

/// The harness can fail, second part: the load runs into checkpoints, and a database that is not flushed before its
/// log is written over is found out.
#[test]
fn a_database_that_is_not_flushed_is_found_out() {
    let ops = Run { lie: Some(DATABASE), ..Run::default() }.record();
    let outcome = Outcome::of(&ops, CUTS / 2, 0);
    println!("{}", outcome.summary());
    assert!(outcome.lost.len() + outcome.damaged.len() > 10, "{outcome:?}");
}

/// What was found at the cuts of one run.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "read by `Debug`")]
struct Outcome {
    seed: u64,
    in_order: usize,
    lost: Vec<Cut>,
    damaged: Vec<Cut>,
}

#[derive(Debug)]
#[allow(dead_code, reason = "read by `Debug`")]
struct Cut {
    at: usize,
    data: Fate,
    names: Fate,
    why: String,
}

impl Outcome {
    fn summary(&self) -> String {
        format!("{} in order, {} lost, {} damaged", self.in_order, self.lost.len(), self.damaged.len())
    }

    /// Cuts the journal at random instants.
    fn of(ops: &[Op], cuts: usize, run: u64) -> Self {
        let seed = match std::env::var("CLOAKROOM_SEED") {
            Ok(seed) => seed.parse().expect("CLOAKROOM_SEED is a number"),
            Err(_) => u64::from(std::process::id()) << 16 | run,
        };
        let mut rng = Rng::new(seed);
        let mut outcome = Outcome { seed, ..Outcome::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..cuts {
            let at = rng.index(ops.len() + 1);
            let [data, names] = [0; 2].map(|_| Fate::ALL[rng.index(Fate::ALL.len())]);
            let disk = disk::after(&ops[..at], data, names, &mut rng);
            let dir = tempfile::tempdir().unwrap();
            disk::put(&disk, dir.path());
            let found = runtime.block_on(verdict::examine(dir.path(), &acknowledged(&ops[..at])));
            let cut = |why| Cut { at, data, names, why };
            match found {
                Ok(()) => outcome.in_order += 1,
                Err(Fault::Lost(why)) => outcome.lost.push(cut(why)),
                Err(Fault::Damaged(why)) => outcome.damaged.push(cut(why)),
            }
        }
        outcome
    }
}

/// How far each line had been told that it got.
fn acknowledged(ops: &[Op]) -> BTreeMap<Line, u64> {
    let mut lines: BTreeMap<Line, u64> = (0..LINES).map(|line| (Line(line), 0)).collect();
    let Some(acks) = ops.iter().find_map(|op| match op {
        Op::Create { file, name } if name == child::ACKS => Some(*file),
        _ => None,
    }) else {
        return lines;
    };
    for op in ops {
        let Op::Write { file, data, .. } = op else { continue };
        if *file == acks {
            lines.extend(processes::acknowledged(std::str::from_utf8(data).unwrap()));
        }
    }
    lines
}
