//! `tower-sessions-sqlx-store` on SQLite, driven over standard input.
//!
//! Arguments: the file, the number of sessions, the bytes of each. A line `WRITERS MILLISECONDS` lets that many tasks save
//! sessions for that long and is answered with the number of acknowledged saves; `check` with how many the table has seen.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::SessionStore;
use tower_sessions_sqlx_store::SqliteStore;
use tower_sessions_sqlx_store::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or("arguments: FILE SESSIONS BYTES");
    let (file, sessions, bytes) = (argument()?, argument()?.parse::<usize>()?, argument()?.parse::<usize>()?);

    let options = SqliteConnectOptions::new()
        .filename(Path::new(&file))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(60));
    // sqlx's own default size of a pool.
    let pool = SqlitePoolOptions::new().max_connections(10).acquire_timeout(Duration::from_secs(60)).connect_with(options).await?;
    let store = SqliteStore::new(pool);
    store.migrate().await?;

    let record = move |id: usize, version: u64| Record {
        id: Id(id as i128),
        // About as many bytes as the others write, once it is encoded with its names and its expiry.
        data: HashMap::from([
            ("version".to_owned(), version.into()),
            ("data".to_owned(), "x".repeat(bytes.saturating_sub(60)).into()),
        ]),
        expiry_date: time::OffsetDateTime::now_utc() + time::Duration::hours(3),
    };
    let mut versions = vec![0_u64; sessions];
    for id in 0..sessions {
        store.save(&record(id, 0)).await?;
    }
    answer(sessions as u64)?;

    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line == "check" {
            let mut sum = 0;
            for id in 0..sessions {
                let found = store.load(&Id(id as i128)).await?.ok_or("a session is gone")?;
                sum += found.data["version"].as_u64().ok_or("no version")?;
            }
            answer(sum)?;
            continue;
        }
        let (writers, millis) = line.split_once(' ').ok_or("WRITERS MILLISECONDS")?;
        let (writers, millis) = (writers.parse::<usize>()?, millis.parse()?);
        let done = Arc::new(AtomicBool::new(false));
        let part = sessions / writers;
        let mut tasks = Vec::new();
        for writer in 0..writers {
            let (store, done) = (store.clone(), Arc::clone(&done));
            let mut mine = versions[writer * part..][..part].to_vec();
            let record = record.clone();
            tasks.push(tokio::spawn(async move {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    let which = count as usize % part;
                    mine[which] += 1;
                    store.save(&record(writer * part + which, mine[which])).await?;
                    count += 1;
                }
                Ok::<_, Error>((count, mine))
            }));
        }
        tokio::time::sleep(Duration::from_millis(millis)).await;
        done.store(true, Ordering::Relaxed);
        let mut saved = 0_u64;
        for (writer, task) in tasks.into_iter().enumerate() {
            let (count, mine) = task.await??;
            saved += count;
            versions[writer * part..][..part].copy_from_slice(&mine);
        }
        answer(saved)?;
    }
    Ok(())
}

fn answer(number: u64) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{number}")?;
    Ok(out.flush()?)
}
