//! The store that `--store` names.

use std::path::PathBuf;
use std::sync::Arc;

use cloakroom::store::Store;
use cloakroom::{MemoryStore, NearCache};
use cloakroom_file::FileStore;
use cloakroom_file::php::{PhpFileStore, PhpFiles};
use cloakroom_redis::php::{Layout, PhpServer, PhpStore};
use cloakroom_redis::{InvalidRedisUrl, RedisBuilder, RedisStore, RedisUrl};
use cloakroom_sqlite::SqliteStore;
use cloakroom_sqlite::php::{PhpCache, PhpCacheStore};

use crate::options::Refused;

/// Where sessions are to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// `memory:`
    Memory,
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `file:PATH`
    File(PathBuf),
    /// Any URL of Redis: one server, sentinels, a cluster.
    Redis(RedisUrl),
}

const EXPECTED: &str = "expected memory:, sqlite:PATH, file:PATH, redis://HOST:PORT/DB, rediss://HOST:PORT/DB, redis+unix:PATH, \
     redis-sentinel://HOST:PORT,HOST:PORT/SERVICE/DB or redis-cluster://HOST:PORT,HOST:PORT";

impl std::str::FromStr for StoreUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(EXPECTED.to_owned());
        };
        match scheme {
            "memory" if rest.is_empty() => Ok(StoreUrl::Memory),
            "memory" => Err("nothing can follow memory:".to_owned()),
            "sqlite" if rest.is_empty() => Err("sqlite: needs the path of a file".to_owned()),
            "sqlite" => Ok(StoreUrl::Sqlite(PathBuf::from(rest))),
            "file" if rest.is_empty() => Err("file: needs the path of a directory".to_owned()),
            "file" => Ok(StoreUrl::File(PathBuf::from(rest))),
            "postgres" | "mysql" => Err(format!("the {scheme} store is not built yet; {EXPECTED}")),
            _ => match url.parse() {
                Ok(url) => Ok(StoreUrl::Redis(url)),
                Err(InvalidRedisUrl::Scheme) => Err(EXPECTED.to_owned()),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

impl StoreUrl {
    /// Whether a cache can stand in front of it.
    pub(crate) fn tells_of_changes(&self) -> bool {
        match self {
            StoreUrl::Memory | StoreUrl::Sqlite(_) | StoreUrl::File(_) => false,
            StoreUrl::Redis(_) => true,
        }
    }

    /// Where a PHP application with this layout keeps its sessions, if that is somewhere else.
    pub(crate) fn is_no_place_of(&self, layout: &str) -> Option<&'static str> {
        let place = match layout {
            PHP_FILES => "in files: file:PATH",
            MINI => "in SQLite or in files: sqlite:PATH or file:PATH",
            _ => "in Redis",
        };
        let fits = match self {
            StoreUrl::Memory => false,
            StoreUrl::Sqlite(_) => layout == MINI,
            StoreUrl::File(_) => matches!(layout, PHP_FILES | MINI),
            StoreUrl::Redis(_) => !matches!(layout, PHP_FILES | MINI),
        };
        (!fits).then_some(place)
    }
}

/// An open store.
pub(crate) enum OpenStore {
    Memory(MemoryStore),
    Sqlite(SqliteStore),
    File(FileStore),
    Redis(RedisStore),
    Near(NearCache<RedisStore>),
    Php(Arc<dyn Store>),
}

/// mini's layout is in its cache, and that in a file of SQLite or in many.
const MINI: &str = "mini";
/// PHP's own, in files.
const PHP_FILES: &str = "php-files";

pub(crate) async fn open(
    url: &StoreUrl,
    near_cache: bool,
    layout: Option<Layout>,
) -> Result<OpenStore, Refused> {
    match layout {
        Some(layout) => open_php(url, layout).await.map(OpenStore::Php),
        None => open_own(url, near_cache).await,
    }
}

/// Sessions where a PHP application has them.
async fn open_php(url: &StoreUrl, layout: Layout) -> Result<Arc<dyn Store>, Refused> {
    match url {
        StoreUrl::Redis(url) => {
            let server = PhpServer::new(RedisBuilder::new(url.clone())).map_err(|error| failed(&error))?;
            Ok(Arc::new(PhpStore::new(server, layout)))
        }
        StoreUrl::File(path) => {
            // PHP has its directory; mini makes one.
            let files = PhpFiles::builder(path).create(layout.name() == MINI).open().await;
            Ok(Arc::new(PhpFileStore::new(files.map_err(|error| failed(&error))?, layout)))
        }
        StoreUrl::Sqlite(path) => {
            let cache = PhpCache::open(path).map_err(|error| failed(&error))?;
            Ok(Arc::new(PhpCacheStore::new(cache, layout)))
        }
        StoreUrl::Memory => {
            Err(Refused::Start("no PHP application keeps sessions in this memory".to_owned()))
        }
    }
}

fn failed(error: &dyn std::error::Error) -> Refused {
    Refused::start("the store cannot be opened", error)
}

/// Sessions in a layout of our own.
async fn open_own(url: &StoreUrl, near_cache: bool) -> Result<OpenStore, Refused> {
    match url {
        StoreUrl::Memory => Ok(OpenStore::Memory(MemoryStore::new())),
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path).await;
            store.map(OpenStore::Sqlite).map_err(|error| failed(&error))
        }
        StoreUrl::File(path) => {
            let store = FileStore::open(path).await;
            store.map(OpenStore::File).map_err(|error| failed(&error))
        }
        // Connects when a session is first asked for.
        StoreUrl::Redis(url) => {
            let store = RedisBuilder::new(url.clone()).build();
            let store = store.map_err(|error| failed(&error))?;
            Ok(match near_cache {
                true => OpenStore::Near(NearCache::new(store)),
                false => OpenStore::Redis(store),
            })
        }
    }
}

impl OpenStore {
    /// The store, as the manager takes it.
    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        match self {
            OpenStore::Memory(store) => Arc::new(store.clone()),
            OpenStore::Sqlite(store) => Arc::new(store.clone()),
            OpenStore::File(store) => Arc::new(store.clone()),
            OpenStore::Redis(store) => Arc::new(store.clone()),
            OpenStore::Near(store) => Arc::new(store.clone()),
            OpenStore::Php(store) => Arc::clone(store),
        }
    }

    /// Writes out what is queued and closes files.
    pub(crate) async fn close(self) {
        match self {
            OpenStore::Sqlite(store) => {
                if let Err(error) = store.close().await {
                    tracing::error!(%error, "the store did not close cleanly");
                }
            }
            OpenStore::File(store) => store.close().await,
            OpenStore::Memory(_) | OpenStore::Redis(_) | OpenStore::Near(_) | OpenStore::Php(_) => {}
        }
    }
}
