//! The read connections: a few for the calling threads, a few with threads of their own.
//!
//! A lookup on the calling thread takes a few microseconds while the pages are in memory, which is less than
//! it takes to wake another thread. Once one has taken longer than [`SLOW`], the next lookups go to the reader
//! threads, where waiting for a disk holds nobody up; the calling thread tries again after a while.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloakroom::store::{StoreError, StoreErrorKind, StoreFuture};
use parking_lot::Mutex;
use rusqlite::ErrorCode;
use tokio::sync::oneshot;

use crate::batch::StepError;
use crate::error::closed;
use crate::open::open_reader;
use crate::queue::{Queue, Refused};
use crate::read::Reader;

/// A lookup on the calling thread that takes longer than this waited for something.
const SLOW: Duration = Duration::from_micros(500);
/// So many lookups go to the reader threads after a slow one.
const DETOUR: u32 = 256;
/// Threads for what must not hold up the calling one.
const THREADS: usize = 2;

type Job = Box<dyn FnOnce(&mut Reader) + Send>;

/// The pool.
pub(crate) struct Readers {
    path: PathBuf,
    /// For the calling threads. `None` once closed.
    inline: Box<[Mutex<Option<Reader>>]>,
    next: AtomicUsize,
    /// How many more lookups take the detour over the reader threads.
    detour: AtomicU32,
    queue: Arc<Queue<Job>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(crate) fn start(
        path: &Path,
        connections: usize,
        busy_timeout: Duration,
        queue_bound: usize,
    ) -> rusqlite::Result<Self> {
        let inline = (0..connections)
            // Never waits on the calling thread: what is busy goes to a reader thread.
            .map(|_| Ok(Mutex::new(Some(Reader::new(open_reader(path, Duration::ZERO)?, path)))))
            .collect::<rusqlite::Result<_>>()?;
        let queue = Arc::new(Queue::<Job>::new(queue_bound));
        let mut threads = Vec::with_capacity(THREADS);
        for _ in 0..THREADS {
            let mut reader = Reader::new(open_reader(path, busy_timeout)?, path);
            let queue = queue.clone();
            let thread = std::thread::Builder::new().name("cloakroom-read".into()).spawn(move || {
                while let Some(job) = queue.take_one() {
                    job(&mut reader);
                }
            });
            threads.extend(thread);
        }
        Ok(Readers {
            path: path.to_owned(),
            inline,
            next: AtomicUsize::new(0),
            detour: AtomicU32::new(0),
            queue,
            threads: Mutex::new(threads),
        })
    }

    /// Answers on the calling thread if a connection is free, and none of the last answers was slow.
    pub(crate) fn inline<A>(
        &self,
        f: impl FnOnce(&mut Reader) -> Result<A, StepError>,
    ) -> Option<Result<A, StoreError>> {
        let on_detour = |left: u32| left.checked_sub(1);
        if self.detour.fetch_update(Ordering::Relaxed, Ordering::Relaxed, on_detour).is_ok() {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.inline.len();
        let mut held = (0..count).find_map(|i| self.inline.get((first + i) % count)?.try_lock())?;
        let Some(reader) = held.as_mut() else { return Some(Err(closed(&self.path))) };
        let since = Instant::now();
        let outcome = f(reader);
        if since.elapsed() > SLOW {
            self.detour.store(DETOUR, Ordering::Relaxed);
        }
        match outcome {
            Err(StepError::Sql(error)) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => None,
            other => Some(other.map_err(|error| reader.explain(error))),
        }
    }

    /// Answers on a reader thread.
    pub(crate) fn submit<A: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Reader) -> Result<A, StepError> + Send + 'static,
    ) -> StoreFuture<A> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |reader| {
            if !reply.is_closed() {
                let _ = reply.send(f(reader).map_err(|error| reader.explain(error)));
            }
        });
        match self.queue.push(job) {
            Ok(()) => {
                let path = self.path.clone();
                StoreFuture::boxed(async move { answer.await.unwrap_or_else(|_| Err(closed(&path))) })
            }
            Err(refused) => StoreFuture::ready(Err(refused_error(&self.path, refused, "reads"))),
        }
    }

    /// Closes every connection, after what is queued has been answered. Waits for that.
    pub(crate) fn close(&self) {
        self.queue.close();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
        for reader in &self.inline {
            reader.lock().take();
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn refused_error(path: &Path, refused: Refused, what: &str) -> StoreError {
    match refused {
        Refused::Closed => closed(path),
        Refused::Full => StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "the session store {} is overloaded: as many {what} are waiting as its queue may hold",
                path.display()
            ),
        ),
    }
}
