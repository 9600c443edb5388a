//! The thread that writes: takes what is queued into one transaction, commits, answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::Clock;
use cloakroom::store::{StoreError, StoreErrorKind};
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB, Statement};

use crate::batch::{Batch, Statements};
use crate::commit_count::CommitCount;
use crate::error::unavailable;
use crate::pace::Pace;
use crate::queue::Queue;
use crate::step::Step;

/// What waits for the writer.
pub(crate) type WriteQueue = Queue<Box<dyn Step>>;

/// What the writer is started with.
pub(crate) struct Setup<'a> {
    pub(crate) path: &'a Path,
    pub(crate) conn: Connection,
    pub(crate) count: CommitCount,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) busy_timeout: Duration,
    pub(crate) checkpoint_pages: u32,
}

/// Serves the queue until it is closed and empty, then checkpoints and closes the connection.
///
/// `ready` is called once the statements are prepared: from there on requests are answered.
pub(crate) fn serve(
    setup: Setup<'_>,
    queue: &WriteQueue,
    ready: impl FnOnce(),
) -> Result<(), rusqlite::Error> {
    let Setup { path, mut conn, count, clock, busy_timeout, checkpoint_pages } = setup;
    let log_pages = Arc::new(AtomicU32::new(0));
    conn.wal_hook(Some({
        let log_pages = log_pages.clone();
        move |_: &mut Wal, pages: std::ffi::c_int| {
            log_pages.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }
    }))?;
    // The writer waits for the lock by itself, with pauses that suit transactions of a millisecond.
    conn.busy_timeout(Duration::ZERO)?;
    {
        let mut writer = Writer {
            path,
            conn: &conn,
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            batch: Batch::new(Statements::prepare(&conn)?, path),
            count,
            clock,
            busy_timeout,
        };
        ready();
        let mut pace = Pace::new();
        let mut steps = Vec::new();
        while pace.take(queue, &mut steps) {
            let since = Instant::now();
            let requests = writer.serve(&mut steps, &mut |steps| pace.take_more(queue, steps));
            pace.served(requests, since.elapsed());
            // Now, that those who were answered are at work, rather than when they wait.
            writer.batch.reset();
            // After the answers: nobody waits for it but who comes next.
            if log_pages.load(Ordering::Relaxed) >= checkpoint_pages {
                writer.checkpoint(CheckpointMode::PASSIVE);
                log_pages.store(0, Ordering::Relaxed);
            }
        }
        writer.count.sync();
        writer.checkpoint(CheckpointMode::TRUNCATE);
    }
    conn.close().map_err(|(_, error)| error)
}

/// Adds requests to those of a transaction that has begun; `false` when there are no more.
type More<'a> = &'a mut dyn FnMut(&mut Vec<Box<dyn Step>>) -> bool;

struct Writer<'c> {
    path: &'c Path,
    conn: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    batch: Batch<'c>,
    count: CommitCount,
    clock: Arc<dyn Clock>,
    busy_timeout: Duration,
}

/// Why a transaction failed, and what is known of its effect.
struct Failed {
    error: rusqlite::Error,
    kind: FailedKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FailedKind {
    /// It was not begun: another process held the file for as long as its oldest request may wait.
    NotBegun,
    /// It had no effect.
    NoEffect,
    /// It may come into effect with the next recovery of the log, as the commit of this number.
    Unknown(u64),
}

impl Writer<'_> {
    /// Runs the requests in one transaction, with those that `more` adds meanwhile, and answers them all: tells how many.
    fn serve(&mut self, steps: &mut Vec<Box<dyn Step>>, more: More<'_>) -> usize {
        let mut outcome = self.transact(steps, more);
        while let Err(Failed { error, kind: FailedKind::NotBegun }) = &outcome {
            self.refuse_overdue(steps, error);
            if steps.is_empty() {
                return 0;
            }
            outcome = self.transact(steps, more);
        }
        let requests = steps.len();
        match outcome {
            Ok(number) => {
                steps.drain(..).for_each(Step::answer);
                // After the answers: nobody need wait for another file to be written.
                self.note(number);
            }
            Err(failed) if steps.len() > 1 && failed.may_be_ones_fault() => {
                for step in steps.drain(..) {
                    let mut alone = vec![step];
                    let outcome = self.transact(&mut alone, &mut |_| false);
                    for step in alone {
                        match &outcome {
                            Ok(_) => step.answer(),
                            Err(failed) => step.fail(failed.explain(self.path)),
                        }
                    }
                    self.note(outcome.unwrap_or(None));
                }
            }
            Err(failed) => {
                tracing::warn!(error = %failed.error, requests = steps.len(), "a transaction failed");
                steps.drain(..).for_each(|step| step.fail(failed.explain(self.path)));
            }
        }
        requests
    }

    /// Refuses those that have waited for as long as they may. Those that were asked for later still have time.
    fn refuse_overdue(&self, steps: &mut Vec<Box<dyn Step>>, error: &rusqlite::Error) {
        let now = Instant::now();
        let (overdue, others): (Vec<_>, Vec<_>) =
            steps.drain(..).partition(|step| now.duration_since(step.asked()) >= self.busy_timeout);
        *steps = others;
        tracing::warn!(%error, requests = overdue.len(), "another process holds the file");
        overdue.into_iter().for_each(|step| step.fail(unavailable(self.path, "writing to", error)));
    }

