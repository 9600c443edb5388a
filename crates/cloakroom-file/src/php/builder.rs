//! Settings of PHP's files, and whether their directory can be trusted.

use std::fs::{Metadata, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::{Clock, SystemClock};
use cloakroom_php::ini::FilesPath;

use super::PhpFiles;
use super::ground::Core;
use super::leases::Leases;
use super::places::{DIRS, Places};
use crate::open::{furnish, make};
use crate::stripes::Stripes;
use crate::{Durability, OpenError, OpenErrorKind};

/// Where a PHP application keeps its sessions as files; from [`PhpFiles::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct PhpFilesBuilder {
    pub(super) save_path: PathBuf,
    pub(super) depth: usize,
    pub(super) mode: u32,
    pub(super) create: bool,
    pub(super) own: Option<PathBuf>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) durability: Durability,
    pub(super) busy_timeout: Duration,
    pub(super) queue_bound: usize,
    pub(super) threads: usize,
}

impl PhpFilesBuilder {
    pub(super) fn new(save_path: PathBuf) -> Self {
        PhpFilesBuilder {
            save_path,
            depth: 0,
            mode: 0o600,
            create: false,
            own: None,
            clock: Arc::new(SystemClock),
            durability: Durability::default(),
            busy_timeout: Duration::from_millis(1500),
            queue_bound: 4096,
            threads: 16,
        }
    }

    /// As `session.save_path` says it.
    pub(super) fn of(path: &FilesPath) -> Self {
        Self::new(PathBuf::from(&path.folder)).depth(path.depth as usize).mode(path.mode)
    }

    /// How many levels of directories there are: the `N` of `session.save_path = "N;MODE;PATH"`. Default: none. They have to be there, as for PHP.
    pub fn depth(mut self, levels: usize) -> Self {
        self.depth = levels;
        self
    }

    /// The mode of new files: the `MODE` of `session.save_path`. Default: 0600.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o777;
        self
    }

    /// Whether to make the directory where there is none, for this user alone, as mini does with its cache's. Default: it has to be there, as for PHP.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The directory of what is kept beside PHP's files. It is made if it is not there, and is for this user alone. Default:
    /// `.cloakroom-UID` in `session.save_path`, with the number of this user. All processes that share the sessions have to name the same.
    pub fn beside(mut self, path: impl Into<PathBuf>) -> Self {
        self.own = Some(path.into());
        self
    }

    /// The clock that deadlines and leases are judged by. Default: the operating system's, which is PHP's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// When a write is acknowledged. Default: [`Durability::Full`], which is more than PHP does: it flushes nothing.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long to wait for whoever has a session locked before a request is refused as unavailable. Default: 1.5 s, below the engine's
    /// deadline for a store call.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many requests may wait for a thread; more are refused as unavailable. Default: 4096. At least 1.
    pub fn queue_bound(mut self, requests: usize) -> Self {
        self.queue_bound = requests.max(1);
        self
    }

    /// How many threads wait for locks and for the disk. Default: 16. At least 1.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Opens the directory, and finishes what killed processes had begun.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong with a directory, and what to do about it.
    pub async fn open(self) -> Result<PhpFiles, OpenError> {
        PhpFiles::start(self).await
    }

    pub(super) fn core(self) -> Result<Core, OpenError> {
        let path = &self.save_path;
        if path.as_os_str().is_empty() {
            return Err(OpenError::new(OpenErrorKind::NotAPath, path));
        }
        let save_path = std::path::absolute(path).map_err(|error| OpenError::from_io(path, error))?;
        if self.create {
            make(&save_path).map_err(|error| OpenError::from_io(&save_path, error))?;
        }
        match std::fs::metadata(&save_path) {
            Ok(there) => trust(&save_path, &there)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::new(OpenErrorKind::NoSavePath, &save_path));
            }
            Err(error) => return Err(OpenError::from_io(&save_path, error)),
        }
        let uid = rustix::process::geteuid().as_raw();
        let own = self.own.unwrap_or_else(|| save_path.join(format!(".cloakroom-{uid}")));
        let places = Places { save_path, depth: self.depth, own };
        make_own(&places)?;
        let failed = |error| OpenError::from_io(&places.own, error);
        let stripes = Stripes::on((0..DIRS).map(|n| places.dir(n)), places.sign()).map_err(failed)?;
        Ok(Core {
            places,
            mode: self.mode,
            stripes,
            leases: Leases::default(),
            clock: self.clock,
            durability: self.durability,
            busy_timeout: self.busy_timeout,
            round: Default::default(),
        })
    }
}

/// PHP's directory may be one that many users share, where each can remove their own files only. Whose a file is, is looked at as well.
fn trust(path: &Path, there: &Metadata) -> Result<(), OpenError> {
    let refuse = |kind| Err(OpenError::new(kind, path));
    if !there.is_dir() {
        return refuse(OpenErrorKind::NotADirectory);
    }
    if there.uid() != rustix::process::geteuid().as_raw() && there.uid() != 0 {
        return refuse(OpenErrorKind::NotOurs { owner: there.uid() });
    }
    if there.mode() & 0o1002 == 0o002 {
        return refuse(OpenErrorKind::NotSticky { mode: there.mode() });
    }
    Ok(())
}

const FORMAT: u32 = 1;
const FORMAT_BEGINS: &str = "cloakroom beside PHP's sessions, format ";

/// Makes what is missing of our own directory.
fn make_own(places: &Places) -> Result<(), OpenError> {
    let own = &places.own;
    let failed = |error| OpenError::from_io(own, error);
    furnish(own, own)?;
    let format = own.join("format");
    match std::fs::read(&format) {
        Ok(text) => {
            let number = std::str::from_utf8(&text).ok().and_then(|text| text.strip_prefix(FORMAT_BEGINS));
            match number.and_then(|number| number.trim_end().parse::<u32>().ok()) {
                Some(FORMAT) => {}
                Some(found) if found > FORMAT => {
                    let kind = OpenErrorKind::NewerFormat { found, supported: FORMAT };
                    return Err(OpenError::new(kind, own));
                }
                _ => return Err(OpenError::new(OpenErrorKind::Corrupt, own)),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Put in place whole: another process may be about the same.
            let unfinished = own.join(format!(".new-{:016x}", cloakroom::OpId::generate().as_u64()));
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create_new(true).mode(0o600).open(&unfinished).map_err(failed)?;
            file.write_all(format!("{FORMAT_BEGINS}{FORMAT}\n").as_bytes()).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            std::fs::rename(unfinished, &format).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    for dir in (0..DIRS).map(|n| places.dir(n)) {
        furnish(own, &dir)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(places.sign()).map_err(failed)?;
    std::fs::File::open(own).and_then(|dir| dir.sync_all()).map_err(failed)
}

/// Where, and how.
impl std::fmt::Debug for PhpFilesBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhpFilesBuilder")
            .field("save_path", &self.save_path)
            .field("depth", &self.depth)
            .field("mode", &format_args!("{:o}", self.mode))
            .field("beside", &self.own)
            .field("durability", &self.durability)
            .field("busy_timeout", &self.busy_timeout)
            .finish_non_exhaustive()
    }
}
