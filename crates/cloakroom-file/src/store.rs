//! The store itself: reads on the spot where it can, hands everything else to its threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::{Clock, Timestamp, deadline_after};
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Store, StoreError, StoreFuture,
    StoreStats, Summary, Touch, Touched, protocol,
};
use cloakroom::{StoreKey, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::{Trouble, closed, overloaded, unanswered};
use crate::files::Disk;
use crate::pool::{Pool, Refused};
use crate::purge::Round;
use crate::reading::{Inline, load_locked};
use crate::step::{Asked, Run};
use crate::stripes::Set;
use crate::{FileBuilder, OpenError, OpenErrorKind, open};

/// Sessions as files in a directory. Cloning gives another handle to the same store.
///
/// Every operation is executed whole or not at all. A write whose future is dropped before a thread has begun with it is
/// not made. No runtime is needed to drive it: the store has threads of its own, and works under any executor.
///
/// Dropping the last handle finishes what is queued, and blocks meanwhile (milliseconds, as a rule);
/// [`close`](Self::close) does the same without blocking.
#[derive(Clone)]
pub struct FileStore(Arc<Shared>);

struct Shared {
    core: Arc<Core>,
    pool: Pool,
    inline: Option<Inline>,
}

/// What the threads work with.
struct Core {
    disk: Disk,
    clock: Arc<dyn Clock>,
    busy_timeout: Duration,
    round: Mutex<Round>,
}

impl Core {
    fn path(&self) -> &Path {
        self.disk.layout.root()
    }

    fn deadline(&self, asked: Instant) -> Instant {
        deadline_after(asked, self.busy_timeout)
    }
}

impl FileStore {
    /// Opens the directory with the default settings; makes it if it is not there.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong with the directory, and what to do about it. Nothing was changed in one that was
    /// refused.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder(path).open().await
    }

    /// Settings, to be finished with [`FileBuilder::open`].
    pub fn builder(path: impl AsRef<Path>) -> FileBuilder {
        FileBuilder::new(path.as_ref().to_owned())
    }

    /// The directory, as an absolute path.
    pub fn path(&self) -> &Path {
        self.0.core.path()
    }

    /// Finishes what is queued, for every handle of this store. Requests made from now on are refused as unavailable. Safe
    /// to call more than once.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let shared = Arc::clone(&self.0);
        let spawned = std::thread::Builder::new().name("cloakroom-close".into()).spawn(move || {
            shared.pool.close();
            let _ = done.send(());
        });
        match spawned {
            Ok(_) => closed.await.unwrap_or(()),
            Err(_) => self.0.pool.close(),
        }
    }

    pub(crate) async fn start(settings: FileBuilder) -> Result<Self, OpenError> {
        let (ready, opened) = oneshot::channel();
        let path: PathBuf = settings.path.clone();
        let FileBuilder { clock, busy_timeout, queue_bound, threads, inline_reads, .. } = settings.clone();
        // Opening waits for the disk as well.
        std::thread::Builder::new()
            .name("cloakroom-open".into())
            .spawn(move || {
                let _ = ready.send(open::open(&settings));
            })
            .map_err(|error| OpenError::from_io(&path, error))?;
        // The thread cannot end without having answered, unless it panicked.
        let disk = opened.await.unwrap_or_else(|_| Err(OpenError::new(OpenErrorKind::Io, &path)))?;
        let core = Core { disk, clock, busy_timeout, round: Mutex::default() };
        let pool = Pool::new(queue_bound, threads);
        let inline = inline_reads.then(Inline::default);
        Ok(FileStore(Arc::new(Shared { core: Arc::new(core), pool, inline })))
    }

    /// Does something on a thread of the store's. Dropping the future takes back what has not been begun.
    fn submit<A: Send + 'static>(
        &self,
        work: impl FnOnce(&Core, &Asked<'_>) -> Result<A, Trouble> + Send + 'static,
    ) -> StoreFuture<A> {
        let core = Arc::clone(&self.0.core);
        let deadline = core.deadline(Instant::now());
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move || {
            if reply.is_closed() {
                return;
            }
            let outcome = work(&core, &Asked { deadline, abandoned: &|| reply.is_closed() });
            let _ = reply.send(outcome.map_err(|trouble| trouble.explain(core.path())));
        });
        if let Err(refused) = self.0.pool.push(job) {
            return StoreFuture::ready(Err(self.refused(refused)));
        }
        let store = self.clone();
        StoreFuture::boxed(async move { answer.await.unwrap_or_else(|_| Err(unanswered(store.path()))) })
    }

    /// Runs a request under the locks it needs; `footprint` guesses which.
    fn write<R, A>(&self, footprint: Set, request: R, run: Run<R, A>) -> StoreFuture<A>
    where
        R: Clone + Send + 'static,
        A: Send + 'static,
    {
        self.submit(move |core, asked| core.disk.step(&*core.clock, asked, footprint, &request, run))
    }

    /// Reads on the calling thread, if that is allowed, quick of late, and can be answered without locks.
    fn read_here<A>(
        &self,
        read: impl FnOnce(&Disk, &dyn Clock) -> Result<Option<A>, Trouble>,
    ) -> Option<Result<A, StoreError>> {
        let core = &self.0.core;
        let outcome = self.0.inline.as_ref()?.run(|| read(&core.disk, &*core.clock))?;
        outcome.map_err(|trouble| trouble.explain(core.path())).transpose()
    }

    fn refused(&self, refused: Refused) -> StoreError {
        match refused {
            Refused::Closed => closed(self.path()),
            Refused::Full => overloaded(self.path()),
        }
    }
}