    fn note(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            self.count.note(number);
        }
    }

    /// Runs the requests in one transaction and commits it; answers with the commit's number, if there was anything to commit.
    fn transact(&mut self, steps: &mut Vec<Box<dyn Step>>, more: More<'_>) -> Result<Option<u64>, Failed> {
        self.batch.reset();
        let outcome = self.try_transact(steps, more);
        if outcome.is_err() && !self.conn.is_autocommit() {
            // It cannot fail in a way that matters: SQLite drops what was not committed in any case.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        match outcome {
            Err(Failed { error, kind: FailedKind::Unknown(number) }) => Err(self.settle(error, number)),
            other => other,
        }
    }

    fn try_transact(
        &mut self,
        steps: &mut Vec<Box<dyn Step>>,
        more: More<'_>,
    ) -> Result<Option<u64>, Failed> {
        let no_effect = |error| Failed { error, kind: FailedKind::NoEffect };
        let oldest = steps.iter().map(|step| step.asked()).min();
        self.lock(oldest.unwrap_or_else(Instant::now)).map_err(|error| {
            let busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            Failed { error, kind: if busy { FailedKind::NotBegun } else { FailedKind::NoEffect } }
        })?;
        let mut begun = 0;
        loop {
            self.run(steps.get_mut(begun..).unwrap_or_default()).map_err(no_effect)?;
            begun = steps.len();
            if !more(steps) {
                break;
            }
        }
        let number = self.batch.finish().map_err(no_effect)?;
        self.commit.raw_execute().map_err(|error| {
            let kind = match (error.sqlite_error_code(), number) {
                // The log could not take the last page: without it there is no commit in it.
                (Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy), _) | (_, None) => FailedKind::NoEffect,
                (_, Some(number)) => FailedKind::Unknown(number),
            };
            Failed { error, kind }
        })?;
        Ok(number)
    }

    /// Runs requests inside the transaction, and writes what they changed.
    fn run(&mut self, steps: &mut [Box<dyn Step>]) -> rusqlite::Result<()> {
        // Not before they were asked for: what their callers saw expired is not alive again.
        let now = self.clock.now();
        // Looked at only now: waiting for another process's transaction may have taken longer than a caller waits.
        for step in steps.iter_mut().filter(|step| !step.is_abandoned()) {
            step.run(&mut self.batch, now);
        }
        // Some errors make SQLite end the transaction at once: then nothing of it is left to commit.
        if self.conn.is_autocommit() {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
            return Err(rusqlite::Error::SqliteFailure(code, None));
        }
        self.batch.flush()
    }

    /// Begins the transaction, waiting for other processes' for as long as is allowed since it was asked for; tries once in
    /// any case.
    fn lock(&mut self, asked: Instant) -> rusqlite::Result<()> {
        let mut pause = Duration::from_micros(50);
        loop {
            match self.begin.raw_execute() {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    if asked.elapsed() >= self.busy_timeout {
                        return Err(error);
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(2));
                }
                other => return other.map(|_| ()),
            }
        }
    }

    /// A `COMMIT` failed with an I/O error: the log may hold the whole transaction all the same, unseen now, but
    /// replayed after a crash. A further commit writes over it and so settles that it never happened.
    fn settle(&mut self, error: rusqlite::Error, number: u64) -> Failed {
        let settled = self.lock(Instant::now()).and_then(|()| self.write_over(number));
        if !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        match settled {
            Ok(true) => Failed { error, kind: FailedKind::NoEffect },
            Ok(false) | Err(_) => Failed { error, kind: FailedKind::Unknown(number) },
        }
    }

    /// Commits a change of the counters alone in place of commit `number`. `false`: that number is taken, by the
    /// failed transaction itself or by another process.
    fn write_over(&mut self, number: u64) -> rusqlite::Result<bool> {
        let commits: i64 = self.conn.query_row("SELECT commits FROM counters", [], |row| row.get(0))?;
        if u64::try_from(commits).ok().map(|c| c.saturating_add(1)) != Some(number) {
            return Ok(false);
        }
        self.conn.execute("UPDATE counters SET commits = commits + 1", [])?;
        self.commit.raw_execute()?;
        self.count.note(number);
        Ok(true)
    }

    fn checkpoint(&self, mode: CheckpointMode) {
        if let Err(error) = self.conn.wal_checkpoint_v2(Some(MAIN_DB), mode) {
            // Nothing is lost: what is in the log stays there and is read from there.
            tracing::warn!(%error, path = %self.path.display(), "a checkpoint failed and will be tried again");
        }
    }
}

impl Failed {
    /// Whether leaving one request out may save the others.
    fn may_be_ones_fault(&self) -> bool {
        self.kind == FailedKind::NoEffect
            && !matches!(
                self.error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::ReadOnly
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::OutOfMemory
                )
            )
    }

    fn explain(&self, path: &Path) -> StoreError {
        match self.kind {
            FailedKind::NotBegun | FailedKind::NoEffect => unavailable(path, "writing to", &self.error),
            FailedKind::Unknown(_) => StoreError::new(
                StoreErrorKind::Unknown,
                format!(
                    "committing to {}: {}; whether it is stored is not known",
                    path.display(),
                    self.error
                ),
            ),
        }
    }
}
