//! Durable writes per second: this store at 1, 16 and 64 concurrent writers, beside plain `rusqlite` with a commit
//! each at `synchronous=FULL`, in interleaved rounds of one run.
//!
//! ```text
//! cargo run --release -p cloakroom-sqlite --example throughput [-- DIRECTORY [SESSIONS]]
//! ```
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use cloakroom::store::{Committed, Store};
use cloakroom_sqlite::SqliteStore;
use support::*;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1000);
const BYTES: usize = 300;

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().map_or_else(std::env::temp_dir, Into::into);
    let sessions: u64 = args.next().map_or(10_000, |n| n.parse().expect("a number of sessions"));
    let dir = tempfile::tempdir_in(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    let mut raw = Raw::create(&dir.path().join("raw.db"), sessions);
    let store = runtime.block_on(fill(&dir.path().join("store.db"), sessions));
    let subjects = [None, Some(1), Some(16), Some(64), Some(256)];
    let mut rates = vec![Vec::new(); subjects.len()];
    for _ in 0..ROUNDS {
        for (subject, rates) in subjects.iter().zip(&mut rates) {
            rates.push(match subject {
                None => raw.round(),
                Some(writers) => runtime.block_on(round(&store, sessions, *writers)),
            });
        }
    }
    let medians: Vec<f64> = rates.iter_mut().map(|r| median(r)).collect();
    println!("{sessions} sessions of {BYTES} bytes, medians of {ROUNDS} rounds");
    for (subject, rate) in subjects.iter().zip(&medians) {
        let name = subject.map_or("rusqlite, commit each".into(), |n| format!("cloakroom, {n} writers"));
        println!("{name:>24} {rate:>10.0}/s {:>7.2} x", rate / medians[0]);
    }
    let (hot, threaded) = runtime.block_on(async {
        let hot = reads(&store, sessions).await;
        store.close().await.unwrap();
        let store =
            SqliteStore::builder(dir.path().join("store.db")).inline_reads(false).open().await.unwrap();
        (hot, reads(&store, sessions).await)
    });
    println!("a lookup: {hot:?} on the calling thread, {threaded:?} over a reader thread");
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

async fn fill(path: &Path, sessions: u64) -> SqliteStore {
    let store = SqliteStore::builder(path).queue_bound(1 << 20).open().await.unwrap();
    let value = "x".repeat(BYTES);
    let answers: Vec<_> = (0..sessions).map(|n| store.create(create(key(n), &value))).collect();
    for answer in answers {
        answer.await.unwrap();
    }
    store
}

/// Each writer changes sessions of its own, one after the other, each commit awaited.
async fn round(store: &SqliteStore, sessions: u64, writers: u64) -> f64 {
    let until = Instant::now() + ROUND;
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let value = "y".repeat(BYTES);
                let own: Vec<_> = (0..sessions).filter(|n| n % writers == writer).collect();
                let mut versions = Vec::with_capacity(own.len());
                for n in &own {
                    versions.push(live(&store, key(*n)).await.record.version);
                }
                tokio::time::sleep_until((until - ROUND / 2).into()).await;
                let mut done = 0_u64;
                for at in (0..own.len()).cycle() {
                    if Instant::now() >= until {
                        break;
                    }
                    let request = commit(key(own[at]), versions[at], &value);
                    match store.commit(request).await.unwrap() {
                        Committed::Committed(now) => versions[at] = now.record.version,
                        other => panic!("{other:?}"),
                    }
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done as f64 / (ROUND / 2).as_secs_f64()
}

async fn reads(store: &SqliteStore, sessions: u64) -> Duration {
    const READS: u32 = 20_000;
    let since = Instant::now();
    for n in 0..u64::from(READS) {
        live(store, key(n.wrapping_mul(7919) % sessions)).await;
    }
    since.elapsed() / READS
}

struct Raw(rusqlite::Connection, u64, u64);

impl Raw {
    fn create(path: &Path, sessions: u64) -> Self {
        let mut conn = rusqlite::Connection::open(path).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             CREATE TABLE sessions (id BLOB PRIMARY KEY, expires INTEGER, data BLOB) WITHOUT ROWID",
        )
        .unwrap();
        let tx = conn.transaction().unwrap();
        for n in 0..sessions {
            tx.execute(
                "INSERT INTO sessions VALUES (?1, 1, ?2)",
                (key(n).as_bytes().as_slice(), vec![b'x'; BYTES]),
            )
            .unwrap();
        }
        tx.commit().unwrap();
        Raw(conn, sessions, 0)
    }

    fn round(&mut self) -> f64 {
        let until = Instant::now() + ROUND / 2;
        let mut update =
            self.0.prepare("UPDATE sessions SET expires = expires + 1, data = ?2 WHERE id = ?1").unwrap();
        let mut done = 0_u64;
        while Instant::now() < until {
            self.2 += 1;
            update.execute((key(self.2 % self.1).as_bytes().as_slice(), vec![b'y'; BYTES])).unwrap();
            done += 1;
        }
        done as f64 / (ROUND / 2).as_secs_f64()
    }
}
