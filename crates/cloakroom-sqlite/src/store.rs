//! The store itself: hands requests to the writer and lookups to the readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use cloakroom::clock::{Clock, Timestamp};
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreError, StoreErrorKind,
    StoreFuture, StoreStats, Summary, Touch, Touched, protocol,
};
use cloakroom::{StoreKey, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::closed;
use crate::open::{self, Opened};
use crate::queue::Queue;
use crate::readers::{Readers, refused_error};
use crate::step::{Pending, Run};
use crate::writer::{self, WriteQueue};
use crate::{OpenError, OpenErrorKind, SqliteBuilder, purge};

/// Sessions in a SQLite file. Cloning gives another handle to the same store.
///
/// Every operation is executed whole or not at all. A write is queued as soon as it is asked for; if its future is dropped
/// before the writer has begun with it, it is not made. No runtime is needed to drive it: the store has threads of its own,
/// and works under any executor.
///
/// Dropping the last handle finishes what is queued and closes the file, and blocks meanwhile (milliseconds, as a
/// rule); [`close`](Self::close) does the same without blocking.
#[derive(Clone)]
pub struct SqliteStore(Arc<Shared>);

struct Shared {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    queue: Arc<WriteQueue>,
    readers: Arc<Readers>,
    inline_reads: bool,
    lost_commits: u64,
    writer: Mutex<Option<JoinHandle<Result<(), rusqlite::Error>>>>,
}

impl SqliteStore {
    /// Opens the file with the default settings; creates it if it is not there.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong with the file, and what to do about it. Nothing was changed in a file that
    /// was refused.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder(path).open().await
    }

    /// Settings, to be finished with [`SqliteBuilder::open`].
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder::new(path.as_ref().to_owned())
    }

    /// The file, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How many acknowledged commits were missing when the store was opened; 0, as it should be.
    ///
    /// More than that means that the write-ahead log was damaged before it was replayed (SQLite then drops its rest
    /// without a word), or that an older copy of the database was put in place. It was logged as an error, and
    /// what was left of the log is beside the database as `-wal.damaged`. The store works on with what is there.
    /// The number is told once: opening the file again gives 0.
    /// The very last commits before a crash may not be in the count it is compared with; missing they go unnoticed.
    pub fn lost_commits(&self) -> u64 {
        self.0.lost_commits
    }

    /// Finishes what is queued, copies the log into the database and closes the file, for every handle of this
    /// store. Requests made from now on are refused as unavailable. Safe to call more than once.
    ///
    /// # Errors
    /// What SQLite reported while closing. Nothing that was acknowledged is lost by it.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (done, closed) = oneshot::channel();
        let shared = self.0.clone();
        let spawned = std::thread::Builder::new().name("cloakroom-close".into()).spawn(move || {
            let _ = done.send(shared.shut());
        });
        match spawned {
            Ok(_) => closed.await.unwrap_or(Ok(())),
            Err(_) => self.0.shut(),
        }
    }

    pub(crate) async fn start(settings: SqliteBuilder) -> Result<Self, OpenError> {
        let path = open::resolve(&settings.path)?;
        let queue: Arc<WriteQueue> = Arc::new(Queue::new(settings.queue_bound));
        // Should the caller give up meanwhile: then nobody else will ever close the queue.
        let mut abandoned = CloseOnDrop(Some(queue.clone()));
        let (ready, opened) = oneshot::channel();
        let clock = settings.clock.clone();
        let inline_reads = settings.inline_reads;
        let writer = std::thread::Builder::new()
            .name("cloakroom-write".into())
            .spawn({
                let (path, queue) = (path.clone(), queue.clone());
                move || write(&path, &settings, &queue, ready)
            })
            .map_err(|error| OpenError::from_io(&path, error))?;
        // The thread cannot end without having answered, unless it panicked.
        let (readers, lost_commits) =
            opened.await.unwrap_or_else(|_| Err(OpenError::new(OpenErrorKind::Io, &path)))?;
        let writer = Mutex::new(Some(writer));
        abandoned.0 = None;
        let shared =
            Shared { path, clock, queue, readers: Arc::new(readers), inline_reads, lost_commits, writer };
        Ok(SqliteStore(Arc::new(shared)))
    }

    /// Queues a request for the writer, at once. Dropping the future takes back what the writer has not begun with.
    fn write<R, A>(&self, request: R, run: Run<R, A>) -> StoreFuture<A>
    where
        R: Clone + Send + 'static,
        A: Send + 'static,
    {
        let (step, answer) = Pending::new(request, run);
        if let Err(refused) = self.0.queue.push(Box::new(step)) {
            return StoreFuture::ready(Err(refused_error(&self.0.path, refused, "writes")));
        }
        let shared = self.0.clone();
        StoreFuture::boxed(async move {
            answer.await.unwrap_or_else(|_| {
                let what = format!("the writer of {} ended before it answered", shared.path.display());
                Err(StoreError::new(StoreErrorKind::Unknown, what))
            })
        })
    }

    /// A lookup: here and now if possible, else on a reader thread.
    fn look_up<R, A>(
        &self,
        request: R,
        run: fn(&mut crate::read::Reader, Timestamp, &R) -> Result<A, crate::batch::StepError>,
    ) -> StoreFuture<A>
    where
        R: Send + 'static,
        A: Send + 'static,
    {
        let now = self.0.clock.now();
        if self.0.inline_reads
            && let Some(answer) = self.0.readers.inline(|reader| run(reader, now, &request))
        {
            return StoreFuture::ready(answer);
        }
        self.0.readers.submit(move |reader| run(reader, now, &request))
    }
}

