//! The store that `--store` names.

use std::path::PathBuf;
use std::sync::Arc;

use cloakroom::store::Store;
use cloakroom::{MemoryStore, NearCache};
use cloakroom_file::FileStore;
use cloakroom_redis::php::{Layout, PhpServer, PhpStore};
use cloakroom_redis::{InvalidRedisUrl, RedisBuilder, RedisStore, RedisUrl};
use cloakroom_sqlite::SqliteStore;

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
}

/// An open store.
pub(crate) enum OpenStore {
    Memory(MemoryStore),
    Sqlite(SqliteStore),
    File(FileStore),
    Redis(RedisStore),
    Near(NearCache<RedisStore>),
    Php(PhpStore),
}

pub(crate) async fn open(
    url: &StoreUrl,
    near_cache: bool,
    layout: Option<Layout>,
) -> Result<OpenStore, Refused> {
    match (url, layout) {
        (StoreUrl::Redis(url), Some(layout)) => {
            let server = PhpServer::new(RedisBuilder::new(url.clone()));
            let server = server.map_err(|error| Refused::start("the store cannot be opened", &error))?;
            Ok(OpenStore::Php(PhpStore::new(server, layout)))
        }
        (url, _) => open_own(url, near_cache).await,
    }
}

/// Sessions in a layout of our own.
async fn open_own(url: &StoreUrl, near_cache: bool) -> Result<OpenStore, Refused> {
    match url {
        StoreUrl::Memory => Ok(OpenStore::Memory(MemoryStore::new())),
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path).await;
            store.map(OpenStore::Sqlite).map_err(|error| Refused::start("the store cannot be opened", &error))
        }
        StoreUrl::File(path) => {
            let store = FileStore::open(path).await;
            store.map(OpenStore::File).map_err(|error| Refused::start("the store cannot be opened", &error))
        }
        // Connects when a session is first asked for.
        StoreUrl::Redis(url) => {
            let store = RedisBuilder::new(url.clone()).build();
            let store = store.map_err(|error| Refused::start("the store cannot be opened", &error))?;
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
            OpenStore::Php(store) => Arc::new(store.clone()),
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
