//! Settings of a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::{Clock, SystemClock};

use crate::{FileStore, OpenError};

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// After the file and its directory were flushed to the disk: it survives a crash of the process, of the operating
    /// system and of the power supply. Two flushes for a commit, up to seven for a change of id. The default.
    #[default]
    Full,
    /// After it was handed to the operating system: it survives a crash of the process. A power failure may take the latest
    /// writes back, logouts among them, and on some file systems leaves damaged files in their place.
    ProcessCrash,
}

/// Settings for opening a [`FileStore`]; from [`FileStore::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct FileBuilder {
    pub(crate) path: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) queue_bound: usize,
    pub(crate) threads: usize,
    pub(crate) inline_reads: bool,
}

impl FileBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        FileBuilder {
            path,
            clock: Arc::new(SystemClock),
            durability: Durability::default(),
            busy_timeout: Duration::from_millis(1500),
            queue_bound: 4096,
            threads: 16,
            inline_reads: true,
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

    /// How long to wait for whoever has a directory locked before a request is refused as unavailable, from when it was
    /// asked for. Default: 1.5 s, below the engine's deadline for a store call, so that the engine is told for certain
    /// that nothing happened.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many requests may wait for a thread; more are refused as unavailable. Default: 4096. At least 1.
    pub fn queue_bound(mut self, requests: usize) -> Self {
        self.queue_bound = requests.max(1);
        self
    }

    /// How many threads wait for the disk: so many writes can be under way at the same time, and the file system makes one
    /// flush of its log serve several of them. Default: 16. At least 1.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Whether sessions may be read on the calling thread, which is fastest while the files are in memory. Default: yes;
    /// slow reads are noticed and moved to the store's threads by themselves. Turn it off where no thread of the runtime
    /// may ever wait for the disk.
    pub fn inline_reads(mut self, allowed: bool) -> Self {
        self.inline_reads = allowed;
        self
    }

    /// Opens the directory; makes it if it is not there (not those above it).
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong with the directory, and what to do about it. Nothing was changed in one that was
    /// refused.
    pub async fn open(self) -> Result<FileStore, OpenError> {
        FileStore::start(self).await
    }
}

impl std::fmt::Debug for FileBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileBuilder")
            .field("path", &self.path)
            .field("durability", &self.durability)
            .field("busy_timeout", &self.busy_timeout)
            .field("queue_bound", &self.queue_bound)
            .field("threads", &self.threads)
            .field("inline_reads", &self.inline_reads)
            .finish_non_exhaustive()
    }
}