/// Without locks if possible.
fn load_any(core: &Core, asked: &Asked<'_>, keys: &Vec<StoreKey>) -> Result<Vec<Loaded>, Trouble> {
    match load_each(&core.disk, &*core.clock, keys)? {
        Some(answers) => Ok(answers),
        None => {
            let footprint = keys.iter().fold(Set::default(), |set, key| set.and(Set::entry(key)));
            core.disk.step(&*core.clock, asked, footprint, keys, load_locked)
        }
    }
}

fn load_each(disk: &Disk, clock: &dyn Clock, keys: &[StoreKey]) -> Result<Option<Vec<Loaded>>, Trouble> {
    keys.iter().map(|key| disk.load(clock, key).transpose()).collect::<Option<_>>().transpose()
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl Store for FileStore {
    fn name(&self) -> &'static str {
        "file"
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        if let Some(answer) = self.read_here(|disk, clock| disk.load(clock, &key)) {
            return StoreFuture::ready(answer);
        }
        let answers = self.submit(move |core, asked| load_any(core, asked, &vec![key]));
        let path = self.path().to_owned();
        StoreFuture::boxed(async move { answers.await?.pop().ok_or_else(|| unanswered(&path)) })
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        if let Some(answer) = self.read_here(|disk, clock| load_each(disk, clock, &keys)) {
            return StoreFuture::ready(answer);
        }
        self.submit(move |core, asked| load_any(core, asked, &keys))
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        let user = request.bind.as_ref().map_or(Set::default(), |bind| Set::user(&bind.user));
        let footprint = Set::entry(&request.key).and(user);
        self.write(footprint, request, |table, now, request| protocol::create(table, now, request))
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        let footprint = Set::entry(&request.key);
        self.write(footprint, request, |table, now, request| protocol::commit(table, now, request))
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        let user = request.bind.as_ref().map_or(Set::default(), |bind| Set::user(&bind.user));
        let footprint = Set::entry(&request.from).and(Set::entry(&request.to)).and(user).and(Set::REDO);
        self.write(footprint, request, |table, now, request| protocol::rename(table, now, request))
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        let footprint = Set::entry(&request.key);
        self.write(footprint, request, |table, now, request| protocol::touch(table, now, request))
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        let footprint = Set::entry(&request.key);
        self.write(footprint, request, |table, now, request| protocol::end(table, now, request))
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        let footprint = Set::entry(&request.key);
        self.write(footprint, request, |table, now, request| protocol::acquire(table, now, request))
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        let footprint = Set::entry(&request.key);
        self.write(footprint, request, |table, now, request| protocol::renew(table, now, request))
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        let footprint = Set::entry(&request.key);
        self.write(footprint, request, |table, now, request| protocol::release(table, now, request))
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        self.submit(move |core, asked| core.disk.list_user(&*core.clock, &user, asked.deadline))
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        let receipt = StoreKey::of_receipt(&request.user, request.op);
        let footprint = Set::entry(&receipt).and(Set::user(&request.user)).and(Set::REDO);
        self.write(footprint, request, |table, now, request| protocol::revoke(table, now, request))
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        self.submit(move |core, _| core.disk.scan(core.clock.now(), from))
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.submit(move |core, _| {
            // A few directories are locked one after the other: each has its own deadline.
            let patience = || core.deadline(Instant::now());
            core.disk.purge(&*core.clock, &mut core.round.lock(), limit, patience)
        })
    }

    /// Nothing that could be told without reading every file.
    fn stats(&self) -> StoreFuture<StoreStats> {
        StoreFuture::ready(Ok(StoreStats::default()))
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        StoreFuture::ready(Ok(self.0.core.clock.now()))
    }
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path()).finish_non_exhaustive()
    }
}
