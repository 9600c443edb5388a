//! The driver `memory`.

use std::sync::Arc;

use super::{Connection, Driver, OpenError};
use crate::MemoryStore;
use crate::store::Store;

const SESSIONS: &str = "max_sessions";
const SIZE: &str = "max_size";

impl Driver {
    /// The driver `memory` (`local` is the same): a [`MemoryStore`], whose sessions end with the program. With the feature `memory`.
    ///
    /// | in a connection's table | |
    /// |---|---|
    /// | `max_sessions` | [`max_sessions`](crate::MemoryStoreBuilder::max_sessions): a million unless told |
    /// | `max_size` | [`max_bytes`](crate::MemoryStoreBuilder::max_bytes): 1 GiB unless told, 256 MiB where addresses have 32 bits |
    ///
    /// ```
    /// use cloakroom::config::{Configuration, Driver, Drivers, Environment};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let file = "[connections.memory]\nmax_sessions = 10\nmax_size = \"1MiB\"\n";
    /// let read = Configuration::parse("cloakroom.toml", file.as_bytes(), &Environment::empty()).unwrap();
    /// let store = Drivers::none().with(Driver::memory()).open(&read).await.unwrap();
    /// assert_eq!(store.name(), "memory");
    /// # }
    /// ```
    #[must_use]
    pub fn memory() -> Self {
        Driver::new("memory", &[SESSIONS, SIZE], |connection| async move { open(&connection) })
            .aliases(&["local"])
    }
}

fn open(connection: &Connection) -> Result<Arc<dyn Store>, OpenError> {
    let mut store = MemoryStore::builder();
    if let Some(sessions) = connection.number(SESSIONS)? {
        store = store.max_sessions(sessions);
    }
    if let Some(bytes) = connection.size(SIZE)? {
        store = store.max_bytes(bytes);
    }
    Ok(Arc::new(store.build()))
}
