//! The driver `sqlite`: a store from `cloakroom.toml` and the environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(not(feature = "php"))]
use cloakroom::config::built_without;
use cloakroom::config::{Connection, Driver, OpenError, Opened};
use cloakroom::store::Store;

use crate::{Durability, SqliteStore};

#[cfg(feature = "php")]
mod php;

const PATH: &str = "path";
const DURABILITY: &str = "durability";
const LAYOUT: &str = "layout";
const USER: &str = "user_variable";
const MOVING: &str = "moving";
const MOVING_TO: &str = "moving_to";
/// The layout that is none of PHP's.
const NATIVE: &str = "native";

/// The driver `sqlite`, for [`Drivers`](cloakroom::config::Drivers).
///
/// | in a connection's table | |
/// |---|---|
/// | `path` | the file; must be told |
/// | `durability` | `full` (the default) or `process-crash`: see [`Durability`] |
/// | `layout` | the sessions of a PHP application (feature `php`): `"mini"`, whose cache the file is; `"native"` |
/// | `user_variable` | the name in `$_SESSION` of who is logged in |
/// | `moving`, `moving_to` | `"prepare"`, `"move"`, `"done"`: from mini's cache to this store's own file `moving_to`, as in [`MovingStore`](crate::php::MovingStore) |
///
/// With mini's layout the sessions have a configuration of their own:
/// [`Drivers::open_with_config`](cloakroom::config::Drivers::open_with_config). How that file keeps its transactions is mini's matter, so `durability` beside it is
/// that of the file that sessions move to, and refused where they do not move.
///
/// ```
/// use cloakroom::config::{Configuration, Drivers, Environment};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("sessions.db").display().to_string();
/// let env = Environment::of([("SESSION_DRIVER", "sqlite")]);
/// let text = format!("[connections.sqlite]\npath = \"{path}\"\n");
/// let read = Configuration::parse("cloakroom.toml", text.as_bytes(), &env).unwrap();
/// let store = Drivers::none().with(cloakroom_sqlite::driver()).open(&read).await.unwrap();
/// assert_eq!(store.name(), "sqlite");
/// # }
/// ```
pub fn driver() -> Driver {
    opening(None)
}

/// As [`driver`], for a program that has a file of its own for its sessions: the one that `home` names where a connection says
/// nothing of `path`. It is asked only then, and can make the file's folder.
///
/// ```
/// use cloakroom::config::{Configuration, Drivers, Environment};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path().to_owned();
/// let driver = cloakroom_sqlite::driver_with_home(move || Ok(folder.join("sessions.db")));
/// let env = Environment::of([("SESSION_DRIVER", "sqlite")]);
/// let read = Configuration::parse("cloakroom.toml", b"", &env).unwrap();
/// let store = Drivers::none().with(driver).open(&read).await.unwrap();
/// assert_eq!(store.name(), "sqlite");
/// # }
/// ```
pub fn driver_with_home(home: impl Fn() -> Result<PathBuf, OpenError> + Send + Sync + 'static) -> Driver {
    opening(Some(Arc::new(home)))
}

/// Names the program's own file.
type Home = Arc<dyn Fn() -> Result<PathBuf, OpenError> + Send + Sync>;

fn opening(home: Option<Home>) -> Driver {
    let keys = &[PATH, DURABILITY, LAYOUT, USER, MOVING, MOVING_TO];
    Driver::new("sqlite", keys, move |connection: Connection| {
        let home = home.clone();
        async move { open(&connection, home).await }
    })
}

async fn open(connection: &Connection, home: Option<Home>) -> Result<Opened, OpenError> {
    #[cfg(feature = "php")]
    if let Some(layout) = php::layout(connection)? {
        return php::open(connection, layout).await;
    }
    #[cfg(not(feature = "php"))]
    if let Some(key) = asks_for_php(connection)? {
        let why = built_without("the sessions of a PHP application", "cloakroom-sqlite", "php");
        return Err(connection.refuse(key, &why).into());
    }
    let path = match home {
        Some(home) if !connection.has(PATH) => home()?,
        _ => path(connection)?.into(),
    };
    Ok(store(connection, &path).await?.into())
}

/// The store in this file.
async fn store(connection: &Connection, path: &Path) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(SqliteStore::builder(path).durability(durability(connection)?).open().await?))
}

fn path(connection: &Connection) -> Result<&str, OpenError> {
    let path = connection.text(PATH)?;
    path.ok_or_else(|| connection.refuse(PATH, "is missing: name the file of the sessions").into())
}

fn durability(connection: &Connection) -> Result<Durability, OpenError> {
    match connection.text(DURABILITY)? {
        None | Some("full") => Ok(Durability::Full),
        Some("process-crash") => Ok(Durability::ProcessCrash),
        Some(_) => Err(connection.refuse(DURABILITY, "can be full or process-crash").into()),
    }
}

/// What asks for PHP's sessions, if anything does.
#[cfg(not(feature = "php"))]
fn asks_for_php(connection: &Connection) -> Result<Option<&'static str>, OpenError> {
    // Switched off, with what belongs to it where it is.
    if connection.text(LAYOUT)? == Some(NATIVE) {
        return Ok(None);
    }
    Ok([LAYOUT, USER, MOVING, MOVING_TO].into_iter().find(|key| connection.has(key)))
}

#[cfg(test)]
mod tests;
