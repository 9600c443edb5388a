//! Settings of a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::{Clock, SystemClock};

use crate::{OpenError, SqliteStore};

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// After it was flushed to the disk (`synchronous=FULL`): it survives a crash of the process, of the operating
    /// system and of the power supply. The default.
    #[default]
    Full,
    /// After it was handed to the operating system (`synchronous=NORMAL`): it survives a crash of the process. A
    /// power failure may take the commits since the last checkpoint back, all or the latest of them; it never
    /// damages the file. Logouts are among what may be taken back.
    ProcessCrash,
}

/// Settings for opening a [`SqliteStore`]; from [`SqliteStore::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct SqliteBuilder {
    pub(crate) path: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) queue_bound: usize,
    pub(crate) readers: usize,
    pub(crate) inline_reads: bool,
    pub(crate) checkpoint_pages: u32,
}

impl SqliteBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        SqliteBuilder {
            path,
            clock: Arc::new(SystemClock),
            durability: Durability::default(),
            busy_timeout: Duration::from_millis(1500),
            queue_bound: 4096,
            readers: cores.clamp(2, 8),
            inline_reads: true,
            checkpoint_pages: 4000,
        }
    }

    /// The clock that deadlines and leases are judged by. Default: the operating system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// When a write is acknowledged. Default: [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long to wait for other processes that hold the file's write lock before a request is refused as
    /// unavailable, from when it was asked for: what waited behind other requests meanwhile counts. Default: 1.5 s,
    /// below the engine's deadline for a store call, so that the engine is told for certain that nothing happened.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many requests may wait for the writer; more are refused as unavailable. Default: 4096. At least 1.
    pub fn queue_bound(mut self, requests: usize) -> Self {
        self.queue_bound = requests.max(1);
        self
    }

    /// How many connections answer point lookups at the same time. Each costs about 100 KiB and up to 1 MiB of page
    /// cache. Default: the number of cores, from 2 to 8. At least 1.
    pub fn readers(mut self, connections: usize) -> Self {
        self.readers = connections.max(1);
        self
    }

    /// Whether point lookups may be answered on the calling thread, which is fastest while the file's pages are in
    /// memory. Default: yes; slow ones are noticed and moved to reader threads by themselves. Turn it off where
    /// no thread of the runtime may ever wait for the disk: a lookup then costs two changes of thread more.
    pub fn inline_reads(mut self, allowed: bool) -> Self {
        self.inline_reads = allowed;
        self
    }

    /// After how many pages (of 4 KiB) in the write-ahead log they are copied into the database. Default: 4000,
    /// about 16 MiB. A smaller log is replayed faster after a crash; a larger one is copied more seldom.
    pub fn checkpoint_pages(mut self, pages: u32) -> Self {
        self.checkpoint_pages = pages.max(1);
        self
    }

    /// Opens the file, creates it if it is not there, and brings an older one up to date.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong with the file, and what to do about it. Nothing was changed in a file that
    /// was refused.
    pub async fn open(self) -> Result<SqliteStore, OpenError> {
        SqliteStore::start(self).await
    }
}

impl std::fmt::Debug for SqliteBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteBuilder")
            .field("path", &self.path)
            .field("durability", &self.durability)
            .field("busy_timeout", &self.busy_timeout)
            .field("queue_bound", &self.queue_bound)
            .field("readers", &self.readers)
            .field("inline_reads", &self.inline_reads)
            .field("checkpoint_pages", &self.checkpoint_pages)
            .finish_non_exhaustive()
    }
}
