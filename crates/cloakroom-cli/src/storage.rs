//! Where the shop's sessions are kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use cloakroom::MemoryStore;
use cloakroom::config::{Configuration, Driver, Drivers, Environment, OpenError};
use cloakroom::store::Store;
use cloakroom_file::FileStore;
use cloakroom_redis::{RedisBuilder, RedisUrl};
use cloakroom_sqlite::SqliteStore;

use crate::Trouble;
use crate::options::{DemoOptions, StoreUrl};

const FILE: &str = "sessions.db";

/// Before the names of the admin page's own sessions in Redis. The shop's begin with `cloakroom:{`, so that neither store
/// ever looks at the other's; a user of Redis who may touch `cloakroom:*` may touch both.
const STAFF_PREFIX: &str = "cloakroom:admin:";
/// Staff at a time, in memory.
const STAFF: usize = 10_000;

/// An open store.
pub(crate) struct Storage {
    pub(crate) store: Arc<dyn Store>,
    /// Where the admin page keeps its own: in memory, or beside a shared store, for all instances to know.
    pub(crate) staff: Arc<dyn Store>,
    /// For the user: where the sessions are.
    pub(crate) place: String,
    sqlite: Option<SqliteStore>,
}

impl Storage {
    /// Opens what the command line names, else what the configuration names, else a file in the user's own folder.
    pub(crate) async fn open(options: &DemoOptions, configuration: &Configuration) -> Result<Self, Trouble> {
        match (&options.store, &options.data) {
            (Some(StoreUrl::Memory), _) => Ok(Self::memory()),
            (Some(StoreUrl::Sqlite(path)), _) => Self::sqlite(open_file(path).await?, path),
            (Some(StoreUrl::File(path)), _) => Self::files(path).await,
            (Some(StoreUrl::Redis(url)), _) => Self::redis(url).await,
            (None, Some(folder)) => {
                let path = folder.join(FILE);
                Self::sqlite(open_file(&path).await?, &path)
            }
            (None, None) => Self::configured(configuration).await,
        }
    }

    fn memory() -> Self {
        Storage {
            store: Arc::new(MemoryStore::new()),
            staff: in_memory(),
            place: "in memory, until the program ends".to_owned(),
            sqlite: None,
        }
    }

    fn sqlite(store: SqliteStore, path: &Path) -> Result<Self, Trouble> {
        let place = std::path::absolute(path)?.display().to_string();
        Ok(Storage { store: Arc::new(store.clone()), staff: in_memory(), place, sqlite: Some(store) })
    }

    async fn files(path: &Path) -> Result<Self, Trouble> {
        let store = FileStore::open(path).await?;
        let place = store.path().display().to_string();
        Ok(Storage { store: Arc::new(store), staff: in_memory(), place, sqlite: None })
    }

    /// Whoever names a server at the command line wants to hear now that it is not there.
    async fn redis(url: &RedisUrl) -> Result<Self, Trouble> {
        let store = RedisBuilder::new(url.clone()).build()?;
        store.ping().await?;
        let staff = Arc::new(RedisBuilder::new(url.clone()).prefix(STAFF_PREFIX).build()?);
        Ok(Storage { store: Arc::new(store), staff, place: url.to_string(), sqlite: None })
    }

    async fn configured(configuration: &Configuration) -> Result<Self, Trouble> {
        let own: Arc<OnceLock<PathBuf>> = Arc::default();
        let named = Arc::clone(&own);
        let sqlite = cloakroom_sqlite::driver_with_home(move || {
            let path = own_folder()?.join(FILE);
            make_folder_of(&path)?;
            Ok(named.get_or_init(|| path).clone())
        });
        let redis = cloakroom_redis::driver(&Environment::of_process());
        let drivers = Drivers::none().with(sqlite).with(Driver::memory());
        let drivers = drivers.with(cloakroom_file::driver()).with(redis);
        let store = drivers.open(configuration).await?;
        let place = match (own.get(), store.name()) {
            (Some(path), _) => path.display().to_string(),
            (None, "sqlite") => "in a SQLite file, as configured".to_owned(),
            (None, "redis") => "in Redis, as configured".to_owned(),
            (None, "file") => "in files, as configured".to_owned(),
            (None, _) => return Ok(Storage { store, ..Self::memory() }),
        };
        Ok(Storage { store, staff: in_memory(), place, sqlite: None })
    }

    /// Closes a file that the command line named; one from the configuration is closed by whoever has it last. Everything that was
    /// acknowledged is in it already.
    pub(crate) async fn close(self) -> Result<(), Trouble> {
        match self.sqlite {
            Some(store) => Ok(store.close().await?),
            None => Ok(()),
        }
    }
}

fn in_memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::builder().max_sessions(STAFF).build())
}

/// Opens a file of sessions, making its folder if there is none.
async fn open_file(path: &Path) -> Result<SqliteStore, OpenError> {
    make_folder_of(path)?;
    Ok(SqliteStore::open(path).await?)
}

/// Makes the folder that a file is in, if there is none, for its owner only.
fn make_folder_of(path: &Path) -> Result<(), OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut making = std::fs::DirBuilder::new();
        making.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut making, 0o700);
        making
            .create(folder)
            .map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))?;
    }
    Ok(())
}

/// The folder for data of this program: `$XDG_DATA_HOME/cloakroom`, or what other systems have in its place.
fn own_folder() -> Result<PathBuf, OpenError> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let absolute = |path: &PathBuf| path.is_absolute();
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        // The XDG base directory specification: a relative path is to be ignored.
        variable("XDG_DATA_HOME")
            .filter(absolute)
            .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
    };
    match base {
        Some(base) => Ok(base.join("cloakroom")),
        None => Err("there is no folder for application data on this machine; choose one with --data".into()),
    }
}
