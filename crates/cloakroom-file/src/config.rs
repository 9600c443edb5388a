//! The driver `file`: a store from `cloakroom.toml` and the environment.

use std::sync::Arc;

use cloakroom::config::{Connection, Driver, OpenError};
use cloakroom::store::Store;

use crate::{Durability, FileStore};

const PATH: &str = "path";
const DURABILITY: &str = "durability";

/// The driver `file` (`files` is the same), for [`Drivers`](cloakroom::config::Drivers).
///
/// | in a connection's table | |
/// |---|---|
/// | `path` | the directory; must be told |
/// | `durability` | `full` (the default) or `process-crash`: see [`Durability`] |
///
/// ```
/// use cloakroom::config::{Configuration, Drivers, Environment};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("sessions").display().to_string();
/// let env = Environment::of([("SESSION_DRIVER", "file")]);
/// let text = format!("[connections.file]\npath = \"{path}\"\n");
/// let read = Configuration::parse("cloakroom.toml", text.as_bytes(), &env).unwrap();
/// let store = Drivers::none().with(cloakroom_file::driver()).open(&read).await.unwrap();
/// assert_eq!(store.name(), "file");
/// # }
/// ```
pub fn driver() -> Driver {
    Driver::new("file", &[PATH, DURABILITY], |connection: Connection| async move {
        let path = connection.text(PATH)?.ok_or_else(|| {
            connection.refuse(PATH, "is missing: name the directory that is to hold the sessions")
        })?;
        let durability = match connection.text(DURABILITY)? {
            None | Some("full") => Durability::Full,
            Some("process-crash") => Durability::ProcessCrash,
            Some(_) => return Err(connection.refuse(DURABILITY, "can be full or process-crash").into()),
        };
        let store = FileStore::builder(path).durability(durability).open().await?;
        Ok::<Arc<dyn Store>, OpenError>(Arc::new(store))
    })
    .aliases(&["files"])
}