impl Shared {
    /// Readers first: the last connection to close is the one that may write, and tidies up.
    fn shut(&self) -> Result<(), StoreError> {
        self.queue.close();
        self.readers.close();
        match self.writer.lock().take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => Err(crate::error::unavailable(&self.path, "closing", &error)),
            Some(Err(_)) => Err(closed(&self.path)),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Err(error) = self.shut() {
            tracing::warn!(%error, "the session store was not closed cleanly");
        }
    }
}

struct CloseOnDrop(Option<Arc<WriteQueue>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.close();
        }
    }
}

type Ready = oneshot::Sender<Result<(Readers, u64), OpenError>>;

/// The writer's thread, from opening the file to closing it.
fn write(
    path: &Path,
    settings: &SqliteBuilder,
    queue: &WriteQueue,
    ready: Ready,
) -> Result<(), rusqlite::Error> {
    let Opened { conn, count, lost_commits } = match open::open_writer(path, settings) {
        Ok(opened) => opened,
        Err(error) => {
            let _ = ready.send(Err(error));
            return Ok(());
        }
    };
    let setup = writer::Setup {
        path,
        conn,
        count,
        clock: settings.clock.clone(),
        busy_timeout: settings.busy_timeout,
        checkpoint_pages: settings.checkpoint_pages,
    };
    writer::serve(setup, queue, || {
        let readers = Readers::start(path, settings.readers, settings.busy_timeout, settings.queue_bound);
        let told =
            readers.map(|readers| (readers, lost_commits)).map_err(|e| OpenError::from_sqlite(path, e));
        let _ = ready.send(told);
    })
}

impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.look_up(key, |reader, now, key| reader.load(now, *key))
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        self.look_up(keys, |reader, now, keys| reader.load_many(now, keys))
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        self.write(request, |table, now, request| protocol::create(table, now, request))
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.write(request, |table, now, request| protocol::commit(table, now, request))
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.write(request, |table, now, request| protocol::rename(table, now, request))
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.write(request, |table, now, request| protocol::touch(table, now, request))
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.write(request, |table, now, request| protocol::end(table, now, request))
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.write(request, |table, now, request| protocol::acquire(table, now, request))
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.write(request, |table, now, request| protocol::renew(table, now, request))
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.write(request, |table, now, request| protocol::release(table, now, request))
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        let now = self.0.clock.now();
        self.0.readers.submit(move |reader| reader.list_user(now, &user))
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        self.write(request, |table, now, request| protocol::revoke(table, now, request))
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        let now = self.0.clock.now();
        self.0.readers.submit(move |reader| reader.scan(now, from))
    }

    /// In transactions of a few hundred entries each: an error leaves done what was done, and the next call goes on.
    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        let store = self.clone();
        let first = self.write(limit, purge::purge);
        StoreFuture::boxed(async move {
            let mut total = first.await?;
            while total.more && total.removed < limit {
                let left = limit - total.removed;
                let next = store.write(left, purge::purge).await?;
                total.removed += next.removed;
                total.more = next.more;
            }
            Ok(total)
        })
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.0.readers.submit(|reader| reader.stats())
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        StoreFuture::ready(Ok(self.0.clock.now()))
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}
