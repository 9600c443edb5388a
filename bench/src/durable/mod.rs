//! Durable writes a second on SQLite: every write is on the disk when it is acknowledged (`synchronous=FULL`).
//!
//! A write replaces the 300 bytes of one session of a table of 1024. Writers never write the same session, so that
//! nobody waits for anything but the database.

mod cloakroom;
mod rusqlite;
mod sqlx;

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::stats::Spread;

/// Sessions in each table.
pub const SESSIONS: usize = 1024;

/// Bytes of each session.
pub const BYTES: usize = 300;

/// How many write at once.
pub const WRITERS: [usize; 3] = [1, 16, 64];

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Rounds; in each, every subject writes for a while.
    pub rounds: usize,
    /// How long.
    pub length: Duration,
}

/// Something that writes sessions.
pub trait Subject {
    /// For the table.
    fn name(&self) -> &'static str;

    /// Lets that many writers write for that long; answers with the acknowledged writes.
    fn write(&mut self, writers: usize, length: Duration) -> u64;

    /// Makes sure that so many writes are in the table.
    fn check(&mut self, acknowledged: u64);
}

/// One row of the table.
#[derive(Serialize)]
pub struct Row {
    /// How many wrote at once.
    pub writers: usize,
    /// Median time of `fdatasync` after an append, in this row's rounds, in microseconds.
    pub flush_us: Spread,
    /// Acknowledged writes a second, for each subject.
    pub subjects: Vec<Rate>,
    /// Cloakroom's rate as a multiple of the faster `rusqlite` set-up's, round by round.
    pub times_rusqlite: Spread,
    /// Cloakroom's rate as a multiple of `tower-sessions-sqlx-store`'s, round by round.
    pub times_sqlx: Spread,
    /// What the multiple of `rusqlite` is to be at least, where that is promised.
    pub at_least: Option<f64>,
}

impl Row {
    /// Whether the row is as it is to be.
    pub fn holds(&self) -> bool {
        self.at_least.is_none_or(|least| self.times_rusqlite.median >= least)
    }
}

/// A subject's rate.
#[derive(Serialize)]
pub struct Rate {
    /// The subject.
    pub name: &'static str,
    /// Acknowledged writes a second.
    pub per_second: Spread,
}

/// Measures everything, in files under `directory`.
pub fn run(effort: Effort, directory: &Path) -> Vec<Row> {
    let mut subjects: [Box<dyn Subject>; 4] = [
        Box::new(cloakroom::Store::open(&directory.join("cloakroom.db"))),
        Box::new(rusqlite::Shared::open(&directory.join("rusqlite-shared.db"))),
        Box::new(rusqlite::Each::open(&directory.join("rusqlite-each.db"), WRITERS[2])),
        Box::new(sqlx::Peer::open(&directory.join("sqlx.db"))),
    ];
    let mut acknowledged = [0; 4];
    let rows = WRITERS.map(|writers| measure(&mut subjects, &mut acknowledged, writers, effort, directory));
    for (subject, acknowledged) in subjects.iter_mut().zip(acknowledged) {
        subject.check(acknowledged);
    }
    rows.into()
}

fn measure(
    subjects: &mut [Box<dyn Subject>; 4],
    acknowledged: &mut [u64; 4],
    writers: usize,
    effort: Effort,
    directory: &Path,
) -> Row {
    eprintln!("durable writes: {writers} at once …");
    let mut rates: [Vec<f64>; 4] = Default::default();
    let mut flushes = Vec::new();
    for round in 0..=effort.rounds {
        flushes.push(flush(directory).as_secs_f64() * 1e6);
        for turn in 0..subjects.len() {
            let who = (round + turn) % subjects.len();
            let begin = Instant::now();
            let written = subjects[who].write(writers, effort.length);
            acknowledged[who] += written;
            // The first round warms up.
            if round > 0 {
                rates[who].push(written as f64 / begin.elapsed().as_secs_f64());
            }
        }
    }
    let ratio = |other: &dyn Fn(usize) -> f64| {
        Spread::of(rates[0].iter().enumerate().map(|(round, rate)| rate / other(round)).collect())
    };
    Row {
        writers,
        flush_us: Spread::of(flushes),
        times_rusqlite: ratio(&|round| rates[1][round].max(rates[2][round])),
        times_sqlx: ratio(&|round| rates[3][round]),
        at_least: match writers {
            1 => Some(0.75),
            64 => Some(15.0),
            _ => None,
        },
        subjects: subjects
            .iter()
            .zip(rates.clone())
            .map(|(subject, rates)| Rate { name: subject.name(), per_second: Spread::of(rates) })
            .collect(),
    }
}

/// What the disk does under all of them: an append of one page and its flush.
fn flush(directory: &Path) -> Duration {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(directory).expect("a file");
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            file.write_all(&[7; 4096]).expect("written");
            let begin = Instant::now();
            file.sync_data().expect("flushed");
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// The session that a writer writes next: each writer has its own part of the table.
pub fn turn(writer: usize, writers: usize, count: u64) -> usize {
    let part = SESSIONS / writers;
    writer * part + (count % part as u64) as usize
}
