//! A cache on SQLite as a place of PHP's sessions: one thread, one connection, a transaction for each question.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloakroom::clock::{Clock, SystemClock, Timestamp};
use cloakroom::store::{Purged, StoreError, StoreErrorKind, StoreFuture};
use cloakroom::{PlainId, StoreKey};
use cloakroom_php::layout::{Change, Ground, Layout, Matter, View};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::oneshot;

use super::rows;
use crate::error::{closed, unavailable};
use crate::open::{LONGEST_BUSY, connect, create, resolve};
use crate::queue::Queue;
use crate::readers::refused_error;
use crate::{OpenError, OpenErrorKind};

/// So long a question waits for other processes, and for its turn.
const PATIENCE: Duration = Duration::from_millis(1500);
/// So many questions wait at most.
const WAITING: usize = 4096;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The SQLite file in which a PHP application keeps its cache, and its sessions in that.
///
/// One thread asks one question after the other, each in a transaction; a question waits for 1.5 s at most, and more than 4,096 that wait
/// are refused.
///
/// Dropping it finishes what is queued.
pub struct PhpCache {
    path: PathBuf,
    place: String,
    queue: Arc<Queue<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a question was not answered.
pub(super) enum Trouble {
    /// Nothing was done.
    Nothing(rusqlite::Error),
    /// It may have been done.
    Unknown(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Trouble::Nothing(error)
    }
}

/// The application has its cache where everybody may put files. What somebody else put there is refused.
fn trust(path: &Path) -> Result<(), OpenError> {
    let there = match std::fs::symlink_metadata(path) {
        Ok(there) => there,
        // It is about to be made; any other trouble shows then.
        Err(_) => return Ok(()),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if there.is_symlink() || !crate::open::is_ours(there.uid()) || there.mode() & 0o002 != 0 {
            return Err(OpenError::new(OpenErrorKind::NotTrusted, path));
        }
    }
    Ok(())
}

impl PhpCache {
    /// This file, which is made as the application makes it where there is none.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong with the file, and what to do about it. [`OpenErrorKind::Foreign`]: its table `cache` is another application's.
    /// [`OpenErrorKind::NotTrusted`]: somebody else may have put it there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        trust(path)?;
        let path = resolve(path)?;
        create(&path)?;
        trust(&path)?;
        let failed = |error| OpenError::from_sqlite(&path, error);
        let mut conn = connect(&path, PATIENCE).map_err(failed)?;
        rows::prepare(&conn).map_err(|error| match error {
            // What makes no sense there: the columns are others.
            rusqlite::Error::SqlInputError { .. } => {
                OpenError::new(OpenErrorKind::Foreign, &path).with_source(error)
            }
            error => failed(error),
        })?;
        let queue = Arc::new(Queue::<Job>::new(WAITING));
        let jobs = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("cloakroom-php".into()).spawn(move || {
            while let Some(job) = jobs.take_one() {
                job(&mut conn);
            }
        });
        let thread = thread.map_err(|error| OpenError::from_io(&path, error))?;
        Ok(PhpCache { place: path.display().to_string(), path, queue, thread: Some(thread) })
    }

    /// Does something in a transaction of its own. What waits for longer than it may is not begun.
    fn ask<A: Send + 'static>(
        &self,
        deadline: Instant,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Option<A>> + Send + 'static,
    ) -> StoreFuture<Option<A>> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            if !reply.is_closed() {
                let _ = reply.send(transact(conn, deadline, behavior, work));
            }
        });
        let (path, pushed) = (self.path.clone(), self.queue.push(job));
        if let Err(refused) = pushed {
            return StoreFuture::ready(Err(refused_error(&path, refused, "requests")));
        }
        StoreFuture::boxed(async move {
            match answer.await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(Trouble::Nothing(error))) => Err(unavailable(&path, "asking", &error)),
                Ok(Err(Trouble::Unknown(error))) => {
                    let what = format!("it is not known whether {} has a write: {error}", path.display());
                    Err(StoreError::new(StoreErrorKind::Unknown, what))
                }
                Err(_) => Err(closed(&path)),
            }
        })
    }
}

/// `None` from the work: nothing is to be kept of it.
fn transact<A>(
    conn: &mut Connection,
    deadline: Instant,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Connection) -> rusqlite::Result<Option<A>>,
) -> Result<Option<A>, Trouble> {
    conn.busy_timeout(deadline.saturating_duration_since(Instant::now()).min(LONGEST_BUSY))?;
    let transaction = conn.transaction_with_behavior(behavior)?;
    let Some(answer) = work(&transaction)? else {
        transaction.rollback()?;
        return Ok(None);
    };
    transaction.commit().map_err(|error| match error.sqlite_error_code() {
        // Others read for longer than is waited for: it was rolled back.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {
            Trouble::Nothing(error)
        }
        _ => Trouble::Unknown(error),
    })?;
    Ok(Some(answer))
}

/// A session's rows: the key of mini's entry, and that of ours.
pub(super) type Names = (String, StoreKey);

fn names<'i>(layout: &Layout, ids: impl Iterator<Item = &'i PlainId>) -> Vec<Names> {
    ids.map(|id| (layout.data_name(id), id.key())).collect()
}

impl Ground for PhpCache {
    fn place(&self) -> &str {
        &self.place
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(PATIENCE).unwrap_or(now)
    }

    async fn look(&self, deadline: Instant, layout: &Layout, ids: &[PlainId]) -> Result<View, StoreError> {
        let (names, held) = (names(layout, ids.iter()), ids.to_vec());
        let looked = self.ask(deadline, TransactionBehavior::Deferred, move |conn| {
            // Not before: what was read may have been written until now.
            let rows = names.iter().map(|names| rows::read(conn, names)).collect::<Result<Vec<_>, _>>()?;
            let now = SystemClock.now();
            let seen = held.into_iter().zip(rows).map(|(id, row)| row.seen(id, now)).collect();
            Ok(Some(View { now, sessions: seen }))
        });
        looked.await?.ok_or_else(|| closed(&self.path))
    }

    async fn apply(
        &self,
        deadline: Instant,
        layout: &Layout,
        view: &View,
        changes: Vec<Change>,
        _: Matter,
    ) -> Result<bool, StoreError> {
        let (names, view) = (names(layout, view.sessions.iter().map(|seen| &seen.id)), view.clone());
        let applied = self.ask(deadline, TransactionBehavior::Immediate, move |conn| {
            let now = SystemClock.now();
            for (names, seen) in names.iter().zip(&view.sessions) {
                if !rows::read(conn, names)?.is_as(seen, now) {
                    return Ok(None);
                }
            }
            for change in &changes {
                if let Some(names) = names.get(change.at) {
                    rows::write(conn, names, change, now)?;
                }
            }
            Ok(Some(()))
        });
        Ok(applied.await?.is_some())
    }

    async fn purge(&self, layout: &Layout, limit: usize) -> Result<Purged, StoreError> {
        let prefix = layout.data_prefix().to_owned();
        let purge = self.ask(self.deadline(), TransactionBehavior::Immediate, move |conn| {
            rows::purge(conn, &prefix, limit, SystemClock.now()).map(Some)
        });
        Ok(purge.await?.unwrap_or_default())
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(SystemClock.now())
    }
}

impl Drop for PhpCache {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for PhpCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhpCache").field("path", &self.path).finish_non_exhaustive()
    }
}
